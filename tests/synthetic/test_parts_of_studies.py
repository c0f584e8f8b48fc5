"""Lips, lids, eyes and what lies in the mouth: people of studies do not have them in each other, and what does is told
and drawn apart."""

from pathlib import Path

import numpy as np
import pytest

from processing.synthetic.face_study import face_study
from processing.template.part_separation import PartSeparation
from processing.template.template import EYE

VERTICES = 8000
ICT = Path(__file__).parents[3] / "shared/data/ict_face.npz"
DEEPEST_MM = 0.5


@pytest.fixture(scope="module", params=["anny", "ict"])
def subject(request):
    if request.param == "ict" and not ICT.is_file():
        pytest.skip("needs ../shared/data/ict_face.npz")
    return next(face_study(1, seed=1, population=request.param, vertices=VERTICES, ict=ICT, motion_mm=0))


@pytest.fixture(scope="module")
def separation(subject):
    template = subject.template
    return PartSeparation.of(template.mesh, template.parts, template.landmark_points(template.mesh.vertices_mm))


def test_a_face_at_rest_crosses_nothing(subject, separation):
    assert max(separation.deepest(subject.neutral_mm).values()) < DEEPEST_MM
    np.testing.assert_allclose(separation(subject.neutral_mm), subject.neutral_mm, atol=DEEPEST_MM)


@pytest.mark.parametrize(
    ("unit", "kind"), [("mouthPucker", "lips"), ("eyeBlinkLeft", "lids"), ("eyeSquintRight", "eyes")]
)
def test_what_is_too_far_is_told_and_drawn_apart(subject, separation, unit, kind):
    """A unit far beyond its full weight drives parts into each other; drawn apart, none is deeper than allowed."""
    shape = subject.truth.shapes_mm[subject.truth.units.index(unit)].astype(np.float64)
    for weight in (1.2, 1.35):
        posed = subject.neutral_mm + weight * (shape - subject.neutral_mm)
        apart = separation(posed)
        assert separation.deepest(apart)[kind] < DEEPEST_MM
        assert np.linalg.norm(apart - posed, axis=1).max() < 8


def test_lips_pushed_through_each_other(subject, separation):
    """The lower lip lifted until it is in the upper one: the depth is told, and the lips part."""
    lower = next(c for c in separation.contacts if c.kind == "lips" and c.away[1] < 0).vertices
    points = subject.neutral_mm[lower]
    near = np.exp(-np.square(points[:, 0] / 12) / 2)
    for lift_mm in np.arange(1.0, 14.0, 0.5):
        posed = subject.neutral_mm.copy()
        posed[lower] += lift_mm * near[:, None] * [0.0, 0.8, 0.6]  # up, and on under the upper one
        if separation.deepest(posed)["lips"] > 1.0:
            break
    else:
        pytest.fail("lips never met")
    apart = separation(posed)
    assert separation.deepest(apart)["lips"] < DEEPEST_MM
    assert np.linalg.norm(apart - posed, axis=1).max() < 4.5


def test_what_is_far_from_the_face_stays(subject, separation):
    shape = subject.truth.shapes_mm[subject.truth.units.index("mouthPucker")].astype(np.float64)
    posed = subject.neutral_mm + 1.3 * (shape - subject.neutral_mm)
    untouched = np.ones(len(posed), np.bool_)
    untouched[separation.vertices] = False
    np.testing.assert_array_equal(separation(posed)[untouched], posed[untouched])


def test_a_head_without_eyes_and_mouth_has_no_such_contacts(subject):
    template = subject.template
    parts = np.where(template.parts == EYE, 0, 0).astype(np.int8)
    bare = PartSeparation.of(template.mesh, parts, template.landmark_points(template.mesh.vertices_mm))
    assert {c.kind for c in bare.contacts} <= {"lips", "lids"}
    assert bare.sheets == ()
