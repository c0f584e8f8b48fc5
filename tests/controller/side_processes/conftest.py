"""Records and store of a studio with takes that were filed without cameras, and what looks at them beside."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from controller.rig_file import CameraEntry, Rig, SideWork
from controller.side_processes.side_processes import SideProcesses
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


class Desk:
    """One subject with one session on a rig of `count` frontal cameras; shoot() files a whole take and its review."""

    def __init__(self, folder: Path, count: int, side: SideWork) -> None:
        self.home = folder
        self.engine: Engine = open_database(f"sqlite:///{folder / 'studio.sqlite'}")
        self.store = Store(folder / "store")
        self.cameras = tuple(CameraEntry(f"cam-{v:02d}", v, tier="frontal") for v in range(count))
        self.rig = Rig("studio", self.cameras, side=side)
        upgrade(self.engine)
        with transaction(self.engine) as tx:
            places = [rig_records.CameraPlace(c.view, c.name, "", CameraTier(c.tier)) for c in self.cameras]
            row = rig_records.ensure_rig(tx, "studio", places)
            self.ids = {camera.name: camera.id for camera in row.cameras}
            install_protocol(tx, FACESCAPE)
        self.subject, self.session = self.begin_session()

    def begin_session(self) -> tuple[str, str]:
        """Another subject, who consents, and its session."""
        with transaction(self.engine) as tx:
            subject = add_subject(tx)
            give_consent(tx, subject, ConsentScope.RESEARCH_RELEASE, date(2026, 1, 2))
            rig = rig_records.get_rig(tx, "studio")
            protocol = install_protocol(tx, FACESCAPE)
            if (open_one := captures.open_session_of(tx, rig)) is not None:
                captures.pause_session(tx, open_one)
            calibration = rig_records.newest_calibration(tx, rig)
            self.session = captures.start_session(tx, subject, protocol, rig, calibration).code
            self.subject = subject.code
            return self.subject, self.session

    def calibrate(self, params: Mapping[str, Any]) -> None:
        with transaction(self.engine) as tx:
            rig_records.add_calibration(tx, rig_records.get_rig(tx, "studio"), "test", params)

    def shoot(self, expression: str, photographs: Mapping[str, bytes]) -> str:
        """A whole take of these photographs, by camera, with a review that found nothing."""
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


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """desk(count, **side): closed with the test."""
    with ExitStack() as stack:

        def make(count: int = 12, **side: Any) -> Desk:
            made = Desk(tmp_path, count, replace(SideWork(timeout_s=600.0), **side))
            stack.callback(made.engine.dispose)
            return made

        yield make


@pytest.fixture
def beside() -> Iterator[Callable[..., SideProcesses]]:
    """beside(desk): its side processes, stopped with the test."""
    with ExitStack() as stack:

        def make(desk: Desk, **given: Any) -> SideProcesses:
            made = SideProcesses(desk.engine, desk.store, desk.rig, desk.home, **given)
            stack.callback(made.stop)
            made.start()
            return made

        yield make
