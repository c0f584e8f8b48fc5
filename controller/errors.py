"""Errors of the controller, named after their cause; messages say what, which and what to do."""

from collections.abc import Mapping


class ControllerError(Exception):
    """Base of the controller's errors: equipment unless a subclass says otherwise."""

    exit_code = 3


class ConfigurationError(ControllerError):
    """A rig file, a key file or an option that cannot be used."""

    exit_code = 2


class SessionError(ControllerError):
    """An action that the session's state does not allow."""

    exit_code = 2


class NotPrepared(ControllerError):
    """A session that would begin although something is lacking, without anybody having decided so."""


class DecisionNeeded(ControllerError):
    """Something is left that only a person can decide; the message says how to."""

    exit_code = 4


class AsideRefused(ControllerError):
    """A camera that may not be set aside, or a take that may not be kept without a photograph; names the rules."""

    exit_code = 2


class StudioUnreachable(ControllerError):
    """No studio answers where this command expects one."""


class RigNotReady(ControllerError):
    """Cameras are missing, unknown or doubled."""


class LightsFailed(ControllerError):
    """A light scene that could not be sent."""


class FrameRejected(ControllerError):
    """A photograph that arrived and cannot be kept; the reason is the message."""

    exit_code = 4


class TakeFailed(ControllerError):
    """A take that is not whole; the message is describe_failure's."""

    def __init__(self, take: str, faults: Mapping[str, str], message: str) -> None:
        super().__init__(message)
        self.take = take
        self.faults = dict(faults)


def describe_failure(
    take: str, cameras: int, faults: Mapping[str, str], retake: str, verb: str = "kept", keep: str = ""
) -> str:
    """One line for the take, one for each camera that failed, and the command to run.

    keep: the command that keeps the take as it is, where that may be done.
    """
    width = max((len(name) for name in faults), default=0)
    lines = [f"Take {take} was not {verb}: {len(faults)} of {cameras} cameras failed."]
    lines += [f"  {name:<{width}}  {reason}" for name, reason in sorted(faults.items())]
    if keep:
        lines.append(f"To keep it without:  {keep}")
    lines.append(f"Fix these, then:  {retake}")
    return "\n".join(lines)
