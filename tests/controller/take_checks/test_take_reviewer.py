"""Takes looked at by real processes: photographs of a face with known damage, and processes that die."""

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from patience import Patience, run_patiently
from PIL import Image
from sqlalchemy import Engine

from controller.errors import SessionError
from controller.rig_file import CameraEntry, CheckLimits, Rig
from controller.take_checks.all_checks import CHECKS
from controller.take_checks.face_landmarker import FaceReader
from controller.take_checks.take_reviewer import TakeReviewer
from db import captures
from db.engine import open_database, reading, transaction
from db.migrations import upgrade
from db.models import CameraTier, CheckState, ConsentScope, TakeState
from db.protocols import FACESCAPE, install_protocol
from db.rigs import rig_records
from db.session_rules import PUT_BESIDE
from db.store import Store
from db.subjects import add_subject, give_consent
from db.takes.take_reviews import TakeReviewData, baselines

SUBJECT = Path(__file__).parents[4] / "shared/data/subject-11"
FACES = pytest.mark.skipif(not SUBJECT.exists(), reason="the photographs of subject-11 are not on this machine")
FRONTAL = (4, 6, 14, 16, 24)  # views that look at the face
SIDE = (34, 40, 50)
VIEWS = (*FRONTAL, *SIDE)
WAIT_S = 60.0


class Desk:
    """Records and store of a studio with one session, its takes filed without cameras."""

    def __init__(self, folder: Path, checks: CheckLimits, frontal: tuple[int, ...] = FRONTAL) -> None:
        self.engine: Engine = open_database(f"sqlite:///{folder / 'studio.sqlite'}")
        self.store = Store(folder / "store")
        cameras = tuple(CameraEntry(f"cam-{v:02d}", v, tier="frontal" if v in frontal else "side") for v in VIEWS)
        self.rig = Rig("studio", cameras, checks=checks)
        self.hashes: dict[str, dict[str, str]] = {}
        upgrade(self.engine)
        with transaction(self.engine) as tx:
            places = [rig_records.CameraPlace(c.view, c.name, "", CameraTier(c.tier)) for c in cameras]
            rig = rig_records.ensure_rig(tx, "studio", places)
            self.ids = {camera.name: camera.id for camera in rig.cameras}
            protocol = install_protocol(tx, FACESCAPE)
            subject = add_subject(tx)
            give_consent(tx, subject, ConsentScope.RESEARCH_RELEASE, date(2026, 1, 2))
            self.session = captures.start_session(tx, subject, protocol, rig).code
        self.reviewer = self.begin()

    def begin(self) -> TakeReviewer:
        return TakeReviewer(self.engine, self.store, self.rig, lambda take: self.hashes[take])

    def shoot(self, expression: str, photographs: dict[str, bytes]) -> str:
        """A whole take of these photographs; the reviewer is not told."""
        with transaction(self.engine) as tx:
            take = captures.plan_take(tx, captures.get_session(tx, self.session), expression)
            captures.fire_take(tx, take)
            self.hashes[take.code] = {name: self.store.put_bytes(data) for name, data in photographs.items()}
            frames = [
                captures.FrameData(self.ids[name], sha256, len(photographs[name]), 800, 1200)
                for name, sha256 in self.hashes[take.code].items()
            ]
            captures.add_frames(tx, take, frames)
            captures.capture_take(tx, take)
            return take.code

    def look(self, expression: str, photographs: dict[str, bytes]) -> TakeReviewData:
        take = self.shoot(expression, photographs)
        for camera, sha256 in self.hashes[take].items():
            self.reviewer.add(take, camera, sha256)
        self.reviewer.finish(take)
        review = self.reviewer.result(take, WAIT_S)
        assert review is not None
        return review


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    made: list[Desk] = []

    def make(frontal: tuple[int, ...] = FRONTAL, **limits: Any) -> Desk:
        made.append(Desk(tmp_path, CheckLimits(**{"processes": 1, "timeout_s": 120.0} | limits), frontal))
        return made[-1]

    yield make
    for each in made:
        each.reviewer.stop()
        each.engine.dispose()


def plain(seed: int) -> bytes:
    """A small photograph without a face."""
    stream = io.BytesIO()
    values = np.random.default_rng(seed).integers(60, 120, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(values).resize((600, 400)).save(stream, "JPEG")
    return stream.getvalue()


def plain_take(start: int = 0) -> dict[str, bytes]:
    return {f"cam-{v:02d}": plain(start + v) for v in VIEWS}


def shown(expression: str) -> dict[str, bytes]:
    return {f"cam-{v:02d}": (SUBJECT / expression / f"{v}.jpg").read_bytes() for v in VIEWS}


def changed(data: bytes, change: Callable[[np.ndarray], np.ndarray]) -> bytes:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    done, encoded = cv2.imencode(".jpg", change(image.astype(np.float32)).clip(0, 255).astype(np.uint8))
    assert done
    return encoded.tobytes()


def advice(review: TakeReviewData) -> set[tuple[str, str]]:
    return {(check.name, check.camera) for check in review.advice}


@FACES
def test_photographs_of_a_face_and_damaged_copies_of_them(desk: Callable[..., Desk]) -> None:
    """One session: three whole expressions, then everything that can be wrong with them."""
    studio = desk()
    for expression, folder in (("neutral", "1_neutral"), ("smile", "2_smile"), ("mouth_stretch", "3_mouth_stretch")):
        review = studio.look(expression, shown(folder))
        assert advice(review) == set(), review.checks
        names = {name for check in CHECKS for name in check.names}
        assert {c.name for c in review.checks} == names - {"examined", "without", "person"}
        assert all(check.state is CheckState.OK and check.reason for check in review.checks)

    damaged = shown("2_smile")
    damaged["cam-40"] = changed(damaged["cam-40"], lambda image: cv2.GaussianBlur(image, (0, 0), 1.5))
    damaged["cam-34"] = changed(damaged["cam-34"], lambda image: image * 0.4)
    damaged["cam-50"] = changed(damaged["cam-50"], lambda image: image * 2.5)
    damaged["cam-16"] = changed(
        damaged["cam-16"], lambda image: image * 0 + 92 + 20 * (np.indices(image.shape[:2])[0] % 64 > 32)[..., None]
    )
    found = advice(studio.look("dimpler", damaged))
    assert {("sharpness", "cam-40"), ("brightness", "cam-34"), ("clipping", "cam-50"), ("face", "cam-16")} <= found
    assert {camera for _, camera in found} == {"", "cam-40", "cam-34", "cam-50", "cam-16"}

    assert advice(studio.look("anger", shown("1_neutral"))) == {("expression", "")}
    assert advice(studio.look("eye_closed", shown("1_neutral"))) == {("eyes", "")}
    assert advice(studio.look("grin", shown("1_neutral"))) == {("expression", "")}

    sideways = {name: changed(data, lambda image: cv2.rotate(image, 0)) for name, data in shown("2_smile").items()}
    faces = {c.name: c.state for c in studio.look("lip_roll", sideways).checks}
    assert faces["face"] is CheckState.OK  # bodies stand on their side in most rigs


def test_closed_eyes_are_told_from_open_ones() -> None:
    """A synthetic head of known eyes, photographed from the front."""
    from processing.synthetic.studio_rig import directions, studio_rig
    from processing.synthetic.subject import synthetic_subject

    cameras, places = studio_rig(68, 400, 600), directions(68)
    frontal = sorted((i for i, place in enumerate(places) if place[2]), key=lambda i: sum(map(abs, places[i][:2])))[:3]
    subject = synthetic_subject(3, vertices=60_000)
    with FaceReader() as reader:
        for expression, closed in (("neutral", False), ("eye_closed", True)):
            posed = subject.pose(expression)
            for view in frontal:
                face = reader.read(posed.scene.photograph(cameras[view])[..., ::-1])
                assert face is not None
                blink = [face.scores[f"eyeBlink{side}"] for side in ("Left", "Right")]
                assert [score >= CheckLimits().eyes_closed_score for score in blink] == [closed, closed]


def test_the_studio_opens_the_model_without_the_farm() -> None:
    code = "import sys\nfrom controller.take_checks.face_landmarker import FaceReader\nwith FaceReader(): pass\n"
    code += "assert not [name for name in sys.modules if name.partition('.')[0] == 'processing']"
    done = run_patiently([sys.executable, "-c", code])
    assert done.returncode == 0, done.stderr


def test_measures_become_the_cameras_baseline_and_a_superseded_take_does_not(desk: Callable[..., Desk]) -> None:
    studio = desk(frontal=())
    takes = [studio.look(name, plain_take()).take for name in ("neutral", "smile", "anger")]
    with transaction(studio.engine) as tx:
        captures.move_take(tx, captures.get_take(tx, takes[0]), PUT_BESIDE)
    with reading(studio.engine) as tx:
        assert {base.takes for base in baselines(tx, takes[2], 100).values()} == {1}
        assert baselines(tx, takes[2], 100).keys() == set(plain_take())
    dark = {name: changed(data, lambda image: image * 0.4) for name, data in plain_take().items()}
    assert advice(studio.look("dimpler", dark)) == {("brightness", "")}


def test_the_contact_sheet_shows_every_camera(desk: Callable[..., Desk]) -> None:
    studio = desk(frontal=())
    review = studio.look("neutral", plain_take() | {"cam-40": changed(plain(1), lambda image: image * 0)})
    assert ("brightness", "cam-40") in advice(review)
    assert review.sheet is not None
    with studio.store.open(review.sheet) as file:
        sheet = np.asarray(Image.open(file).convert("RGB")).astype(int)
    red = (sheet[..., 0] > 180) & (sheet[..., 1] < 90)
    assert red.sum() > 500  # the frame around the black one
    lit = (sheet.min(axis=-1) > 55).mean()
    assert lit > 0.4


def test_damaged_and_lost_photographs_are_named_and_the_rest_is_judged(desk: Callable[..., Desk]) -> None:
    studio = desk(frontal=())
    take = studio.shoot("neutral", plain_take() | {"cam-34": b"\xff\xd8\xff no photograph"})
    studio.hashes[take]["cam-50"] = "0" * 64
    studio.reviewer.finish(take)
    review = studio.reviewer.result(take, WAIT_S)
    assert review is not None
    assert {c.camera for c in review.checks if c.state is CheckState.NOT_DONE and c.name == "examined"} == {
        "", "cam-34", "cam-50",
    }  # fmt: skip
    assert next(c for c in review.checks if c.name == "sharpness").reason.startswith("6 of 6")


def test_a_check_process_that_dies_is_replaced_and_nothing_is_lost(desk: Callable[..., Desk]) -> None:
    studio = desk(frontal=())
    studio.look("neutral", plain_take())
    pool = studio.reviewer._pool
    assert pool is not None
    for process in list(pool._processes.values()):
        os.kill(process.pid, signal.SIGKILL)
    review = studio.look("smile", plain_take(100))
    assert all(check.state is not CheckState.NOT_DONE for check in review.checks if check.name != "face")
    assert studio.reviewer._pool is not pool


def test_nothing_begins_while_a_fire_is_near(desk: Callable[..., Desk]) -> None:
    studio = desk(frontal=())
    take = studio.shoot("neutral", plain_take())
    studio.reviewer.hold()
    for camera, sha256 in studio.hashes[take].items():
        studio.reviewer.add(take, camera, sha256)
    studio.reviewer.finish(take)
    assert studio.reviewer.result(take, 0.5) is None
    assert studio.reviewer._pool is None
    studio.reviewer.go_on()
    assert studio.reviewer.result(take, WAIT_S) is not None


def test_takes_that_a_stopped_studio_had_not_looked_at_are_looked_at_by_the_next(desk: Callable[..., Desk]) -> None:
    studio = desk(frontal=())
    take = studio.shoot("neutral", plain_take())
    studio.reviewer.hold()
    studio.reviewer.finish(take)
    studio.reviewer.stop()
    studio.reviewer = studio.begin()
    studio.reviewer.catch_up()
    review = studio.reviewer.result(take, WAIT_S)
    assert review is not None
    studio.reviewer.again(take)
    again = studio.reviewer.result(take, WAIT_S)
    assert again is not None
    assert [check.reason for check in again.checks] == [check.reason for check in review.checks]


def test_a_failed_take_is_dropped_and_not_looked_at_again(desk: Callable[..., Desk]) -> None:
    studio = desk(frontal=())
    with transaction(studio.engine) as tx:
        take = captures.plan_take(tx, captures.get_session(tx, studio.session), "neutral")
        captures.fail_take(tx, take, "a camera failed")
        assert take.state is not TakeState.CAPTURED
    studio.reviewer.hold()
    studio.reviewer.add(take.code, "cam-04", "0" * 64)
    studio.reviewer.drop(take.code)
    studio.reviewer.go_on()
    with pytest.raises(SessionError, match="only a whole take"):
        studio.reviewer.again(take.code)
    assert studio.reviewer.result(take.code, 0.1) is None


def test_what_takes_too_long_is_reported_as_not_done(desk: Callable[..., Desk]) -> None:
    studio = desk(frontal=())
    studio.rig = replace(studio.rig, checks=replace(studio.rig.checks, timeout_s=0.001))
    studio.reviewer = studio.begin()
    take = studio.shoot("neutral", plain_take())
    studio.reviewer.finish(take)
    review = studio.reviewer.result(take, WAIT_S)
    assert review is not None
    assert "not looked at within 0.001 s" in {check.reason for check in review.checks}


def test_check_processes_end_with_the_studio(desk: Callable[..., Desk]) -> None:
    studio = desk(frontal=())
    studio.look("neutral", plain_take())
    assert studio.reviewer._pool is not None
    pids = [process.pid for process in studio.reviewer._pool._processes.values()]
    patience = Patience(30)
    studio.reviewer.stop()
    assert not patience.spent()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
