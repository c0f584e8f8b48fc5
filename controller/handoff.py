"""From the studio to the farm: a closed session is the hand-off; the farm finds its accepted takes in the database."""

from dataclasses import dataclass

from controller.errors import SessionError
from controller.records import Records
from db.models import TakeState
from db.store import Store


@dataclass(frozen=True)
class Handoff:
    """What the farm will find: codes of accepted takes, and how many photographs stand behind them."""

    session: str
    takes: tuple[str, ...]
    photographs: int


def hand_over(records: Records, store: Store, session: str, cameras: int, incomplete: bool = False) -> Handoff:
    """Close the session once everything that the farm needs is there.

    Raises SessionError when expressions are not accepted (unless `incomplete`), or when an accepted take lacks a
    photograph in the records or in the store: the farm is never handed a take that it cannot work on.
    """
    script = records.script(session)
    script.check_close(incomplete=incomplete)
    takes, count = [], 0
    for take in script.takes:
        if take.state is not TakeState.ACCEPTED:
            continue
        photographs = records.photographs(take.code)
        lost = [camera for camera, sha256 in photographs.items() if not store.exists(sha256)]
        if len(photographs) != cameras or lost:
            gone = f" and the store has lost those of {', '.join(lost)}" if lost else ""
            raise SessionError(
                f"Session {session} cannot be closed: "
                f"{take.code} has {len(photographs)} of {cameras} photographs{gone}. "
                f"Take it again:  mien session retake {script.reference(take.position)}"
            )
        takes.append(take.code)
        count += len(photographs)
    records.close_session(session, incomplete)
    return Handoff(session, tuple(takes), count)
