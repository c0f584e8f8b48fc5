"""From the studio to the farm: a closed session is the hand-off; the farm finds its accepted takes in the database."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.errors import SessionError
from controller.records import Records
from db.models import TakeState
from db.store import Store


@dataclass(frozen=True)
class Handoff:
    """What the farm will find: codes of accepted takes, and how many photographs stand behind them.

    without: of the takes that are whole without a camera, which and why ("aside: shutter stuck").
    """

    session: str
    takes: tuple[str, ...]
    photographs: int
    without: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def hand_over(records: Records, store: Store, session: str, incomplete: bool = False) -> Handoff:
    """Close the session once everything that the farm needs is there.

    Raises SessionError when expressions are not accepted (unless `incomplete`), or when an accepted take lacks a
    photograph in the records or in the store: the farm is never handed a take that it cannot work on. Cameras that
    were aside, and photographs that it was kept without by decision, are not asked for.
    """
    script = records.script(session)
    script.check_close(incomplete=incomplete)
    takes, count = [], 0
    without: dict[str, dict[str, str]] = {}
    for take in script.takes:
        if take.state is not TakeState.ACCEPTED:
            continue
        photographs = records.photographs(take.code)
        lost = [camera for camera, sha256 in photographs.items() if not store.exists(sha256)]
        lacking = records.lacking(take.code)
        if lacking or lost:
            gone = f" and the store has lost those of {', '.join(lost)}" if lost else ""
            raise SessionError(
                f"Session {session} cannot be closed: "
                f"{take.code} has {len(photographs)} of {len(photographs) + len(lacking)} photographs{gone}. "
                f"Take it again:  mien session retake {script.reference(take.position)}"
            )
        absent = {a.camera: f"{a.kind}: {a.reason}" for a in take.absent if a.came_at is None}
        if absent:
            without[take.code] = absent
        takes.append(take.code)
        count += len(photographs)
    records.close_session(session, incomplete)
    records.tell_store(store)
    return Handoff(session, tuple(takes), count, without)
