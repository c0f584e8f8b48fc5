"""Session store: a rig's sessions, takes and files in the database; each step is one short transaction.

A take is journalled before anything fires, so that a controller that is killed finds what was under way.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from camera_nodes.wire import Offer, Stamps
from common.photograph_facts import FileKind
from controller.errors import FrameRejected
from controller.firing.fire_timing import NS_PER_MS, Skew
from controller.image_files.photograph_reader import PhotographHeader
from controller.ingest.file_commit import ReceivedPhotograph
from controller.rig_file import DEFAULT_PROFILE, Rig
from controller.sessions import session_queries
from controller.sessions.late_photographs import faults_summary, flags_of, problem_with_arrival
from controller.sessions.session_queries import SessionSummary, UnsettledTake
from controller.sessions.session_state import SessionStateMachine, TakeLine
from db import captures, store_identity
from db.audit import audit_log
from db.consents import capture_consent
from db.engine import reading, transaction, utc_now
from db.errors import NotFound, RecordError, StateConflict
from db.models import (
    ActKind,
    Camera,
    CameraTier,
    ExposureSource,
    Frame,
    RawFile,
    SessionState,
    Take,
    TakeState,
)
from db.protocols import get_protocol
from db.rigs import rig_records
from db.store import Store
from db.subjects import get_subject
from db.takes import missing_photographs, take_decisions
from db.takes.missing_photographs import LateArrival

log = logging.getLogger(__name__)


class SessionStore:
    """The records of one rig's sessions. Thread-safe: nothing is kept between calls but the cameras' row numbers."""

    def __init__(self, engine: Engine, rig: Rig) -> None:
        self._engine = engine
        self._rig = rig
        places = [
            rig_records.CameraPlace(
                view_index=camera.view,
                name=camera.name,
                url=camera.url,
                tier=CameraTier(camera.tier),
                serial=camera.serial or None,
            )
            for camera in rig.cameras
        ]
        with transaction(engine) as tx:
            row = rig_records.ensure_rig(tx, rig.name, places)
            self._cameras: Mapping[str, int] = {camera.name: camera.id for camera in row.cameras}

    # --- sessions ---

    def add_calibration(self, method: str, data: Mapping[str, Any]) -> int:
        """The version under which this calibration of the rig is kept; data: FaceScape's params.json keys."""
        with transaction(self._engine) as tx:
            return rig_records.add_calibration(tx, rig_records.get_rig(tx, self._rig.name), method, data).version

    def newest_calibration(self) -> tuple[int | None, datetime | None]:
        """Version and time of the rig's newest calibration; nothing when there is none."""
        with reading(self._engine) as tx:
            return rig_records.newest_calibration_time(tx, rig_records.rig_row(tx, self._rig.name))

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
            rig = rig_records.get_rig(tx, self._rig.name)
            opened = captures.start_session(tx, who, what, rig, rig_records.newest_calibration(tx, rig), profile)
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
            found = captures.open_session_of(tx, rig_records.rig_row(tx, self._rig.name))
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

    def state_of(self, session: str) -> SessionStateMachine:
        """The session as it stands now. Raises NotFound."""
        with reading(self._engine) as tx:
            return session_queries.session_state(tx, session)

    def sessions(self, *states: SessionState) -> list[SessionSummary]:
        """The rig's sessions in these states (all by default), newest first."""
        with reading(self._engine) as tx:
            return session_queries.session_summaries(tx, rig_records.rig_row(tx, self._rig.name), *states)

    def pause(self, session: str) -> None:
        """open -> paused: the rig is free for another session. Photographs under way still come in.

        Raises StateConflict, NotFound.
        """
        with transaction(self._engine) as tx:
            captures.pause_session(tx, captures.get_session(tx, session))
            audit_log.record(tx, "session.pause", "session", session)

    def resume(self, session: str) -> None:
        """paused -> open, on this day or another.

        Raises StateConflict when the rig has another open session, ConsentError when the subject has withdrawn.
        """
        with transaction(self._engine) as tx:
            row = captures.get_session(tx, session)
            capture_consent.require(tx, row)
            captures.resume_session(tx, row)
            audit_log.record(tx, "session.resume", "session", session)

    def skip(self, state: SessionStateMachine, expression: str, reason: str) -> None:
        """Do without an expression. Raises SessionError when it has a take that stands, or without a reason."""
        line = state.find(expression)
        state.check_skip(line.position, reason)
        with transaction(self._engine) as tx:
            take_decisions.skip(tx, captures.get_session(tx, state.session), line.position, reason.strip())

    def unskip(self, state: SessionStateMachine, expression: str) -> bool:
        """Ask for a skipped expression after all; False when it was not skipped."""
        line = state.find(expression)
        with transaction(self._engine) as tx:
            return take_decisions.unskip(tx, captures.get_session(tx, state.session), line.position)

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
            audit_log.record(tx, "take.fire", "take", take.code, {"attempt": take.attempt})
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

    def accept(self, take: str, *, choose: bool = False, automatic: bool = False) -> list[str]:
        """Exactly this take stands for its expression; codes of the whole ones that were put beside it by that.

        choose: also one that was put beside or dropped. automatic: nobody was asked, as all its checks are well.
        Raises StateConflict, ConsentError.
        """
        with transaction(self._engine) as tx:
            row = captures.get_take(tx, take)
            others = take_decisions.accept_take(tx, row, choose=choose, automatic=automatic)
            return [other.code for other in others]

    def accept_without(self, take: str, cameras: Sequence[str], reason: str) -> None:
        """A take that failed for want of exactly these cameras' photographs is accepted without them, by decision.

        Raises StateConflict when it is not so (any more), and when a whole take of the expression is accepted.
        """
        with transaction(self._engine) as tx:
            row = captures.get_take(tx, take)
            captures.require_open(tx, row.session)
            capture_consent.require(tx, row.session)
            take_decisions.require_no_whole_one(tx, row)
            others = faults_summary(row.problem or "", but=frozenset(cameras)) if row.problem else ""
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
        with reading(self._engine) as tx:
            return session_queries.unsettled_takes(tx, rig_records.get_rig(tx, self._rig.name))

    def take(self, take: str) -> TakeLine:
        """One take as it stands. Raises NotFound."""
        with reading(self._engine) as tx:
            return session_queries.take_line(tx, take)

    def photographs(self, take: str) -> dict[str, str]:
        """SHA-256 of each photograph of a take, by camera in order of view."""
        with reading(self._engine) as tx:
            return session_queries.file_hashes(tx, take, Frame)

    # --- photographs and raw files ---

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
            return session_queries.exposure_deviations(tx, take)

    def was_aside(self, take: str, camera: str) -> bool:
        """Whether this camera was aside when the take was planned."""
        with reading(self._engine) as tx:
            return session_queries.was_aside(tx, take, camera)

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
            missing_photographs.set_problem(tx, take, problem_with_arrival(found, take, self._rig.sync, utc_now()))
        return found

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
