"""From the studio to the farm: a closed session is the hand-off; the farm finds its accepted takes in the database."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from common.terminal.phrases import listed
from controller.errors import SessionError
from controller.sessions.operator_decisions import ClosingDecision, Decisions
from controller.sessions.session_state import SessionStateMachine, TakeLine
from controller.sessions.session_store import SessionStore
from db.models import TakeState
from db.store import Store
from db.takes.farm_handoff import HeldBackTake


@dataclass(frozen=True)
class FarmHandoff:
    """What the farm finds of a closed session, by codes of takes."""

    session: str  # its code
    takes: tuple[str, ...]  # accepted ones
    photographs: int  # how many stand behind them
    # take -> camera without which it is whole -> why ("aside: shutter stuck")
    without: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ready: tuple[str, ...] = ()  # accepted takes that the farm can work on
    held: tuple[HeldBackTake, ...] = ()  # the other accepted ones, why, and what to do
    dropped: tuple[str, ...] = ()  # whole takes that nobody wanted; they are kept
    left: tuple[str, ...] = ()  # whole takes that nobody may decide about, as the subject has withdrawn
    ready_photographs: int = 0  # how many stand behind the ready ones

    def lines(self) -> list[str]:
        """For the operator: what is ready, what is not, why, and what to do."""
        count, ready = len(self.takes), len(self.ready)
        told = f"{self.ready_photographs} photographs" if ready else "nothing for it yet"
        lines = [f"{self.session} closed: {ready} of {count} accepted takes ready for the farm, {told}"]
        for held in self.held:
            lines += [f"  not ready: {listed(held.takes)}: {held.why}", f"    {held.do}"]
        if self.dropped:
            lines.append(f"  dropped, and kept all the same: {listed(self.dropped)}")
        if self.left:
            lines.append(f"  not decided, and in quarantine: {listed(self.left)}")
        return lines


def hand_over(
    records: SessionStore,
    decisions: Decisions,
    store: Store,
    session: str,
    incomplete: bool = False,
    keep: Collection[str] = (),
    drop: Collection[str] = (),
    keep_all: bool = False,
) -> FarmHandoff:
    """Close the session once everything that the farm needs is there.

    keep, drop, keep_all: what becomes of whole takes that nobody has accepted. Raises DecisionNeeded, listing them,
    where that is not said of each; SessionError when expressions are not accepted (unless `incomplete`), or when an
    accepted take lacks a photograph in the records or in the store. Cameras that were aside, and photographs that it
    was kept without by decision, are not asked for.
    """
    state = records.state_of(session)
    state.check_close(incomplete, decisions.positions_kept(state, keep, keep_all))
    kept = decisions.kept(state, keep, drop, keep_all)
    for take in _to_stand(state, kept):
        _require_photographs(records, store, state, take)
    closed = decisions.close(session, incomplete, kept)
    records.tell_store(store)
    state = records.state_of(session)
    takes = [take for take in state.takes if take.state is TakeState.ACCEPTED]
    without = {
        take.code: {a.camera: f"{a.kind}: {a.reason}" for a in take.absent if a.came_at is None} for take in takes
    }
    return FarmHandoff(
        session,
        tuple(take.code for take in takes),
        sum(take.frames for take in takes),
        {code: absent for code, absent in without.items() if absent},
        closed.ready,
        closed.held,
        tuple(take.code for take in state.takes if take.dropped),
        tuple(take.code for take in state.undecided()),
        sum(take.frames for take in takes if take.code in closed.ready),
    )


def _to_stand(state: SessionStateMachine, kept: ClosingDecision) -> list[TakeLine]:
    """Takes that will be accepted once the session is closed."""
    chosen = {take.position for take in state.takes if take.code in kept.keep}
    return [
        take
        for take in state.takes
        if take.code in kept.keep or (take.state is TakeState.ACCEPTED and take.position not in chosen)
    ]


def _require_photographs(records: SessionStore, store: Store, state: SessionStateMachine, take: TakeLine) -> None:
    photographs = records.photographs(take.code)
    lost = [camera for camera, sha256 in photographs.items() if not store.exists(sha256)]
    lacking = records.lacking(take.code)
    if lacking or lost:
        gone = f" and the store has lost those of {', '.join(lost)}" if lost else ""
        raise SessionError(
            f"Session {state.session} cannot be closed: "
            f"{take.code} has {len(photographs)} of {len(photographs) + len(lacking)} photographs{gone}. "
            f"Take it again:  mien session retake {state.reference(take.position)}"
        )
