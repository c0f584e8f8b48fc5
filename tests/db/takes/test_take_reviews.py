"""Reviews are written whole or replaced whole; baselines and neutral scores come from what was kept."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from db import captures
from db.engine import reading, transaction
from db.errors import AlreadyThere, RecordError
from db.expression_recipes import FACESCAPE_RECIPES
from db.models import CameraTier, CheckState, FrameMeasure, Protocol, TakeCheck
from db.protocols import FACESCAPE, get_protocol, install_protocol, load_protocol, recipe_of
from db.rigs import rig_records
from db.session_rules import PUT_BESIDE
from db.subjects import add_subject
from db.takes.take_reviews import (
    CheckResult,
    PhotographMeasure,
    TakeReviewData,
    baselines,
    count_advice,
    get_review,
    is_sheet,
    last_whole,
    neutral_scores,
    save_review,
    unreviewed,
)

SHEET = "a" * 64


@pytest.fixture
def session(engine: Engine) -> str:
    with transaction(engine) as tx:
        places = [rig_records.CameraPlace(v, f"cam-{v}", "", CameraTier.FRONTAL) for v in range(2)]
        rig = rig_records.ensure_rig(tx, "studio", places)
        return captures.start_session(tx, add_subject(tx), install_protocol(tx, FACESCAPE), rig).code


def shoot(engine: Engine, session: str, expression: str) -> str:
    with transaction(engine) as tx:
        take = captures.plan_take(tx, captures.get_session(tx, session), expression)
        captures.fire_take(tx, take)
        cameras = rig_records.get_rig(tx, "studio").cameras
        frames = [captures.FrameData(c.id, f"{take.id:032x}{c.id:032x}", 1, 1, 1) for c in cameras]
        captures.add_frames(tx, take, frames)
        captures.capture_take(tx, take)
        return take.code


def review(engine: Engine, take: str, brightness: float = 90.0, **changes: object) -> TakeReviewData:
    checks = (
        CheckResult("sharpness", CheckState.ADVICE, "1 of 2", "", 0.5, 0.7),
        CheckResult("sharpness", CheckState.ADVICE, "blurred", "cam-1", 0.5, 0.7),
        CheckResult("face", CheckState.OK, "seen"),
    )
    made = TakeReviewData(take, 1.5, checks, SHEET, {"jawOpen": 0.25})
    made = TakeReviewData(**{**made.__dict__, **changes})  # type: ignore[arg-type]
    measures = {f"cam-{v}": PhotographMeasure(0.5, brightness + v, 0.1, v == 0) for v in range(2)}
    with transaction(engine) as tx:
        save_review(tx, made, measures | {"cam-9": PhotographMeasure(1, 1, 1)})
    return made


def test_a_review_comes_back_as_it_was_written_and_a_second_one_replaces_it(engine: Engine, session: str) -> None:
    take = shoot(engine, session, "neutral")
    for seconds in (1.5, 2.5):
        made = review(engine, take, seconds=seconds)
        with reading(engine) as tx:
            found = get_review(tx, take)
            assert found is not None
            assert (found.seconds, found.checks, found.sheet, found.scores) == (
                seconds, made.checks, SHEET, {"jawOpen": 0.25},
            )  # fmt: skip
            assert [check.camera for check in found.advice] == ["", "cam-1"]
            assert tx.scalar(select(func.count(TakeCheck.id))) == 3
            assert tx.scalar(select(func.count(FrameMeasure.frame_id))) == 2
            assert is_sheet(tx, SHEET)
            assert not is_sheet(tx, "b" * 64)


def test_what_was_not_looked_at_is_found(engine: Engine, session: str) -> None:
    takes = [shoot(engine, session, name) for name in ("neutral", "smile", "anger")]
    review(engine, takes[1])
    with reading(engine) as tx:
        assert unreviewed(tx, "studio", 10) == [takes[0], takes[2]]
        assert unreviewed(tx, "studio", 1) == [takes[2]]
        assert unreviewed(tx, "another", 10) == []
        assert count_advice(tx, session) == {takes[1]: 2}
        assert last_whole(tx, session) == takes[2]
        assert get_review(tx, takes[0]) is None


def test_baselines_are_of_kept_takes_without_the_one_in_question(engine: Engine, session: str) -> None:
    takes = [shoot(engine, session, name) for name in ("neutral", "smile", "anger", "grin")]
    for take, brightness in zip(takes, (10.0, 80.0, 100.0, 200.0), strict=True):
        review(engine, take, brightness)
    with transaction(engine) as tx:
        captures.move_take(tx, captures.get_take(tx, takes[0]), PUT_BESIDE)
    with reading(engine) as tx:
        found = baselines(tx, takes[3], 100)
        assert found["cam-0"].brightness == pytest.approx(90.0)
        assert found["cam-1"].session_brightness == pytest.approx(91.0)
        assert (found["cam-0"].takes, found["cam-0"].face_share, found["cam-1"].face_share) == (2, 1.0, 0.0)
        assert baselines(tx, takes[3], 1)["cam-0"].brightness == pytest.approx(100.0)


def test_the_neutral_face_is_this_sessions_own(engine: Engine, session: str) -> None:
    smile = shoot(engine, session, "smile")
    review(engine, smile)
    with reading(engine) as tx:
        assert neutral_scores(tx, smile) == {}
    review(engine, shoot(engine, session, "neutral"), scores={"jawOpen": 0.1})
    with reading(engine) as tx:
        assert neutral_scores(tx, smile) == {"jawOpen": 0.1}


PROTOCOL = """
name = "mine"
version = 1
[[expression]]
name = "smile"
instruction = "Smile."
[[expression]]
name = "wink"
instruction = "Close the left eye."
asks = ["eyeBlinkLeft >0.4", "mouthSmile <0.4 or jawOpen <0.2"]
eyes = "any"
"""


def test_a_protocol_says_what_its_expressions_ask(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(PROTOCOL)
    data = load_protocol(path)
    for _ in range(2):
        with transaction(engine) as tx:
            install_protocol(tx, data)
    with reading(engine) as tx:
        smile, wink = get_protocol(tx, "mine").expressions
        assert recipe_of(smile) == FACESCAPE_RECIPES["smile"]  # an expression of FaceScape's name, without its own
        assert recipe_of(wink) == data.recipes["wink"]
    path.write_text(PROTOCOL.replace(">0.4", ">0.5"))
    with pytest.raises(AlreadyThere), transaction(engine) as tx:
        install_protocol(tx, load_protocol(path))
    path.write_text(PROTOCOL.replace("eyeBlinkLeft", "eyeWink"))
    with pytest.raises(RecordError, match=r"there is no score .eyeWink."):
        load_protocol(path)
    with transaction(engine) as tx:
        assert tx.scalar(select(func.count(Protocol.id)).where(Protocol.name == "mine")) == 1
