"""Records and store of a studio with takes that were filed without cameras."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from controller.rig_file import CameraEntry, Rig
from db import captures
from db.engine import open_database, reading, transaction
from db.migrations import upgrade
from db.models import CameraTier, ConsentScope
from db.models.review import CheckState
from db.protocols import FACESCAPE, install_protocol
from db.rigs import rig_records
from db.store import Store
from db.subjects import add_subject, get_subject, give_consent, withdraw_consent
from db.takes.take_reviews import CheckResult, TakeReviewData, get_review, save_review


class FiledTakes:
    """One subject with one session on a rig of `count` frontal cameras; shoot() files a whole take and its review."""

    def __init__(self, folder: Path, count: int, **rig: Any) -> None:
        """rig: of controller.rig_file.Rig, beside name and cameras."""
        self.home = folder
        self.engine: Engine = open_database(f"sqlite:///{folder / 'studio.sqlite'}")
        self.store = Store(folder / "store")
        self.cameras = tuple(CameraEntry(f"cam-{v:02d}", v, tier="frontal") for v in range(count))
        self.rig = Rig("studio", self.cameras, **rig)
        upgrade(self.engine)
        with transaction(self.engine) as tx:
            places = [rig_records.CameraPlace(c.view, c.name, "", CameraTier(c.tier)) for c in self.cameras]
            row = rig_records.ensure_rig(tx, "studio", places)
            self.ids = {camera.name: camera.id for camera in row.cameras}
            install_protocol(tx, FACESCAPE)
        self.subject, self.session = self.begin_session()

    def begin_session(self, subject: str = "") -> tuple[str, str]:
        """A session of this subject; of another one, who consents, by default."""
        with transaction(self.engine) as tx:
            who = get_subject(tx, subject) if subject else add_subject(tx)
            if not subject:
                give_consent(tx, who, ConsentScope.RESEARCH_RELEASE, date(2026, 1, 2))
            rig = rig_records.get_rig(tx, "studio")
            protocol = install_protocol(tx, FACESCAPE)
            if (open_one := captures.open_session_of(tx, rig)) is not None:
                captures.pause_session(tx, open_one)
            calibration = rig_records.newest_calibration(tx, rig)
            self.session = captures.start_session(tx, who, protocol, rig, calibration).code
            self.subject = who.code
            return self.subject, self.session

    def calibrate(self, params: Mapping[str, Any]) -> None:
        with transaction(self.engine) as tx:
            rig_records.add_calibration(tx, rig_records.get_rig(tx, "studio"), "test", params)

    def shoot(self, expression: str, photographs: Mapping[str, bytes], review: bool = True) -> str:
        """A whole take of these photographs, by camera; review: with one that found nothing."""
        with transaction(self.engine) as tx:
            take = captures.plan_take(tx, captures.get_session(tx, self.session), expression)
            captures.fire_take(tx, take)
            frames = [
                captures.FrameData(self.ids[name], self.store.put_bytes(data), len(data), 288, 432)
                for name, data in photographs.items()
            ]
            captures.add_frames(tx, take, frames)
            captures.capture_take(tx, take)
            code = take.code
        if review:
            self.review(code)
        return code

    def review(self, take: str) -> None:
        well = CheckResult("sharpness", CheckState.OK, "all are sharp")
        with transaction(self.engine) as tx:
            save_review(tx, TakeReviewData(take, 0.1, (well,)), {})

    def found(self, take: str, name: str) -> list[CheckResult]:
        """What the check of this name says of the take."""
        with reading(self.engine) as tx:
            review = get_review(tx, take)
        assert review is not None
        assert any(check.name == "sharpness" for check in review.checks)
        return [check for check in review.checks if check.name == name]

    def withdraw(self) -> None:
        with transaction(self.engine) as tx:
            withdraw_consent(tx, get_subject(tx, self.subject))
