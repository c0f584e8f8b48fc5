"""What the checks say of figures with a known truth: focus, light, faces, eyes and expressions."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.rig_file import CheckLimits
from controller.take_checks.all_checks import CHECKS, judge
from controller.take_checks.check_context import CheckContext
from controller.take_checks.expression_check import eyes_and_expression, face_scores
from controller.take_checks.image_measures import measure, sharpness
from controller.take_checks.photograph_findings import PhotographFindings
from db.errors import RecordError
from db.expression_recipes import FACE_UNITS, FACESCAPE_RECIPES, parse_recipe
from db.models import CheckState
from db.protocols import EXPRESSIONS
from db.takes.take_reviews import Baseline, CheckResult

LIMITS = CheckLimits()
USUAL = Baseline(takes=20, sharpness=0.5, brightness=90.0, clipped_percent=0.2, face_share=1.0)
HERE = replace(USUAL, session_brightness=90.0, session_clipped_percent=0.2)
SPEAK_UP = {"examined", "without", "person"}  # when there is something to say, or when asked for
ALWAYS = {name for check in CHECKS for name in check.names} - SPEAK_UP
GOOD = PhotographFindings(sharpness=0.5, brightness=90.0, clipped_percent=0.2, face=True, frontal=1.0, scores={})


def picture(seed: int, blur_px: float = 0.0, gain: float = 1.0, noise: float = 1.0) -> np.ndarray:
    """A textured ellipse before a dark ground, (600, 400, 3) uint8, with a sensor's noise after the lens's blur."""
    rng = np.random.default_rng(seed)
    texture = sum(
        cv2.resize(
            rng.normal(0, 12, (600 // s, 400 // s)).astype(np.float32), (400, 600), interpolation=cv2.INTER_CUBIC
        )
        for s in (1, 2, 4, 8, 16)
    )
    face = np.zeros((600, 400), np.float32)
    cv2.ellipse(face, (200, 300), (120, 190), 0, 0, 360, 1.0, -1)
    image = 20 + face * (110 + texture)
    if blur_px:
        image = cv2.GaussianBlur(image, (0, 0), blur_px)
    image = gain * image + rng.normal(0, noise, image.shape)
    return np.repeat(image.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def judged(
    seen: Mapping[str, PhotographFindings], baseline: Baseline | None = HERE, frontal: int = 3
) -> dict[tuple[str, str], CheckResult]:
    baselines = {} if baseline is None else dict.fromkeys(seen, baseline)
    checks = judge(CheckContext(seen, baselines, list(seen)[:frontal], LIMITS))
    return {(check.name, check.camera): check for check in checks if check.name not in ("eyes", "expression")}


def flagged(checks: Mapping[tuple[str, str], CheckResult]) -> set[tuple[str, str]]:
    return {key for key, check in checks.items() if check.state is CheckState.ADVICE}


def rig(**changes: PhotographFindings) -> dict[str, PhotographFindings]:
    return {f"cam{i}": GOOD for i in range(6)} | changes


# --- measures ---


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000), gain=st.floats(0.4, 1.5))
def test_focus_is_told_whatever_the_light(seed: int, gain: float) -> None:
    sharp = sharpness(picture(seed)[..., 1])
    assert sharpness(picture(seed, gain=gain)[..., 1]) == pytest.approx(sharp, rel=0.2)
    assert sharpness(picture(seed + 1)[..., 1]) == pytest.approx(sharp, rel=0.2)
    for blur_px in (1.5, 4.0, 30.0):
        assert sharpness(picture(seed, blur_px)[..., 1]) < 0.6 * sharp


def test_what_has_no_detail_has_no_sharpness() -> None:
    assert sharpness(np.full((400, 400), 90, np.uint8)) is None
    assert sharpness(np.zeros((40, 40), np.uint8)) is None


def test_light_is_measured() -> None:
    half = np.zeros((600, 600, 3), np.uint8)
    half[:300, :, 0] = 255  # one channel at its end is clipped
    found = measure(half)
    assert found.clipped_percent == pytest.approx(50, abs=1)
    assert found.brightness == pytest.approx(255 / 6, rel=0.02)


# --- photographs ---


def test_a_good_take_has_nothing_to_look_at_and_every_check_gives_a_reason() -> None:
    checks = judged(rig())
    assert flagged(checks) == set()
    assert {name for name, _ in checks} == ALWAYS - {"eyes", "expression"}
    assert all(check.reason for check in checks.values())


@pytest.mark.parametrize(
    ("seen", "check", "words"),
    [
        (replace(GOOD, sharpness=0.3), "sharpness", "60 % of its usual sharpness"),
        (replace(GOOD, sharpness=None), "sharpness", "0 % of its usual"),
        (replace(GOOD, clipped_percent=9.0), "clipping", "9.0 % of its pixels"),
        (replace(GOOD, brightness=40.0), "brightness", "2.2 times darker"),
        (replace(GOOD, brightness=200.0), "brightness", "2.2 times brighter"),
        (replace(GOOD, brightness=1.0, sharpness=None), "brightness", "black"),
        (replace(GOOD, face=False, scores=None), "face", "usually sees the face"),
    ],
)
def test_the_camera_at_fault_is_named_with_the_reason(seen: PhotographFindings, check: str, words: str) -> None:
    checks = judged(rig(cam1=seen))
    assert flagged(checks) == {(check, ""), (check, "cam1")}
    assert words in checks[check, "cam1"].reason
    assert checks[check, "cam1"].bound is not None or check == "face"


def test_several_strobes_of_one_side_are_all_named() -> None:
    dark = replace(GOOD, brightness=45.0)
    found = flagged(judged(rig(cam3=dark, cam4=dark)))
    assert found == {("brightness", ""), ("brightness", "cam3"), ("brightness", "cam4")}


def test_a_whole_rig_gone_dark_is_no_outlier_but_is_told() -> None:
    checks = judged({camera: replace(one, brightness=30.0) for camera, one in rig().items()})
    assert flagged(checks) == {("brightness", "")}
    assert "whole rig is 3.0 times darker" in checks["brightness", ""].reason


def test_another_subject_changes_each_camera_a_little_and_no_one_is_flagged() -> None:
    lighter = {f"cam{i}": replace(GOOD, brightness=90.0 * (1.1 + 0.15 * i)) for i in range(6)}
    assert flagged(judged(lighter, USUAL)) == set()
    assert ("brightness", "cam5") in flagged(judged(rig(cam5=replace(GOOD, brightness=250.0)), USUAL))


def test_without_a_baseline_the_others_are_the_measure_and_a_white_wall_is_told_until_it_is_known() -> None:
    checks = judged(rig(cam1=replace(GOOD, sharpness=0.2)), baseline=None)
    assert flagged(checks) == {("sharpness", ""), ("sharpness", "cam1")}
    assert "the other cameras'" in checks["sharpness", "cam1"].reason
    wall = {camera: replace(one, clipped_percent=30.0) for camera, one in rig().items()}
    assert ("clipping", "cam0") in flagged(judged(wall, baseline=None))
    assert flagged(judged(wall, replace(HERE, clipped_percent=29.0))) == set()


def test_an_empty_chair_is_told_once() -> None:
    empty = {camera: replace(one, face=False, scores=None) for camera, one in rig().items()}
    checks = judged(empty)
    assert flagged(checks) == {("face", "")}
    assert "0 of 6" in checks["face", ""].reason


def test_what_could_not_be_looked_at_is_named_and_keeps_nobody_from_the_rest() -> None:
    checks = judged(rig(cam2=PhotographFindings(problem="the check process died")))
    assert checks["examined", "cam2"].state is CheckState.NOT_DONE
    assert checks["sharpness", ""].state is CheckState.OK
    assert {c.state for c in judged({"a": PhotographFindings(problem="no")}).values()} == {CheckState.NOT_DONE}


def test_a_rig_without_frontal_cameras_says_that_faces_were_not_looked_for() -> None:
    seen = {camera: replace(one, face=None, scores=None) for camera, one in rig().items()}
    assert judged(seen, frontal=0)["face", ""].state is CheckState.NOT_DONE


def test_operators_read_what_each_check_is() -> None:
    guide = (Path(__file__).parents[3] / "docs/operators.md").read_text()
    rows = set(re.findall(r"^\| (\w+) \| ", guide, re.MULTILINE))
    assert {name for check in CHECKS for name in check.names} <= rows, "give it a row in docs/operators.md"


# --- eyes and expression ---

REST = {unit: 0.0 for unit in FACE_UNITS if f"{unit}Left" not in FACE_UNITS} | {"browInnerUp": 0.3}


def asked(name: str, scores: Mapping[str, float], neutral: Mapping[str, float]) -> CheckContext:
    recipe = FACESCAPE_RECIPES.get(name)
    return CheckContext({}, {}, ["cam0"], LIMITS, {}, name, recipe, scores, neutral)


def expression(name: str, neutral: Mapping[str, float] = REST, **scores: float) -> dict[str, CheckResult]:
    return {c.name: c for c in eyes_and_expression(asked(name, REST | scores, neutral))}


def test_every_expression_of_the_protocol_has_a_recipe_that_survives_storage() -> None:
    assert list(FACESCAPE_RECIPES) == list(EXPRESSIONS)
    for name, recipe in FACESCAPE_RECIPES.items():
        assert parse_recipe(recipe.data(), name) == recipe
        assert recipe.asks


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"asks": ["jawOpne >0.3"]}, "no score 'jawOpne'"),
        ({"asks": ["jawOpen 0.3"]}, "is no condition"),
        ({"asks": ["jawOpen >3"]}, "is no condition"),
        ({"asks": "jawOpen >0.3"}, "must be a list"),
        ({"eyes": "shut"}, "'eyes' must be"),
    ],
)
def test_a_recipe_that_says_nothing_is_refused(written: dict[str, object], words: str) -> None:
    with pytest.raises(RecordError, match=words):
        parse_recipe(written, "here")


def test_an_expression_is_told_from_its_absence() -> None:
    assert expression("smile", mouthSmileLeft=0.7, mouthSmileRight=0.6)["expression"].state is CheckState.OK
    lacking = expression("smile")["expression"]
    assert lacking.state is CheckState.ADVICE
    assert "mouth corners up over 0.35 (seen 0.00)" in lacking.reason
    assert expression("neutral", jawOpen=0.5)["expression"].state is CheckState.ADVICE


def test_a_rise_is_measured_from_this_subjects_neutral() -> None:
    high_brows = REST | {"browInnerUp": 0.75}
    assert expression("brow_raiser", browInnerUp=0.75)["expression"].state is CheckState.OK
    assert expression("brow_raiser", high_brows, browInnerUp=0.75)["expression"].state is CheckState.ADVICE
    unknown = expression("brow_raiser", {}, browInnerUp=0.75)["expression"]
    assert unknown.state is CheckState.NOT_DONE
    assert "neutral" in unknown.reason


@pytest.mark.parametrize(
    ("name", "left", "right", "state", "words"),
    [
        ("smile", 0.1, 0.1, CheckState.OK, "open"),
        ("smile", 0.7, 0.7, CheckState.ADVICE, "The eyes look closed"),
        ("smile", 0.7, 0.1, CheckState.ADVICE, "The left eye looks closed"),
        ("eye_closed", 0.6, 0.6, CheckState.OK, "closed"),
        ("eye_closed", 0.1, 0.1, CheckState.ADVICE, "The eyes look open"),
        ("eye_closed", 0.6, 0.1, CheckState.ADVICE, "The right eye looks open"),
        ("unheard_of", 0.6, 0.6, CheckState.ADVICE, "closed"),
    ],
)
def test_eyes_are_held_against_what_is_asked(
    name: str, left: float, right: float, state: CheckState, words: str
) -> None:
    found = expression(name, eyeBlinkLeft=left, eyeBlinkRight=right)["eyes"]
    assert found.state is state
    assert words in found.reason


def test_scores_come_from_several_frontal_views_and_one_bad_view_does_not_count() -> None:
    def view(score: float, frontal: float) -> PhotographFindings:
        return replace(GOOD, frontal=frontal, scores={"jawOpen": score})

    views = {"a": view(0.5, 1.0), "b": view(0.6, 0.95), "c": view(0.55, 0.9), "d": view(0.0, 0.85), "e": view(0.0, 0.3)}
    assert face_scores(views, LIMITS)["jawOpen"] == pytest.approx(0.525)
    assert face_scores({"a": views["a"], "b": views["b"]}, LIMITS) == {}
    few = eyes_and_expression(asked("smile", {}, {}))
    assert {check.state for check in few} == {CheckState.NOT_DONE}
