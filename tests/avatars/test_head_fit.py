"""A head in a photograph: pose, expression and what the head lacked are found from its landmarks."""

import numpy as np
import pytest
from egg_person import egg_camera, egg_person
from seen_face import seen_landmarks

from processing.avatars.head_fit import fit_head
from processing.avatars.smooth_corrections import CorrectionLimits, correction_modes, cotangents
from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68
from processing.single_view.photograph import PhotoFitError, Photograph


def photograph(side: int = 360, focal_px: float | None = None) -> Photograph:
    return Photograph(np.zeros((side, side, 3), np.uint8), "p", focal_px)


@pytest.mark.parametrize(("yaw", "roll"), [(0.0, 0.0), (25.0, 100.0), (-40.0, -20.0)])
def test_pose_and_expression_are_found(yaw: float, roll: float) -> None:
    person, camera = egg_person(), egg_camera(yaw, roll_deg=roll)
    weights = np.zeros(len(person.units))
    weights[[person.units.index("jawOpen"), person.units.index("mouthSmileLeft")]] = 0.8, 0.6
    vertices = person.model.face(np.ones(1), weights)
    landmarks = seen_landmarks(person.model, vertices, camera)
    fit = fit_head(person, photograph(focal_px=camera.K[0, 0]), landmarks)
    assert fit.review.verdict == "accept"
    assert fit.figures["landmark_percent"] < 2
    angle = np.degrees(np.arccos(((fit.camera.R * camera.R).sum() - 1) / 2))
    assert angle < 7
    own, seen = (
        c.project(person.head.landmark_points(v)) for c, v in ((fit.camera, fit.vertices_mm), (camera, vertices))
    )
    assert np.abs(own - seen)[17:].max() < 6
    assert fit.correction_mm.shape == person.neutral_mm.shape
    assert np.allclose(fit.neutral_mm - fit.correction_mm, person.neutral_mm)


def test_what_the_head_lacks_is_corrected_smoothly() -> None:
    person, camera = egg_person(), egg_camera()
    vertices = person.neutral_mm.copy()
    bump = 6 * np.exp(-np.square(np.linalg.norm(vertices - person.head.landmark_points(vertices)[33], axis=1) / 30))
    vertices[:, 1] -= bump  # a longer nose and upper lip
    landmarks = seen_landmarks(person.model, vertices, camera)
    fit = fit_head(person, photograph(focal_px=camera.K[0, 0]), landmarks)
    at = int(bump.argmax())
    assert fit.correction_mm[at, 1] < -1
    away = np.linalg.norm(vertices - vertices[at], axis=1) > 120
    assert np.linalg.norm(fit.correction_mm[away], axis=1).max() < 0.5 * np.linalg.norm(fit.correction_mm[at])


def test_landmarks_of_no_head_are_refused() -> None:
    person = egg_person()
    rng = np.random.default_rng(0)
    landmarks = np.zeros((478, 2))
    landmarks[MEDIAPIPE_TO_68] = rng.uniform(100, 260, (68, 2))
    with pytest.raises(PhotoFitError, match="cannot be trusted"):
        fit_head(person, photograph(), landmarks)


def test_modes_have_the_size_and_the_smoothness_that_is_asked_for() -> None:
    person = egg_person()
    mesh, topology = person.model.topology.mesh, person.model.topology
    at, shares = topology.landmark_triangles[17:], topology.landmark_barycentric[17:]
    limits = CorrectionLimits(size_mm=2.0, reach_mm=40.0, modes=51)
    modes = correction_modes(mesh, at, shares, limits)
    points = np.einsum("nk,nkm->nm", shares, modes[mesh.triangles[at]])
    assert np.sqrt(np.square(points).sum(axis=1)).mean() == pytest.approx(2.0, rel=0.3)
    wider = correction_modes(mesh, at, shares, CorrectionLimits(size_mm=2.0, reach_mm=120.0, modes=51))
    stiff = cotangents(mesh)

    def energy(field):
        return (field * (stiff @ field)).sum() / np.square(field).sum()

    assert energy(wider) < energy(modes)


def test_lips_stay_together_whatever_is_corrected() -> None:
    person, camera = egg_person(), egg_camera()
    landmarks = seen_landmarks(person.model, person.neutral_mm, camera)
    for number, down in {61: -4, 62: -6, 63: -4, 65: 4, 66: 6, 67: 4}.items():  # px apart
        landmarks[MEDIAPIPE_TO_68[number]] += [0, down]
    fit = fit_head(person, photograph(focal_px=camera.K[0, 0]), landmarks)
    upper, lower = (person.model.topology.landmark_vertices[list(some)] for some in ((61, 62, 63), (67, 66, 65)))
    assert np.abs(fit.correction_mm[upper] - fit.correction_mm[lower]).max() < 0.3
