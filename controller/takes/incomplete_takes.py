"""A take that lacks a photograph, kept by decision: what the operator must say, and when it is refused."""

from collections.abc import Collection, Sequence

from common.guarding.safe_text import plain
from controller.errors import AsideRefused, SessionError
from controller.rig.cameras_aside import LONGEST_REASON, CamerasAside
from controller.sessions.session_state import SessionStateMachine, TakeLine
from controller.sessions.session_store import SessionStore
from db.models import TakeState


def accept_take(
    records: SessionStore,
    asides: CamerasAside,
    state: SessionStateMachine,
    wanted: str | None,
    without: Collection[str],
    reason: str,
) -> tuple[str, list[str]]:
    """Accept the take that an operator means; its code, and those of whole ones that were put beside it by that.

    wanted: a take's code means exactly that take; an expression the take that is shown for it; None the one that waits.
    Raises SessionError, and AsideRefused when more would be missing than may.
    """
    if without:
        return _accept_without(records, asides, state, wanted, without, reason), []
    take = state.find_take(wanted) if wanted is not None else None
    if take is not None:
        if told := refusal(records, asides, state, take):
            raise SessionError(told)
        take = state.check_accept_take(take)
    else:
        position = state.find(wanted).position if wanted is not None else _waiting(records, asides, state)
        shown = state.shown(position)
        if shown is not None and (told := refusal(records, asides, state, shown)):
            raise SessionError(told)
        take = state.check_accept(position)
    return take.code, records.accept(take.code)


def _accept_without(
    records: SessionStore,
    asides: CamerasAside,
    state: SessionStateMachine,
    wanted: str | None,
    without: Collection[str],
    reason: str,
) -> str:
    if wanted is None:
        failed = [take for take in state.takes if take.state is TakeState.FAILED]
        if not failed:
            raise SessionError(f"Session {state.session} has no failed take that waits to be accepted")
        return keep_incomplete_take(records, asides, state, failed[-1].position, without, reason)
    named = state.find_take(wanted)
    if named is not None:
        return keep_incomplete_take(records, asides, state, named.position, without, reason, named.attempt)
    return keep_incomplete_take(records, asides, state, state.find(wanted).position, without, reason)


def _waiting(records: SessionStore, asides: CamerasAside, state: SessionStateMachine) -> int:
    """The expression whose take waits to be decided. Raises SessionError when there is none, or are several."""
    waiting = state.undecided()
    positions = {take.position for take in waiting}
    if len(positions) == 1:
        return positions.pop()
    if waiting:
        listed = "\n".join(f"  mien session accept {take.code}" for take in waiting)
        raise SessionError(f"{len(waiting)} takes wait to be decided; say which:\n{listed}")
    last = state.takes[-1] if state.takes else None
    told = refusal(records, asides, state, last) if last is not None else ""
    raise SessionError(told or f"Session {state.session} has no captured take that waits to be accepted")


def keep_incomplete_take(
    records: SessionStore,
    asides: CamerasAside,
    state: SessionStateMachine,
    position: int,
    without: Collection[str],
    reason: str,
    attempt: int | None = None,
) -> str:
    """Accept an attempt (the last) although it lacks these cameras' photographs, and return the take's code.

    Raises SessionError when it does not lack exactly these, AsideRefused when too much would be missing.
    """
    reference = state.reference(position)
    take = state.check_keep(position, attempt)
    reason = plain(reason.strip())
    if not reason or len(reason) > LONGEST_REASON:
        raise SessionError(f"Say why, in at most {LONGEST_REASON} characters:  {command(reference, sorted(without))}")
    lacking = records.lacking(take.code)
    if not lacking:
        raise SessionError(
            f"{take.code} lacks no photograph: it failed for another reason. To take it again:  "
            f"mien session retake {reference}"
        )
    there = [camera for camera in without if camera not in lacking]
    if there:
        raise SessionError(
            f"{take.code} does not lack {', '.join(there)}; it lacks {', '.join(lacking)}:  "
            f"{command(reference, lacking)}"
        )
    if set(without) != set(lacking):
        raise SessionError(
            f"{take.code} lacks more: {', '.join(lacking)}. To keep it without them all:  {command(reference, lacking)}"
        )
    broken = asides.broken({*lacking, *take.aside})
    if broken:
        raise AsideRefused(
            f"{take.code} cannot be kept without {', '.join(lacking)}:\n  "
            + "\n  ".join(broken)
            + f"\nTo take it again:  mien session retake {reference}"
        )
    records.accept_without(take.code, lacking, reason)
    return take.code


def offer(asides: CamerasAside, aside: Collection[str], lacking: Sequence[str], reference: str) -> str:
    """The command that keeps a take without these photographs; "" when it would be refused."""
    if not lacking or asides.broken({*lacking, *aside}):
        return ""
    return command(reference, lacking)


def refusal(records: SessionStore, asides: CamerasAside, state: SessionStateMachine, last: TakeLine) -> str:
    """Why a plain accept does not take this failed take, and how it may be kept; "" for another cause."""
    if last.state is not TakeState.FAILED or not last.frames:
        return ""
    lacking = records.lacking(last.code)
    if not lacking:
        return ""
    reference = state.reference(last.position)
    told = (
        f"Nothing to accept for {reference}: its last take, {last.code}, is failed and has no photograph of "
        f"{', '.join(lacking)}. To take it again:  mien session retake {reference}"
    )
    broken = asides.broken({*lacking, *last.aside})
    if broken:
        return told + "\nIt cannot be kept without:\n  " + "\n  ".join(broken)
    return f"{told}\nTo keep it without:  {command(reference, lacking)}"


def command(reference: str, lacking: Sequence[str]) -> str:
    return f"mien session accept {reference} --without {','.join(lacking)} --reason '...'"
