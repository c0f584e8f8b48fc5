"""Takes that are whole without a camera, and photographs that come late.

A camera that was aside when a take was planned belongs to it no more than one of another rig. A take that failed for
missing photographs may be kept without them by decision. A photograph that comes late completes its take, whatever was
decided: what was decided about a camera counts only while its photograph is not there.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, func, insert, select, update
from sqlalchemy.orm import Session

from db import captures
from db import session_rules as rules
from db.audit import audit_log
from db.engine import changed, utc_now
from db.errors import StateConflict
from db.models import AbsenceKind, Artefact, ArtefactParent, Camera, Frame, Take, TakeAbsence, TakeState


@dataclass(frozen=True)
class Absence:
    """A camera without which a take is whole."""

    camera: str
    kind: AbsenceKind
    reason: str
    came_at: datetime | None = None  # when its photograph came all the same


def absences_of(tx: Session, take_id: int) -> list[Absence]:
    """The cameras without which this take is whole, in order of view; those whose photographs came late too."""
    query = (
        select(Camera.name, TakeAbsence.kind, TakeAbsence.reason, TakeAbsence.came_at)
        .join(Camera, Camera.id == TakeAbsence.camera_id)
        .where(TakeAbsence.take_id == take_id)
        .order_by(Camera.view_index)
    )
    return [Absence(*row) for row in tx.execute(query)]


def absent_views(tx: Session, take_ids: Collection[int]) -> dict[int, dict[int, AbsenceKind]]:
    """take -> view -> why it is whole without that view; not those whose photographs came all the same."""
    query = (
        select(TakeAbsence.take_id, Camera.view_index, TakeAbsence.kind)
        .join(Camera, Camera.id == TakeAbsence.camera_id)
        .where(TakeAbsence.take_id.in_(list(take_ids)), TakeAbsence.came_at.is_(None))
        .order_by(TakeAbsence.take_id, Camera.view_index)
    )
    found: dict[int, dict[int, AbsenceKind]] = {}
    for take, view, kind in tx.execute(query):
        found.setdefault(take, {})[view] = kind
    return found


def record_aside(tx: Session, take: Take, reasons: Mapping[int, str]) -> None:
    """The cameras (id -> reason) that are aside while this take is planned: it is whole without them."""
    _record(tx, take, AbsenceKind.ASIDE, reasons)


def keep_without(tx: Session, take: Take, cameras: Collection[int], reason: str, problem: str) -> None:
    """failed -> captured: a fired take that lacks exactly these cameras' photographs is kept by decision.

    problem: what is said of the take from now on. Raises StateConflict for a take that was not fired, that did not
    fail, or that lacks other photographs than these.
    """
    captures.lock_take(tx, take)
    if take.fired_at is None:
        raise StateConflict(f"Take {take.code} was never fired; there is nothing to keep")
    lacking = {camera.id: camera.name for camera in captures.missing_cameras(tx, take)}
    if take.state is not TakeState.FAILED or set(lacking) != set(cameras) or not lacking:
        names = ", ".join(lacking.values()) or "no photograph"
        raise StateConflict(f"Take {take.code} is {take.state} and lacks {names}; it is not kept without others")
    _record(tx, take, AbsenceKind.DECIDED, dict.fromkeys(cameras, reason))
    captures.move_take(tx, take, rules.COMPLETE, problem=problem)
    # The reason is in free words that may speak of somebody, so it stays out of the audit log, which forgets nothing.
    audit_log.record(tx, "take.keep_without", "take", take.code, {"cameras": sorted(lacking.values())})


@dataclass(frozen=True)
class LateArrival:
    """A photograph that came after its take was settled, in the transaction that adds it."""

    take: str
    camera: str
    before: TakeState  # of the take
    after: TakeState  # ... once the photograph is there
    lacking: tuple[str, ...]  # cameras of which a photograph is still missing
    decided: str | None = None  # why the take had been kept without it, None when it had not
    stands: str | None = None  # another take of the expression that stands now

    @property
    def completes(self) -> bool:
        """Whether the take had failed and is whole now."""
        return self.before is TakeState.FAILED and not self.lacking


def note_arrival(tx: Session, take: Take, camera: Camera) -> LateArrival | None:
    """What the photograph that was just added changes; None while its take is still under way.

    The caller holds the take's row (captures.lock_take). A failed take that is whole now becomes captured, beside those
    that were there before; where a later attempt stands, or stood, this one becomes superseded itself.
    """
    if take.state in rules.UNDER_WAY:
        return None
    decided = _mark_came(tx, take, camera)
    before = take.state
    lacking = tuple(other.name for other in captures.missing_cameras(tx, take))
    stands = None
    if before is TakeState.FAILED and not lacking:
        later = [other for other in captures.other_takes(tx, take, rules.WHOLE) if other.attempt > take.attempt]
        stands = later[-1].code if later else None
        captures.move_take(tx, take, rules.COMPLETE_BESIDE if later else rules.COMPLETE)
        if not later:
            accepted = captures.other_takes(tx, take, (TakeState.ACCEPTED,))
            stands = accepted[-1].code if accepted else None
    detail = {"camera": camera.name, "before": before.value, "after": take.state.value, "lacking": list(lacking)}
    audit_log.record(tx, "take.late_photograph", "take", take.code, detail)
    return LateArrival(take.code, camera.name, before, take.state, lacking, decided, stands)


def set_problem(tx: Session, take: Take, problem: str | None) -> None:
    """What is said of a take that is settled."""
    tx.execute(update(Take).where(Take.id == take.id).values(problem=problem))
    tx.refresh(take, ["problem"])


def made_before_arrival(tx: Session, scans: Mapping[int, int]) -> dict[int, list[str]]:
    """Takes whose scan lacks photographs that came late: take -> names of their cameras. scans: take -> artefact."""
    late = (
        select(TakeAbsence.take_id, Camera.name, Frame.sha256)
        .join(Camera, Camera.id == TakeAbsence.camera_id)
        .join(Frame, (Frame.take_id == TakeAbsence.take_id) & (Frame.camera_id == TakeAbsence.camera_id))
        .where(TakeAbsence.came_at.is_not(None), TakeAbsence.take_id.in_(list(scans)))
        .order_by(Camera.view_index)
    )
    found: dict[int, list[str]] = {}
    for take, camera, sha256 in tx.execute(late).all():
        used = (
            exists()
            .where(ArtefactParent.artefact_id == Artefact.id, ArtefactParent.frame_id == Frame.id)
            .where(Frame.sha256 == sha256)
            .correlate(Artefact)
        )
        if not tx.scalar(select(func.count()).select_from(Artefact).where(Artefact.id == scans[take], used)):
            found.setdefault(take, []).append(camera)
    return found


def _record(tx: Session, take: Take, kind: AbsenceKind, reasons: Mapping[int, str]) -> None:
    now = utc_now()
    rows = [
        {"take_id": take.id, "camera_id": camera, "kind": kind, "reason": reason, "recorded_at": now}
        for camera, reason in reasons.items()
    ]
    if rows:
        tx.execute(insert(TakeAbsence), rows)


def _mark_came(tx: Session, take: Take, camera: Camera) -> str | None:
    """The reason of the decision that this photograph undoes."""
    here = (TakeAbsence.take_id == take.id, TakeAbsence.camera_id == camera.id, TakeAbsence.came_at.is_(None))
    reason = tx.scalar(select(TakeAbsence.reason).where(*here))
    if reason is not None:
        changed(tx, update(TakeAbsence).where(*here).values(came_at=utc_now()))
    return reason
