"""Same person? Real check processes over real and rendered faces; what comes out is yes or no, and no figure."""

import io
import itertools
import logging
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from filed_takes import FiledTakes
from sqlalchemy import text

from common import identity_model
from common.guarding.json_log_records import JsonLogFormatter
from controller.errors import ConfigurationError
from controller.rig_file import CheckLimits
from controller.sessions.session_queries import file_hashes
from controller.take_checks.check_context import CheckContext, PersonAnswer
from controller.take_checks.face_identity import SAME, FaceIdentity, same
from controller.take_checks.same_person import PERSON, judge, question_of
from controller.take_checks.take_reviewer import TakeReviewer
from db.engine import reading
from db.models import Frame
from db.takes.take_reviews import CheckResult

DATA = Path(__file__).parents[4] / "shared/data"
FACES = pytest.mark.skipif(
    not (DATA / "subject-11").exists(), reason="the photographs of faces are not on this machine"
)
VIEWS = (4, 14, 24)
PEOPLE = ("astronaut.png", "impostor_1.jpg", "person_a_2.jpg", "person_b_2.jpg")


Looked = tuple[FiledTakes, Callable[[str, list[bytes]], list[CheckResult]]]


def read(path: Path) -> np.ndarray:
    return cv2.imread(str(path))


def altered(image: np.ndarray) -> list[np.ndarray]:
    """The same person as other cameras might have it."""
    high, wide = image.shape[:2]
    turn = cv2.getRotationMatrix2D((wide / 2, high / 2), 10, 1)
    return [
        np.ascontiguousarray(image[:, ::-1]),
        (255 * (image / 255.0) ** 1.6).astype(np.uint8),
        cv2.warpAffine(image, turn, (wide, high), borderMode=cv2.BORDER_REPLICATE),
    ]


def jpeg(image: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())


@pytest.fixture(scope="module")
def faces() -> FaceIdentity:
    return FaceIdentity()


@FACES
def test_one_person_is_far_above_the_threshold_and_two_are_far_below(faces: FaceIdentity) -> None:
    people = {name: [read(DATA / "photos" / name), *altered(read(DATA / "photos" / name))] for name in PEOPLE}
    people["rendered"] = [read(DATA / f"subject-11/{e}/{v}.jpg") for e in ("1_neutral", "2_smile") for v in VIEWS]
    found = {name: [faces.features(image[:, :, ::-1]) for image in images] for name, images in people.items()}
    assert all(one is not None for each in found.values() for one in each)
    own = [float(a @ b) for each in found.values() for a, b in itertools.combinations(each, 2)]
    others = [float(a[0] @ b[0]) for a, b in itertools.combinations(found.values(), 2)]
    assert min(own) > SAME + 0.15
    assert max(others) < SAME - 0.15
    assert same(found["rendered"][0], found["rendered"][3])
    assert not same(found["rendered"][0], found["astronaut.png"][0])


@FACES
def test_a_face_on_its_side_is_found_and_a_wall_has_none(faces: FaceIdentity) -> None:
    upright = read(DATA / "photos" / PEOPLE[2])[:, :, ::-1]
    lying = np.ascontiguousarray(cv2.rotate(upright, cv2.ROTATE_90_CLOCKWISE))
    assert float(faces.features(upright) @ faces.features(lying)) > 0.8
    wall = np.full((300, 200, 3), 128, np.uint8)
    assert faces.features(wall) is None
    assert faces.person([upright, wall], least=2) is None
    assert faces.person([upright, wall], least=1) is not None


def test_a_model_that_is_not_the_one_released_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in identity_model.SHA256:
        assert len(identity_model.model_bytes(name, ConfigurationError)) > 100_000
        monkeypatch.setitem(identity_model.SHA256, name, "0" * 64)
        with pytest.raises(ConfigurationError, match="is damaged"):
            identity_model.model_bytes(name, ConfigurationError)
    monkeypatch.setitem(identity_model.SHA256, "none.onnx", "0" * 64)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        identity_model.model_bytes("none.onnx", ConfigurationError)


def test_the_words_have_no_figure() -> None:
    def said(same: bool | None, why: str = "") -> list[CheckResult]:
        return judge(CheckContext({}, {}, (), CheckLimits(), person=PersonAnswer("S002", same, why)))

    answers = [*said(True), *said(False), *said(None, "too few frontal views of this take show a face")]
    assert [(a.state.value, a.measured, a.bound) for a in answers] == [
        ("ok", None, None), ("advice", None, None), ("not_done", None, None),
    ]  # fmt: skip
    assert answers[1].reason.startswith("This is not S002: ")
    assert not any(sign.isdigit() for a in answers for sign in a.reason.replace("S002", ""))
    assert judge(CheckContext({}, {}, (), CheckLimits())) == []


@pytest.fixture
def looked(tmp_path: Path) -> Iterator[Callable[..., Looked]]:
    """looked(**limits): records with three frontal cameras, and look(expression, photographs) -> what it says."""
    begun: list[tuple[TakeReviewer, FiledTakes]] = []

    def make(**limits: Any) -> Looked:
        checks = CheckLimits(**{"processes": 1, "timeout_s": 120.0, "same_person": True} | limits)
        filed = FiledTakes(tmp_path, len(VIEWS), checks=checks)

        def photographs(take: str) -> dict[str, str]:
            with reading(filed.engine) as tx:
                return file_hashes(tx, take, Frame)

        reviewer = TakeReviewer(filed.engine, filed.store, filed.rig, photographs)
        begun.append((reviewer, filed))

        def look(expression: str, shown: list[bytes]) -> list[CheckResult]:
            take = filed.shoot(expression, dict(zip((c.name for c in filed.cameras), shown, strict=True)), review=False)
            reviewer.finish(take)
            review = reviewer.result(take, 120.0)
            assert review is not None
            return [check for check in review.checks if check.name == PERSON]

        return filed, look

    yield make
    for reviewer, filed in begun:
        reviewer.stop()
        filed.engine.dispose()


@FACES
def test_a_neutral_is_held_against_the_subjects_earlier_ones_and_only_yes_or_no_is_kept(
    looked: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, faces: FaceIdentity
) -> None:
    caplog.set_level(logging.DEBUG)
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(JsonLogFormatter({}))
    logging.getLogger().addHandler(handler)
    neutral, smile = (
        [(DATA / f"subject-11/{name}/{view}.jpg").read_bytes() for view in VIEWS] for name in ("1_neutral", "2_smile")
    )
    stranger = [jpeg(image) for image in altered(read(DATA / "photos" / PEOPLE[2]))]
    filed, look = looked()
    try:
        (first,) = look("neutral", neutral)
        assert (first.state.value, "no neutral of an earlier session" in first.reason) == ("not_done", True)
        assert look("smile", smile) == []
        subject = filed.subject
        filed.begin_session(subject)
        (again,) = look("neutral", smile)
        assert again.state.value == "ok"
        (other,) = look("neutral", stranger)
        assert (other.state.value, other.reason.split(":")[0]) == ("advice", f"This is not {subject}")
        (nobody,) = look("neutral", [jpeg(np.full((300, 200, 3), 90 + 20 * k, np.uint8)) for k in range(3)])
        assert nobody.reason == f"Whether this is {subject}: too few frontal views of this take show a face"
        filed.withdraw()
    finally:
        logging.getLogger().removeHandler(handler)

    with reading(filed.engine) as tx:
        rows = tx.execute(text("select measured, bound from take_check where name = 'person'")).all()
        assert len(rows) == 4
        assert {tuple(row) for row in rows} == {(None, None)}
    _nothing_of_a_face_is_left(faces, [neutral, smile, stranger], tmp_path, caplog.text + log.getvalue())
    assert "see the review" in log.getvalue()
    assert "This is not" not in log.getvalue()


def _nothing_of_a_face_is_left(faces: FaceIdentity, takes: list[list[bytes]], folder: Path, log: str) -> None:
    """No feature and no score is in a file of the home or in the log, as text or as numbers."""
    people = []
    for photographs in takes:
        images = [cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1] for one in photographs]
        people.append(faces.person(images, 2))
    scores = [float(a @ b) for a, b in itertools.combinations(people, 2)]
    traces = [one[:4].tobytes() for one in people] + [one[:4].astype(np.float64).tobytes() for one in people]
    traces += [struct.pack(order, score) for score in scores for order in ("<d", ">d")]
    traces += [f"{abs(figure):.6f}".encode() for figure in (*scores, *(float(v) for one in people for v in one[:8]))]
    files = [path for path in folder.rglob("*") if path.is_file() and path.read_bytes()[:2] != b"\xff\xd8"]
    assert any("sqlite" in path.name for path in files)
    for trace in traces:
        assert not [path.name for path in files if trace in path.read_bytes()], trace
        assert trace not in log.encode(), trace


def test_nobody_is_asked_about_without_consent_or_but_for_a_neutral(tmp_path: Path) -> None:
    assert CheckLimits().same_person is False
    filed = FiledTakes(tmp_path, len(VIEWS))
    photographs = {camera.name: jpeg(np.full((30, 20, 3), 90, np.uint8)) for camera in filed.cameras}
    earlier = filed.shoot("neutral", photographs)
    filed.begin_session(filed.subject)
    neutral, smile = (filed.shoot(expression, photographs) for expression in ("neutral", "smile"))
    with reading(filed.engine) as tx:
        question = question_of(tx, neutral, ["cam-02"])
        assert (question.subject, question.why_not, len(question.before)) == (filed.subject, "", 1)
        assert len(question.now) == len(VIEWS)
        assert question_of(tx, smile, []) is None
        assert question_of(tx, earlier, []).before != ()  # other sessions, whichever was first
    filed.withdraw()
    with reading(filed.engine) as tx:
        refused = question_of(tx, neutral, [])
    assert (refused.now, refused.before) == ((), ())
    assert refused.why_not.startswith("no consent of ")
    filed.engine.dispose()
