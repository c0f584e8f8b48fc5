"""Rigs against known truth: what examples show is recovered, and nothing depends on what it must not depend on."""

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from small_template import small_template

from processing.face_models.blendshapes.build_rig import build_rig, transfer_units
from processing.face_models.blendshapes.head_motion import motion_to, skull_weights
from processing.face_models.blendshapes.ride_along import RideAlong
from processing.face_models.blendshapes.rig import RigError
from processing.face_models.blendshapes.rig_figures import review_rig
from processing.face_models.blendshapes.settings import RigSettings, RigSettingsError
from processing.face_models.blendshapes.weight_prior import weight_prior
from processing.geometry.noise_field import NoiseField
from processing.template.builtin_template import default_template
from processing.template.expression_recipes import EXPRESSION_RECIPES
from processing.template.face_units import ARKIT_UNITS, FaceUnitsError
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN

SHOWN = ("jawOpen", "mouthSmileLeft", "mouthSmileRight", "browInnerUp", "cheekPuff", "mouthPucker", "eyeBlinkLeft")
ALONE = {f"only_{unit}": {unit: 1.0} for unit in SHOWN}
WHOLE = RigSettings(performed=1.0)


def neutral_of(seed):
    """A face of its own on the small template, (V, 3)."""
    template, units = small_template()
    points = template.mesh.vertices_mm
    field = np.stack([NoiseField(seed + k)(points, 90.0) for k in range(3)], axis=1)
    raw = points * [1.04, 0.97, 1.02] + 1.5 * field
    return motion_to(points, raw, skull_weights(template, units), noise_mm=5.0)(raw)  # in the template's frame


def personal_offsets(seed, neutral):
    """Transferred units, and the same stronger, turned and bent: (U, V, 3) each."""
    template, units = small_template()
    generic = transfer_units(template, units, neutral)
    rng = np.random.default_rng(seed)
    own = generic.copy()
    for number, unit in enumerate(generic):
        fields = np.stack([NoiseField(100 * seed + 4 * number + k)(neutral, 60.0) for k in range(3)], axis=1)
        turned = Rotation.from_rotvec(0.15 * fields).apply(unit)
        own[number] = np.exp(rng.normal(0, 0.2)) * turned * (1 + 0.15 * fields[:, :1])
    return generic, own


def performed(neutral, own, recipes):
    names = list(ARKIT_UNITS)
    out = {"1_neutral": neutral}
    for number, (name, recipe) in enumerate(recipes.items(), 2):
        out[f"{number}_{name}"] = neutral + sum(w * own[names.index(u)] for u, w in recipe.items())
    return out


def moving(unit):
    template, _ = small_template()
    return (np.linalg.norm(unit, axis=1) > 0.1) & (template.parts == SKIN)


@pytest.fixture(scope="module")
def alone():
    """A subject whose examples show one unit each, and its rig."""
    template, units = small_template()
    neutral = neutral_of(1)
    generic, own = personal_offsets(1, neutral)
    meshes = performed(neutral, own, ALONE)
    return meshes, generic, own, build_rig(template, units, meshes, recipes=ALONE, settings=WHOLE)


def test_units_shown_alone_are_recovered(alone):
    _, generic, own, rig = alone
    for unit in SHOWN:
        number = ARKIT_UNITS.index(unit)
        at = moving(own[number])
        found = rig.shapes_mm[number].astype(float) - rig.neutral_mm
        error = np.linalg.norm(found - own[number], axis=1)[at].mean()
        assert error < 0.3 * np.linalg.norm(generic[number] - own[number], axis=1)[at].mean(), unit
        assert rig.figures["units"][unit]["learned"]


def test_units_that_no_example_shows_stay_as_transferred_and_are_marked(alone):
    _, generic, _, rig = alone
    template, _ = small_template()
    skin = template.parts == SKIN
    for number, unit in enumerate(ARKIT_UNITS):
        if unit not in SHOWN:
            found = rig.shapes_mm[number].astype(float) - rig.neutral_mm
            assert np.abs(found - generic[number])[skin].max() < 0.02, unit
            assert not rig.figures["units"][unit]["learned"]


def test_examples_are_reproduced(alone):
    _, _, _, rig = alone
    assert all(one["mean_mm"] < 0.05 for one in rig.figures["examples"].values())
    assert ((rig.weights >= 0) & (rig.weights <= 1)).all()
    template, _ = small_template()
    assert "neutral" not in rig.figures["missing"]
    assert set(review_rig(template, rig).figures["units_transferred"]) == set(ARKIT_UNITS) - set(SHOWN)


def test_head_motion_and_the_order_of_examples_change_nothing(alone):
    meshes, _, _, rig = alone
    template, units = small_template()
    rng = np.random.default_rng(9)
    moved = {}
    for label in reversed(list(meshes)):
        R = Rotation.from_rotvec(rng.normal(0, 0.1, 3)).as_matrix()
        moved[label] = meshes[label] @ R.T + rng.normal(0, 20, 3)
    again = build_rig(template, units, moved, recipes=ALONE, settings=WHOLE)
    assert np.abs(again.shapes_mm - rig.shapes_mm).max() < 2e-3
    order = [again.examples.index(label) for label in rig.examples]
    assert np.abs(again.weights[order] - rig.weights).max() < 1e-4


def test_a_mirrored_subject_has_the_mirrored_rig():
    template, units = small_template()
    points = template.mesh.vertices_mm
    off, twin = cKDTree(points * [-1, 1, 1]).query(points)
    assert off.max() < 0.05
    other = [unit.replace("Left", "?").replace("Right", "Left").replace("?", "Right") for unit in ARKIT_UNITS]
    swap = [ARKIT_UNITS.index(unit) for unit in other]
    recipes = {"smile": EXPRESSION_RECIPES["smile"], "sadness": EXPRESSION_RECIPES["sadness"]}
    neutral = neutral_of(2)
    _, own = personal_offsets(2, neutral)
    meshes = performed(neutral, own, recipes)
    rig = build_rig(template, units, meshes, recipes=recipes)
    mirrored = build_rig(template, units, {k: v[twin] * [-1, 1, 1] for k, v in meshes.items()}, recipes=recipes)
    offsets = rig.shapes_mm - rig.neutral_mm
    back = (mirrored.shapes_mm - mirrored.neutral_mm)[swap][:, twin] * np.float32([-1, 1, 1])
    skin = template.parts == SKIN
    learned = [n for n, unit in enumerate(ARKIT_UNITS) if rig.figures["units"][unit]["learned"]]
    assert np.linalg.norm(back - offsets, axis=2)[learned][:, skin].mean() < 0.02
    assert np.abs(mirrored.weights[:, swap] - rig.weights).max() < 0.03


def test_the_protocol_halves_the_error_of_deformation_transfer():
    template, units = small_template()
    neutral = neutral_of(3)
    generic, own = personal_offsets(3, neutral)
    recipes = {name: recipe for name, recipe in EXPRESSION_RECIPES.items() if recipe}
    meshes = performed(neutral, own, {n: {u: 0.93 * min(w, 1) for u, w in r.items()} for n, r in recipes.items()})
    rig = build_rig(template, units, meshes)
    ours, theirs = [], []
    for number, unit in enumerate(ARKIT_UNITS):
        if any(recipe.get(unit, 0) >= 0.2 for recipe in recipes.values()):
            at = moving(own[number])
            found = rig.shapes_mm[number].astype(float) - rig.neutral_mm
            ours.append(np.linalg.norm(found - own[number], axis=1)[at].mean())
            theirs.append(np.linalg.norm(generic[number] - own[number], axis=1)[at].mean())
    assert len(ours) == 42
    assert np.mean(ours) < 0.5 * np.mean(theirs)
    assert review_rig(template, rig).verdict == "accept"


def test_a_neutral_alone_gives_transferred_units():
    template, units = small_template()
    rig = build_rig(template, units, {"1_neutral": neutral_of(4)})
    assert rig.examples == ()
    assert not any(one["learned"] for one in rig.figures["units"].values())
    assert set(rig.figures["missing"]) == set(EXPRESSION_RECIPES) - {"neutral"}
    assert review_rig(template, rig).verdict == "redo"


def test_the_eye_between_the_lids_stays_on_the_eyeball():
    template, units = small_template()
    neutral = template.mesh.vertices_mm
    rig = build_rig(template, units, {"1_neutral": neutral})
    left = np.flatnonzero((template.parts == EYE) & (neutral[:, 0] > 0))
    p = neutral[left]
    solution = np.linalg.lstsq(np.c_[2 * p, np.ones(len(p))], np.square(p).sum(1), rcond=None)[0]
    rest = np.linalg.norm(p - solution[:3], axis=1)
    for unit in ("eyeBlinkLeft", "eyeWideLeft", "eyeLookDownLeft", "cheekSquintLeft"):
        shape = rig.shapes_mm[ARKIT_UNITS.index(unit)].astype(float)[left]
        assert np.abs(np.linalg.norm(shape - solution[:3], axis=1) - rest).max() < 0.2, unit


@pytest.mark.parametrize("unit", ["jawForward", "mouthLeft", "mouthSmileLeft"])
def test_the_mouths_inside_goes_as_the_skin_around_it(unit):
    """Nothing is added where nothing differs; what differs alike all around differs so within, too."""
    template, units = small_template()
    inside = template.parts == MOUTH_INTERIOR
    smooth = units.offsets_mm[[ARKIT_UNITS.index(unit)]].astype(float)
    ride = RideAlong(template.mesh, template.parts)
    assert np.abs(ride(smooth, smooth) - smooth)[:, inside].max() < 1e-6
    wanted = 1.2 * smooth
    found = ride(smooth, np.where(inside[:, None], smooth, wanted))
    near = inside & (np.linalg.norm(smooth[0], axis=1) > 0.5)
    assert near.sum() > 50
    before, after = (np.linalg.norm(one[0] - wanted[0], axis=1)[near].mean() for one in (smooth, found))
    assert after < 0.5 * before


def test_a_blinks_full_weight_is_the_closed_eye():
    asked = weight_prior(["18_eye_closed", "2_smile"], ARKIT_UNITS, EXPRESSION_RECIPES, RigSettings()).mean
    assert asked[0, ARKIT_UNITS.index("eyeBlinkLeft")] == 1.0
    assert asked[1, ARKIT_UNITS.index("mouthSmileLeft")] < 1.0


@pytest.mark.parametrize(("unit", "weight", "said"), [("jawOpen", 0.25, "lips"), ("eyeBlinkLeft", 0.9, "left eye")])
def test_a_neutral_that_is_none_is_said(unit, weight, said):
    template = default_template()
    from processing.face_models.blendshapes.neutral_check import check_neutral
    from processing.template.face_units import builtin_units

    offsets = builtin_units(template).offsets_mm[ARKIT_UNITS.index(unit)]
    neutral = template.mesh.vertices_mm * 1.05
    assert check_neutral(template, neutral).verdict == "accept"
    review = check_neutral(template, neutral + weight * offsets)
    assert review.verdict != "accept"
    assert said in review.reasons[0]


def test_what_cannot_be_a_rig_is_refused_by_name():
    template, units = small_template()
    neutral = template.mesh.vertices_mm
    with pytest.raises(RigError, match="needs one neutral"):
        build_rig(template, units, {"2_smile": neutral})
    with pytest.raises(RigError, match=r"2_smile.*topology"):
        build_rig(template, units, {"1_neutral": neutral, "2_smile": neutral[:-1]})
    broken = neutral.copy()
    broken[7, 1] = np.nan
    with pytest.raises(RigError, match="2_smile has 1 vertices"):
        build_rig(template, units, {"1_neutral": neutral, "2_smile": broken})
    with pytest.raises(FaceUnitsError):
        build_rig(default_template(), units, {"1_neutral": default_template().mesh.vertices_mm})
    with pytest.raises(RigSettingsError, match="noise_mm"):
        RigSettings(noise_mm=0.0)
