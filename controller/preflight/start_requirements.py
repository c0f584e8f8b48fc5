"""Requirements of a session's start: looked at without arming or lighting anything, and the decision to do without."""

from collections.abc import Collection, Iterable, Mapping

from common.terminal.phrases import listed
from controller.errors import ConfigurationError, NotPrepared
from controller.node_links.node_registry import NodeState
from controller.preflight.preflight import (
    PreflightCheck,
    StudioCondition,
    check_aside,
    check_calibration,
    check_filing,
    check_roster,
)
from controller.rig.roster import Roster
from controller.rig_file import Rig
from db.engine import utc_now

WITHOUT = ("cameras", "aside", "filing", "calibration", "lags")


def check_lags(
    rig: Rig, nodes: Mapping[str, NodeState], measured: Collection[str], aside: Collection[str]
) -> PreflightCheck:
    """Cameras whose shutter lag nobody knows: neither measured, nor in the rig file, nor told by the node."""
    unknown = {
        camera.name: "not measured, not in rig.toml, not told by its node"
        for camera in rig.cameras
        if camera.name not in measured
        and camera.name not in aside
        and not camera.lag_ms
        and (node := nodes.get(camera.name)) is not None
        and not node.hello.lag_ns
    }
    text = "measure them:  mien rig lag --shots 30" if unknown else "every camera's is known"
    return PreflightCheck("lags", "fault" if unknown else "ok", text, unknown)


def lacking(checks: Iterable[PreflightCheck]) -> dict[str, str]:
    """What stands in the way of a session, by name."""
    return {check.name: described(check) for check in checks if check.level == "fault"}


def described(check: PreflightCheck) -> str:
    named = [f"{camera}: {text}" for camera, text in sorted(check.cameras.items())]
    return f"{check.text} ({listed(named, 4, '; ')})" if named else check.text


def require_decision(subject: str, found: Mapping[str, str], without: Collection[str]) -> dict[str, str]:
    """What the session begins without, by decision. Raises NotPrepared, naming all that nobody has decided about.

    Raises ConfigurationError for a name that means nothing.
    """
    unknown = [name for name in without if name not in WITHOUT]
    if unknown:
        raise ConfigurationError(f"--without {', '.join(unknown)}: there is {', '.join(WITHOUT)}")
    left = {name: text for name, text in found.items() if name not in without}
    if left:
        width = max(map(len, left))
        lines = [f"  {name:<{width}}  {text}" for name, text in left.items()]
        late = (
            ["A calibration that is added later serves the takes that have none:  mien rig calibration FILE"]
            if "calibration" in left
            else []
        )
        raise NotPrepared(
            "\n".join(
                [
                    f"No session was opened for {subject}. It lacks:",
                    *lines,
                    *late,
                    f"To begin all the same (recorded):  mien session start {subject} --without {','.join(found)}",
                ]
            )
        )
    return {name: text for name, text in found.items() if name in without}


def look(
    rig: Rig, roster: Roster, nodes: Mapping[str, NodeState], condition: StudioCondition, measured: Collection[str]
) -> list[PreflightCheck]:
    """The checks. roster: without the cameras aside; measured: cameras with a kept lag."""
    return [
        check_roster(roster),
        check_aside(rig, condition.aside, condition.broken),
        check_filing(condition.filing_trouble),
        check_calibration(condition.calibration, utc_now(), rig.preflight.max_calibration_age_h),
        check_lags(rig, nodes, measured, condition.aside),
    ]
