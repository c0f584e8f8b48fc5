"""What the studio writes down: each step one short transaction, and the take journalled before anything fires."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session, selectinload

from camera_nodes.wire import Offer, Stamps
from common.photograph_facts import FileKind
from controller.errors import FrameRejected
from controller.firing.fire_timing import NS_PER_MS, Skew
from controller.image_files.exif_consistency import deviations
from controller.image_files.photograph_reader import PhotographHeader, exif_of
from controller.ingest.file_commit import ReceivedPhotograph
from controller.rig_file import DEFAULT_PROFILE, Rig
from controller.sessions.late_photographs import faults_told, flags_of, problem_after
from controller.sessions.session_state import ExpressionState, SessionStateMachine, TakeLine
from db import captures, store_identity
from db.audit import audit_log
from db.consents import capture_consent
from db.engine import reading, transaction, utc_now
from db.errors import NotFound, RecordError, StateConflict
from db.models import (
    AbsenceKind,
    ActKind,
    Camera,
    CameraTier,
    CaptureSession,
    ExposureSource,
    FormerTakeCode,
    Frame,
    RawFile,
    SessionAct,
    Take,
    TakeAbsence,
    TakeState,
)
from db.protocols import get_protocol
from db.store import Store
from db.subjects import get_subject
from db.takes import missing_photographs, take_decisions
from db.takes.missing_photographs import Absence, LateArrival

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UnsettledTake:
    """A take that was under way when the controller stopped. filed: cameras already; aside: camera -> reason."""

    take: str
    state: TakeState
    filed: tuple[str, ...]
    aside: Mapping[str, str]


class SessionStore:
    """The database as the controller sees it, for one rig."""

    def __init__(self, engine: Engine, rig: Rig) -> None:
        self._engine = engine
        self._rig = rig
        places = [
            captures.CameraPlace(
                view_index=camera.view,
                name=camera.name,
                url=camera.url,
                tier=CameraTier(camera.tier),
                serial=camera.serial or None,
            )
            for camera in rig.cameras
        ]
        with transaction(engine) as tx:
            row = captures.ensure_rig(tx, rig.name, places)
            self._cameras: Mapping[str, int] = {camera.name: camera.id for camera in row.cameras}

    # --- sessions ---

    def add_calibration(self, method: str, data: Mapping[str, Any]) -> int:
        """The version under which this calibration of the rig is kept; data: FaceScape's params.json keys."""
        with transaction(self._engine) as tx:
            return captures.add_calibration(tx, captures.get_rig(tx, self._rig.name), method, data).version

    def start_session(
        self,
        subject: str,
        protocol: str | None,
        version: int | None,
        profile: str = DEFAULT_PROFILE,
        *,
        consent_later: bool = False,
        without: Mapping[str, str] | None = None,
    ) -> str:
        """Open a session with the rig's newest calibration and return its code.

        consent_later: although no consent of the subject is recorded yet. without: what was lacking, and somebody
        decided to begin all the same. Both are kept with who and when. Raises RecordError for an unknown subject or
        protocol or when the rig has an open session, ConsentError for a subject who does not consent.
        """
        with transaction(self._engine) as tx:
            who = get_subject(tx, subject)
            later = capture_consent.require_to_start(tx, who, consent_later)
            what = get_protocol(tx, protocol, version) if protocol else get_protocol(tx, version=version)
            rig = captures.get_rig(tx, self._rig.name)
            opened = captures.start_session(tx, who, what, rig, captures.newest_calibration(tx, rig), profile)
            tx.flush()
            detail: dict[str, Any] = {"protocol": what.name, "version": what.version, "profile": profile}
            if later:
                take_decisions.note(tx, opened.id, ActKind.CONSENT_LATER)
                detail["consent_later"] = True
            if without:
                take_decisions.note(tx, opened.id, ActKind.WITHOUT, None, {"lacking": dict(without)})
                detail["without"] = sorted(without)
            audit_log.record(tx, "session.start", "session", opened.code, detail)
            return opened.code

    def open_session(self) -> str | None:
        """The code of the session that is open on this rig."""
        with reading(self._engine) as tx:
            found = captures.open_session_of(tx, captures.get_rig(tx, self._rig.name))
            return None if found is None else found.code

    def tell_store(self, store: Store) -> None:
        """The store notes how far the records have come, so that an older copy of them is recognised beside it."""
        try:
            verdict = store_identity.note(self._engine, store)
            said = "" if verdict.same else verdict.message
        except RecordError as error:
            said = str(error)
        if said:
            log.warning("the store was not told of the session: %s", said)

    def script(self, session: str) -> SessionStateMachine:
        """The session as it stands now. Raises NotFound."""
        with reading(self._engine) as tx:
            row = captures.get_session(tx, session)
            counted = select(Frame.take_id, func.count()).join(Take).where(Take.session_id == row.id)
            counts = {found[0]: found[1] for found in tx.execute(counted.group_by(Frame.take_id))}
            load = (selectinload(Take.expression), selectinload(Take.absences).joinedload(TakeAbsence.camera))
            former: dict[int, list[FormerTakeCode]] = {}
            query_former = select(FormerTakeCode).where(FormerTakeCode.session_id == row.id)
            for code in tx.scalars(query_former.order_by(FormerTakeCode.id)):
                former.setdefault(code.take_id, []).append(code)
            places = {e.id: e.position for e in row.protocol.expressions}
            given_away = {
                position: max(c.attempt for f in former.values() for c in f if places[c.expression_id] == position)
                for position in {places[c.expression_id] for f in former.values() for c in f}
            }
            query = select(Take).where(Take.session_id == row.id).options(*load)
            takes = tx.scalars(query.order_by(Take.id)).all()
            return SessionStateMachine(
                session=row.code,
                subject=row.subject.code,
                state=row.state,
                expressions=tuple(ExpressionState(e.position, e.name, e.instruction) for e in row.protocol.expressions),
                takes=tuple(_line(take, counts.get(take.id, 0), former.get(take.id, ())) for take in takes),
                profile=row.profile,
                skipped={skip.expression.position: skip.reason for skip in row.skips},
                given_away=given_away,
                consent=capture_consent.consenting(tx, row.subject_id).value,
                consent_later=capture_consent.later_of(tx, row.id),
                without=_begun_without(tx, row.id),
            )

    # --- takes ---

    def plan(
        self, session: str, position: int, profile: str | None = None, aside: Mapping[str, str] | None = None
    ) -> str:
        """Journal the next attempt and return its code; nothing has fired yet. `profile`: the session's by default.

        aside: the cameras that take no part in it, and why. Raises ConsentError when the subject has withdrawn.
        """
        with transaction(self._engine) as tx:
            row = captures.get_session(tx, session)
            captures.require_open(tx, row)
            capture_consent.require(tx, row)
            skipped = take_decisions.skip_reason(tx, row.id, captures.expression_at(tx, row, position).id)
            take = captures.plan_take(tx, row, position, profile=profile)
            take_decisions.note(tx, row.id, ActKind.FIRE, take, {} if skipped is None else {"skipped": skipped})
            reasons = {self._cameras[camera]: reason for camera, reason in (aside or {}).items()}
            missing_photographs.record_aside(tx, take, reasons)
            return take.code

    def fired(self, take: str, setup: Mapping[str, Any] | None = None) -> None:
        """Written before FIRE goes out, so a controller that is killed in between knows that photographs may come.

        setup: what was sent to cameras and lights for this take. Raises ConsentError when the subject has withdrawn
        since the take was planned.
        """
        with transaction(self._engine) as tx:
            row = captures.get_take(tx, take)
            capture_consent.require(tx, row.session)
            captures.fire_take(tx, row)
            if setup is not None:
                captures.record_setup(tx, row, setup)

    def failed(self, take: str, problem: str, skew: Skew | None = None) -> None:
        with transaction(self._engine) as tx:
            row = captures.get_take(tx, take)
            if skew is not None:
                _record_skew(tx, row, skew)
            captures.fail_take(tx, row, problem)

    def look_again(self, take: str, cameras: Sequence[str]) -> LateArrival | None:
        """Once a take has failed for want of these cameras' photographs: whether the last came that very moment.

        Whoever files a photograph from then on sees that the take has failed, and completes it.
        """
        with transaction(self._engine) as tx:
            row = captures.get_take(tx, take)
            captures.lock_take(tx, row)
            if row.state is not TakeState.FAILED or captures.missing_cameras(tx, row):
                return None
            return self._arrived(tx, row, cameras[-1])

    def captured(self, take: str, skew: Skew, flags: Sequence[str], stamps: Mapping[str, Stamps]) -> None:
        """The take is whole: its numbers and its stamps, in one transaction. Takes before it stay what they are."""
        with transaction(self._engine) as tx:
            row = captures.get_take(tx, take)
            _record_skew(tx, row, skew)
            for camera, stamp in stamps.items():
                where = (Frame.take_id == row.id, Frame.camera_id == self._cameras[camera])
                tx.execute(update(Frame).where(*where, Frame.command_error_ms.is_(None)).values(_stamped(stamp)))
            captures.capture_take(tx, row)
            if flags:
                tx.execute(update(Take).where(Take.id == row.id).values(problem="; ".join(flags)))

    def accept(self, take: str, *, choose: bool = False) -> list[str]:
        """Exactly this take stands for its expression; codes of the whole ones that were put beside it by that.

        choose: also one that was put beside or dropped. Raises StateConflict, ConsentError.
        """
        with transaction(self._engine) as tx:
            return [other.code for other in take_decisions.accept_take(tx, captures.get_take(tx, take), choose=choose)]

    def accept_without(self, take: str, cameras: Sequence[str], reason: str) -> None:
        """A take that failed for want of exactly these cameras' photographs is accepted without them, by decision.

        Raises StateConflict when it is not so (any more), and when a whole take of the expression is accepted.
        """
        with transaction(self._engine) as tx:
            row = captures.get_take(tx, take)
            captures.require_open(tx, row.session)
            capture_consent.require(tx, row.session)
            take_decisions.require_no_whole_one(tx, row)
            others = faults_told(row.problem or "", but=frozenset(cameras)) if row.problem else ""
            said = [f"kept without {', '.join(cameras)} by decision: {reason}", *flags_of(row, self._rig.sync)]
            problem = "; ".join([*said, others] if others else said)
            missing_photographs.keep_without(tx, row, [self._cameras[camera] for camera in cameras], reason, problem)
            take_decisions.accept_take(tx, row)

    def lacking(self, take: str) -> list[str]:
        """Cameras of which the take has no photograph, in order of view; not those without which it is whole."""
        with reading(self._engine) as tx:
            return [camera.name for camera in captures.missing_cameras(tx, captures.get_take(tx, take))]

    def unsettled(self) -> list[UnsettledTake]:
        """Takes of this rig that were under way when the controller stopped."""
        names = {number: name for name, number in self._cameras.items()}
        with reading(self._engine) as tx:
            rig = captures.get_rig(tx, self._rig.name)
            query = (
                select(Take)
                .join(CaptureSession)
                .where(CaptureSession.rig_id == rig.id, Take.state.in_((TakeState.PLANNED, TakeState.FIRED)))
                .options(selectinload(Take.frames))
                .order_by(Take.id)
            )
            return [
                UnsettledTake(
                    take.code,
                    take.state,
                    tuple(names[frame.camera_id] for frame in take.frames),
                    {absence.camera: absence.reason for absence in missing_photographs.absences_of(tx, take.id)},
                )
                for take in tx.scalars(query).all()
            ]

    def take(self, take: str) -> TakeLine:
        """One take as it stands. Raises NotFound."""
        with reading(self._engine) as tx:
            row = captures.get_take(tx, take)
            frames = tx.scalar(select(func.count()).select_from(Frame).where(Frame.take_id == row.id)) or 0
            codes = tx.scalars(select(FormerTakeCode).where(FormerTakeCode.take_id == row.id)).all()
            return _line(row, frames, codes)

    def photographs(self, take: str) -> dict[str, str]:
        """SHA-256 of each photograph of a take, by camera in order of view."""
        return self._hashes(take, Frame)

    # --- frames ---

    def filed(self, take: str, camera: str, kind: FileKind = "jpeg") -> str | None:
        """The hash of the photograph (or raw file) that this camera has in this take.

        Raises FrameRejected for a camera or a take that the records do not know.
        """
        if camera not in self._cameras:
            raise FrameRejected(f"{camera} is not in the rig {self._rig.name}")
        with reading(self._engine) as tx:
            try:
                row = captures.get_take(tx, take)
            except NotFound:
                raise FrameRejected(f"no take {take} is recorded here") from None
            if row.fired_at is None:
                raise FrameRejected(f"take {take} was never fired")
            table = RawFile if kind == "raw" else Frame
            where = (table.take_id == row.id, table.camera_id == self._cameras[camera])
            return tx.scalar(select(table.sha256).where(*where))

    def fired_at(self, take: str) -> datetime | None:
        """When a take's fire was journalled. Raises NotFound."""
        with reading(self._engine) as tx:
            return captures.get_take(tx, take).fired_at

    def deviations(self, take: str) -> dict[str, str]:
        """By camera, where a photograph was exposed otherwise than the take was set up."""
        with reading(self._engine) as tx:
            row = captures.get_take(tx, take)
            setup: Mapping[str, str] = (row.setup or {}).get("exposure") or {}
            query = (
                select(Camera.name, Frame.exif)
                .join(Camera, Camera.id == Frame.camera_id)
                .where(Frame.take_id == row.id)
                .order_by(Camera.view_index)
            )
            found = {camera: "; ".join(deviations(exif_of(exif), setup)) for camera, exif in tx.execute(query)}
        return {camera: text for camera, text in found.items() if text}

    def was_aside(self, take: str, camera: str) -> bool:
        """Whether this camera was aside when the take was planned."""
        with reading(self._engine) as tx:
            aside = (
                select(TakeAbsence.id)
                .join(Take, Take.id == TakeAbsence.take_id)
                .join(Camera, Camera.id == TakeAbsence.camera_id)
                .where(Take.id == captures.get_take(tx, take).id)
                .where(Camera.name == camera, TakeAbsence.kind == AbsenceKind.ASIDE)
            )
            return tx.scalar(aside) is not None

    def add_file(self, arrival: ReceivedPhotograph, stamp: Stamps | None) -> LateArrival | None:
        """The row of a photograph or a raw file: ONE transaction, with what follows when the take was settled before.

        Returns what a photograph that came late has changed. Raises FrameRejected when the camera has another one in
        this take.
        """
        camera, content = self._cameras[arrival.camera], arrival.content
        try:
            with transaction(self._engine) as tx:
                take = captures.get_take(tx, arrival.take_id)
                if isinstance(content, PhotographHeader):
                    size_px = content.width, content.height
                    frame = captures.FrameData.of(arrival, camera, size_px, content.exif.values())
                    if stamp is not None:
                        frame = replace(frame, **_stamped(stamp))
                    if captures.add_frames(tx, take, [frame]):
                        return self._arrived(tx, take, arrival.camera)
                else:
                    model = f"{content.make} {content.model}".strip()[:100]
                    captures.add_raw(tx, take, captures.RawData.of(arrival, camera, content.format, model))
        except StateConflict as conflict:
            raise FrameRejected(str(conflict)) from conflict
        return None

    def _arrived(self, tx: Session, take: Take, camera: str) -> LateArrival | None:
        found = missing_photographs.note_arrival(tx, take, tx.get_one(Camera, self._cameras[camera]))
        if found is not None:
            missing_photographs.set_problem(tx, take, problem_after(found, take, self._rig.sync, utc_now()))
        return found

    def raw_files(self, take: str) -> dict[str, str]:
        """SHA-256 of each raw file of a take that has come in, by camera in order of view."""
        return self._hashes(take, RawFile)

    def _hashes(self, take: str, kind: type[Frame] | type[RawFile]) -> dict[str, str]:
        with reading(self._engine) as tx:
            query = (
                select(Camera.name, kind.sha256)
                .join(Camera, Camera.id == kind.camera_id)
                .join(Take, Take.id == kind.take_id)
                .where(Take.code == take)
                .order_by(Camera.view_index)
            )
            return {row[0]: row[1] for row in tx.execute(query)}

    def note_rejection(self, offer: Offer, reason: str) -> None:
        """A file that came and cannot be used: kept on the node, and written down here."""
        detail = {"camera": offer.camera, "kind": offer.kind, "sha256": offer.sha256, "reason": reason[:1000]}
        with transaction(self._engine) as tx:
            audit_log.record(tx, "file.rejected", "take", offer.take_id[:64], detail)

    def serial(self, camera: str) -> str:
        """The serial number that the rig file expects at this place; empty when it names none."""
        return next((entry.serial for entry in self._rig.cameras if entry.name == camera), "")


def _stamped(stamp: Stamps) -> dict[str, Any]:
    """What a frame's row keeps of its camera's stamps."""
    released_ns = stamp.released_at_ns
    return {
        "exposed_at_ns": stamp.exposed_at_ns,
        "command_error_ms": None if released_ns is None else (released_ns - stamp.commanded_at_ns) / NS_PER_MS,
        "clock_uncertainty_ms": stamp.clock_uncertainty_ns / NS_PER_MS,
        "clock_source": stamp.clock_source,
        "clock_offset_ns": stamp.clock_offset_ns,
        "clock_drift_ppb": stamp.clock_drift_ppb,
    }


def _record_skew(tx: Session, take: Take, skew: Skew) -> None:
    captures.record_sync(
        tx,
        take,
        command_skew_ms=skew.command_skew_ms,
        clock_uncertainty_ms=skew.clock_uncertainty_ms,
        exposure_skew_ms=skew.exposure_skew_ms,
        exposure_source=ExposureSource(skew.exposure_source),
    )


def _begun_without(tx: Session, session: int) -> dict[str, str]:
    """What was lacking when the session began by decision."""
    query = select(SessionAct.detail).where(SessionAct.session_id == session, SessionAct.kind == ActKind.WITHOUT)
    found = tx.scalar(query.limit(1))
    return dict((found or {}).get("lacking", {}))


def _line(take: Take, frames: int, former: Sequence[FormerTakeCode] = ()) -> TakeLine:
    return TakeLine(
        code=take.code,
        position=take.expression.position,
        attempt=take.attempt,
        state=take.state,
        problem=take.problem,
        command_skew_ms=take.command_skew_ms,
        clock_uncertainty_ms=take.clock_uncertainty_ms,
        exposure_skew_ms=take.exposure_skew_ms,
        exposure_source=take.exposure_source.value,
        frames=frames,
        profile=take.profile,
        setup=take.setup,
        absent=tuple(Absence(a.camera.name, a.kind, a.reason, a.came_at) for a in take.absences),
        dropped=take.dropped_at is not None,
        former=tuple(code.code for code in former if code.code != take.code),
    )
