"""A take that lacks a photograph, kept by decision: what the operator must say, and when it is refused."""

import re
from collections.abc import Collection, Sequence

from controller.asides import LONGEST_REASON, AsideBook
from controller.errors import AsideRefused, SessionError
from controller.plain import plain
from controller.records import Records
from controller.script import Script, TakeLine
from db.models import TakeState


def accept_take(
    records: Records, asides: AsideBook, script: Script, expression: str | None, without: Collection[str], reason: str
) -> str:
    """Accept what an operator means by an expression (None: what waits), and return the take's code.

    Raises SessionError, and AsideRefused when more would be missing than may.
    """
    if expression is None:
        position = _waiting(records, asides, script, TakeState.FAILED if without else TakeState.CAPTURED)
    else:
        position = script.find(expression).position
    if without:
        named = re.fullmatch(r".*[Ee]\d+-(\d+)", expression or "")
        attempt = int(named.group(1)) if named else None
        return keep_without(records, asides, script, position, without, reason, attempt)
    if told := refusal(records, asides, script, position):
        raise SessionError(told)
    take = script.check_accept(position)
    records.accept(take.code)
    return take.code


def _waiting(records: Records, asides: AsideBook, script: Script, state: TakeState) -> int:
    """The expression of the take in this state that was fired last."""
    waiting = [take for take in script.takes if take.state is state]
    if waiting:
        return waiting[-1].position
    last = script.takes[-1].position if script.takes else None
    told = refusal(records, asides, script, last) if last is not None and state is TakeState.CAPTURED else ""
    raise SessionError(told or f"Session {script.session} has no {state} take that waits to be accepted")


def keep_without(
    records: Records,
    asides: AsideBook,
    script: Script,
    position: int,
    without: Collection[str],
    reason: str,
    attempt: int | None = None,
) -> str:
    """Accept an attempt (the last) although it lacks these cameras' photographs, and return the take's code.

    Raises SessionError when it does not lack exactly these, AsideRefused when too much would be missing.
    """
    reference = script.reference(position)
    take = script.check_keep(position, attempt)
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


def offer(asides: AsideBook, aside: Collection[str], lacking: Sequence[str], reference: str) -> str:
    """The command that keeps a take without these photographs; "" when it would be refused."""
    if not lacking or asides.broken({*lacking, *aside}):
        return ""
    return command(reference, lacking)


def refusal(records: Records, asides: AsideBook, script: Script, position: int) -> str:
    """Why a plain accept does not take the expression's failed take, and how it may be kept; "" for another cause."""
    takes = script.takes_of(position)
    last: TakeLine | None = takes[-1] if takes else None
    if last is None or last.state is not TakeState.FAILED or script.kept(position) is not None or not last.frames:
        return ""
    lacking = records.lacking(last.code)
    if not lacking:
        return ""
    reference = script.reference(position)
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
