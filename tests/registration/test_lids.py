"""Lids of a fitted mesh stand where photographs show their edges: the built-in template, opened and closed by known
amounts."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.spatial import cKDTree

from processing.geometry.mesh import Mesh
from processing.landmarks.lid_contours import EYE_CORNERS, LID_LANDMARKS, MARKED, SAMPLES, LidContours
from processing.landmarks.multi_pie_68 import Landmarks3d
from processing.mesh_repair.mesh_defects import find_mesh_defects
from processing.registration.eyeballs import sphere_behind
from processing.registration.lid_margins import LID_MM, lid_rims, lid_targets
from processing.registration.loose_parts import largest_part
from processing.registration.register import register_neutral
from processing.scan_quality.apertures import measure_apertures
from processing.template.builtin_template import default_template
from processing.template.template import EYE, SKIN, Template, place_landmarks

OPENINGS = ("right_lids", "left_lids")


@pytest.fixture(scope="module")
def template() -> Template:
    return default_template()


@pytest.fixture(scope="module")
def face(template: Template) -> Mesh:
    """The template as a scan: eye and lids are one surface."""
    return largest_part(template.mesh)[0]


def opened(template: Template, share: float) -> LidContours:
    """Edges of lids at the template's, opened to a share of its own."""
    marks = template.landmark_points(template.mesh.vertices_mm)
    points = np.zeros((2, 2, SAMPLES, 3))
    for eye in range(2):
        outer, inner = marks[EYE_CORNERS[eye]]
        for lid in range(2):
            knots = np.stack([outer, *marks[LID_LANDMARKS[eye, lid]], inner])
            at = np.array([0, *MARKED, SAMPLES - 1])
            fit = np.stack([np.interp(np.arange(SAMPLES), at, knots[:, k]) for k in range(3)], axis=1)
            points[eye, lid] = fit
        middle = points[eye].mean(axis=0)
        points[eye] = middle + share * (points[eye] - middle)
    return LidContours(points, np.full(2, 9, np.int32))


@pytest.mark.parametrize("out_mm", [0.0, 0.5, 1.0])
def test_lids_reach_to_their_landmarks_wherever_the_detector_sees_these(template: Template, out_mm: float) -> None:
    points = template.landmark_points(template.mesh.vertices_mm)
    for eye in range(2):
        middle = points[LID_LANDMARKS[eye].ravel()].mean(axis=0)
        for marks in LID_LANDMARKS[eye]:
            points[marks, 1] += out_mm * np.sign(points[marks, 1] - middle[1])
    skin = (template.parts[template.mesh.triangles] == SKIN).all(axis=1)
    at, barycentric = place_landmarks(template.mesh, points, skin)
    seen = replace(template, landmark_triangles=at, landmark_barycentric=barycentric)
    part, main = largest_part(seen.mesh)[:2]
    number = np.full(len(seen.mesh.vertices_mm), -1, np.int32)
    number[main] = np.arange(len(main))
    rims = lid_rims(seen, part, number)
    assert len(rims) == 2
    for rim in rims:
        assert np.isin(rim.marks, np.r_[rim.walls, rim.upper, rim.lower, rim.inside]).all()


@pytest.mark.parametrize("share", [0.5, 1.0, 1.3])
def test_registered_lids_stand_as_far_apart_as_in_the_photographs(template: Template, face: Mesh, share: float) -> None:
    own = Landmarks3d.of_points(template.landmark_points(template.mesh.vertices_mm))
    landmarks = own.with_lids(opened(template, share))
    found = register_neutral(template, face, landmarks)
    marks = template.landmark_points(found.vertices_mm)
    for name in OPENINGS:
        assert abs(measure_apertures(landmarks.points_mm, marks)[name].off_mm or 0.0) < 0.5
    assert find_mesh_defects(template.mesh.with_vertices(found.vertices_mm), template.mesh).flipped.sum() <= 2


def test_one_eye_without_edges_leaves_the_other_at_its_own(template: Template, face: Mesh) -> None:
    own = Landmarks3d.of_points(template.landmark_points(template.mesh.vertices_mm))
    landmarks = own.with_lids(opened(template, 0.7).without(np.array([True, False])))
    apart = measure_apertures(
        landmarks.points_mm, template.landmark_points(register_neutral(template, face, landmarks).vertices_mm)
    )
    assert abs(apart["left_lids"].off_mm or 0.0) < 0.5


def test_targets_lie_on_the_edges_in_order_along_the_lid(template: Template) -> None:
    part, main = largest_part(template.mesh)
    number = np.full(len(template.mesh.vertices_mm), -1, np.int32)
    number[main] = np.arange(len(main))
    rims = lid_rims(template, part, number)
    assert [rim.eye for rim in rims] == [0, 1]
    noise = np.random.default_rng(0).normal(0, 0.05, (2, 2, SAMPLES, 3))
    contours = opened(template, 1.0)
    noisy = replace(contours, points_mm=contours.points_mm + noise)
    for target in lid_targets(rims, part.vertices_mm, noisy):
        upper = target.points_mm[: len(target.rim.upper), 0]
        steps = np.array([b - a for a, b in pairwise(upper)])
        assert (np.sign(steps) == np.sign(steps.sum())).mean() > 0.9
        middle = target.edges_mm.mean(axis=(0, 1))
        assert target.between(middle[None], 0.0).all()
        assert not target.between(middle[None] + np.array([0, 12.0, 0]), 0.0).any()
    assert not lid_targets(rims, part.vertices_mm, contours.without(np.array([True, True])))


@pytest.mark.parametrize("seed", range(4))
def test_lids_slide_along_their_edges_and_keep_their_order(template: Template, seed: int) -> None:
    part, main = largest_part(template.mesh)
    number = np.full(len(template.mesh.vertices_mm), -1, np.int32)
    number[main] = np.arange(len(main))
    rng = np.random.default_rng(seed)
    for target in lid_targets(
        lid_rims(template, part, number), part.vertices_mm, opened(template, rng.uniform(0.4, 2))
    ):
        motion = rng.normal(0, 3.0, 3) + rng.normal(0, 1.0, target.points_mm.shape)
        slid = target.slid(motion).points_mm
        count = len(target.rim.upper)
        for chain, edge in zip(
            (np.arange(count), np.r_[0, np.arange(count, len(slid)), count - 1]), target.edges_mm, strict=True
        ):
            np.testing.assert_allclose(slid[chain[[0, -1]]], target.points_mm[chain[[0, -1]]])
            dense = np.concatenate([np.linspace(a, b, 200) for a, b in pairwise(edge - LID_MM * target.outwards)])
            off, foot = cKDTree(dense).query(slid[chain[1:-1]])
            assert off.max() < 0.05
            assert (np.diff(foot) > 0).all()
        still = target.slid(np.zeros_like(motion)).points_mm
        assert np.linalg.norm(still - target.points_mm, axis=1).max() < 1e-6
        towards_nose = np.sign(target.edges_mm[0, -1] - target.edges_mm[0, 0])[0] * np.array([1.0, 0, 0])
        gain = ((target.slid(np.tile(towards_nose, (len(slid), 1))).points_mm - still) @ towards_nose)[1 : count - 1]
        assert 0.5 < gain.max() < 1.1
        assert gain.min() > -1e-6


@pytest.mark.parametrize("radius_mm", [11.5, 12.0, 12.8])
def test_an_eyeball_is_the_sphere_that_it_was(radius_mm: float) -> None:
    rng = np.random.default_rng(1)
    way = rng.normal([0.0, 0, 1], 0.25, (300, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    centre = np.array([30.0, 30, 80])
    points = centre + radius_mm * way + rng.normal(0, 0.1, way.shape)
    points[:20] += [0, 0, 4.0]  # lashes
    ball = sphere_behind(points, centre + np.array([0, 0, radius_mm - 0.5]), np.array([0.0, 0, 1]))
    assert np.linalg.norm(ball.centre_mm - centre) < 1.0
    assert abs(ball.radius_mm - radius_mm) < 0.8


def test_a_template_without_an_eye_has_no_rim(template: Template) -> None:
    part, main = largest_part(template.mesh)
    number = np.full(len(template.mesh.vertices_mm), -1, np.int32)
    number[main] = np.arange(len(main))
    right = template.mesh.vertices_mm[:, 0] < 0
    one_eyed = replace(template, parts=np.where((template.parts == EYE) & right, 0, template.parts))
    assert [rim.eye for rim in lid_rims(one_eyed, part, number)] == [1]
