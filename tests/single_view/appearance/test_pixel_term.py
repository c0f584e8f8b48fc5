"""Pixels of a photograph as equations: their derivatives, what they leave to light and colour, where they lead."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from lit_face import LitFace, lit_face, painted_model

from common.array_types import Floats
from processing.face_models.fitting.face_state import ModelPoints, identity_of
from processing.single_view.appearance.blurred_photograph import BlurredPhotograph
from processing.single_view.appearance.face_pixels import FacePixels
from processing.single_view.appearance.light_solution import LIGHTS, appearance_rows, light_prior
from processing.single_view.appearance.pixel_term import PixelLook, PixelRows, PixelTerm
from processing.single_view.fitting.photo_state import PhotoState
from processing.single_view.fitting.pose import POSE, PhotoPose, model_rows

MODEL = painted_model()
PIXELS = FacePixels(MODEL)
N, U = MODEL.identity_count, len(MODEL.units)


def state_of(face: LitFace, scores: Floats) -> PhotoState:
    pose = PhotoPose.of_camera(face.camera, np.array([0.0, 0, 60]))
    return PhotoState(scores, np.zeros((1, U)), (pose,))


def moved(state: PhotoState, step: Floats) -> PhotoState:
    return PhotoState(
        state.scores + step[:N], state.weights + step[None, N : N + U], (state.poses[0].moved(step[-POSE:]),)
    )


def whole(state: PhotoState) -> Floats:
    return MODEL.face(identity_of(MODEL, state.scores), state.weights[0])


def points(state: PhotoState) -> tuple[Floats, Floats]:
    return ModelPoints(PIXELS.shapes).derivatives(MODEL, state.scores, state.weights[0])


def residuals(look: PixelLook, state: PhotoState) -> Floats:
    pose = state.poses[0]
    return look.residuals(pose.to_camera(points(state)[0]), pose.focal_px, pose.middle_px).ravel()


def rows(look: PixelLook, state: PhotoState, *, eliminate: bool = True) -> PixelRows:
    pose = state.poses[0]
    place, change = points(state)
    moves = model_rows(pose, place, change)
    return look.rows(pose.to_camera(place), moves, pose.focal_px, pose.middle_px, eliminate=eliminate)


def looked(face: LitFace, state: PhotoState, blur_mm: float, **more: float) -> PixelLook:
    term = PixelTerm(PIXELS, face.image, **more)
    return term.look(whole(state), state.poses[0].camera(), blur_mm, rng=np.random.default_rng(0))


def true_scores(face: LitFace) -> Floats:
    identity = MODEL.sample_identity(np.random.default_rng(0))
    assert np.allclose(MODEL.face(identity, np.zeros(U)), face.vertices_mm)
    return (identity - MODEL.identity_mean) / MODEL.identity_deviation


def ramp(size: int) -> BlurredPhotograph:
    """A photograph that is a slope in each channel: what lies between its pixels is exact, and so is its gradient."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    slopes = np.array([[0.6, 0.1], [-0.2, 0.5], [0.3, -0.4]], np.float32)
    colours = x[..., None] * slopes[:, 0] + y[..., None] * slopes[:, 1] + 100
    flat = np.ones((size, size, 3), np.float32)
    return BlurredPhotograph(colours, flat * slopes[:, 0], flat * slopes[:, 1], np.zeros(2), 1.0)


def test_derivatives_are_those_of_the_residuals() -> None:
    face = lit_face(0, yaw=15.0)
    state = state_of(face, np.full(N, 0.2))
    look = replace(looked(face, state, 0.5, count=900), photograph=ramp(len(face.image)))
    plain = rows(look, state, eliminate=False)
    assert np.allclose(plain.residual, residuals(look, state), atol=1e-3)
    open_mouth = N + MODEL.units.index("jawOpen")
    for column, size in [(1, 0.2), (4, 0.2), (open_mouth, 0.2), *((N + U + k, 0.01) for k in range(3)),
                         (N + U + 3, 2.0), (N + U + 4, 2.0), (N + U + 5, 0.02), (N + U + 6, 0.1)]:  # fmt: skip
        step = np.zeros(N + U + POSE)
        step[column] = size
        numeric = (residuals(look, moved(state, step)) - residuals(look, moved(state, -step))) / (2 * size)
        off = np.linalg.norm(plain.rows[:, column] - numeric) / np.linalg.norm(numeric)
        assert off < 0.02, f"column {column}"


def test_a_photograph_moves_under_the_samples_as_its_gradient_says() -> None:
    """With real pixels the gradient is that of the blurred picture, smoothed between pixels a little more."""
    face = lit_face(0, yaw=15.0)
    state = state_of(face, np.full(N, 0.2))
    look = looked(face, state, 6.0, count=900)
    plain = rows(look, state, eliminate=False)
    step = np.zeros(N + U + POSE)
    step[N + U + 3] = 0.3
    numeric = (residuals(look, moved(state, step)) - residuals(look, moved(state, -step))) / 0.6
    assert np.corrcoef(plain.rows[:, N + U + 3], numeric)[0, 1] > 0.99


def test_light_and_albedo_are_eliminated_as_if_they_had_been_solved_for() -> None:
    face = lit_face(0)
    state = state_of(face, np.zeros(N))
    look = looked(face, state, 3.0, count=600)
    left, plain = rows(look, state), rows(look, state, eliminate=False)
    size = LIGHTS + 6
    weight = left.weight[:-size]
    # The same equations with light and albedo as unknowns of their own.
    by = np.matmul(look._white(plain.residual.reshape(-1, 3), plain.weight[::3] > 0)[0], np.eye(3))
    shape = np.einsum("cd,ndp->ncp", by, plain.rows.reshape(-1, 3, plain.rows.shape[1])).reshape(len(weight), -1)
    residual = (plain.residual.reshape(-1, 3) @ by.T).ravel()
    colour = -appearance_rows(look.colours, look.light.coefficients, look.light.albedo)[1]
    colour = np.einsum("cd,ndp->ncp", by, colour).reshape(len(weight), -1)
    precision, mean = light_prior(look.light.coefficients)
    prior = np.eye(size)
    prior[:LIGHTS, :LIGHTS] = precision
    away = np.r_[look.light.coefficients.ravel() - mean, look.light.albedo]
    every = np.c_[shape, colour]
    joint = every.T @ (weight[:, None] * every)
    pull = every.T @ (weight * residual)
    count = shape.shape[1]
    joint[count:, count:] += prior
    pull[count:] += prior @ away
    held = 1e-3 * np.eye(count)
    joint[:count, :count] += held
    together = np.linalg.solve(joint, -pull)[:count]
    matrix = left.rows.T @ (left.weight[:, None] * left.rows) + held
    alone = np.linalg.solve(matrix, -left.rows.T @ (left.weight * left.residual))
    assert np.allclose(alone, together, rtol=1e-4, atol=1e-6 * np.abs(together).max())


@pytest.mark.parametrize("covered", [False, True])
def test_steps_lead_back_to_the_shape_that_was_photographed(covered: bool) -> None:
    face = lit_face(0, yaw=10.0)
    if covered:
        image = face.image.copy()
        cv2.rectangle(image, (140, 90), (180, 170), (160, 100, 30), -1)
        face = replace(face, image=image)
    truth = true_scores(face)
    state = state_of(face, truth + 0.8 * np.random.default_rng(1).choice([-1.0, 1.0], N) * np.r_[0, np.ones(N - 1)])
    before = np.linalg.norm(whole(state) - face.vertices_mm, axis=1)[MODEL.topology.face].mean()
    term = PixelTerm(PIXELS, face.image)
    kept = np.arange(N)
    for blur in (4.0, 4.0, 4.0, 2.0, 2.0, 2.0):
        look = term.look(whole(state), state.poses[0].camera(), blur, rng=np.random.default_rng(0))
        made = rows(look, state)
        matrix = made.rows[:, kept].T @ (made.weight[:, None] * made.rows[:, kept]) + np.eye(N)
        pull = -made.rows[:, kept].T @ (made.weight * made.residual) - state.scores
        step = np.zeros(N + U + POSE)
        step[:N] = np.linalg.solve(matrix, pull)
        state = moved(state, step)
    after = np.linalg.norm(whole(state) - face.vertices_mm, axis=1)[MODEL.topology.face].mean()
    assert before > 3.0
    assert after < 0.4 * before


def test_the_face_where_it_is_is_left_there() -> None:
    face = lit_face(0)
    state = state_of(face, true_scores(face))
    look = looked(face, state, 2.0)
    made = rows(look, state)
    matrix = made.rows[:, :N].T @ (made.weight[:, None] * made.rows[:, :N]) + np.eye(N)
    step = np.linalg.solve(matrix, -made.rows[:, :N].T @ (made.weight * made.residual))
    assert np.abs(step).max() < 0.25
    deviation = np.sqrt(np.diag(np.linalg.inv(matrix)))
    assert (deviation < 1).all()
    assert np.abs(look.light.residual).mean() < 5


def test_masked_pixels_do_not_count() -> None:
    face = lit_face(0)
    skin = np.zeros(face.image.shape[:2], np.bool_)
    skin[:, :120] = True
    term = PixelTerm(PIXELS, face.image, skin=skin)
    look = term.look(face.vertices_mm, face.camera, 1.0, rng=np.random.default_rng(0))
    assert look.samples.pixel[:, 0].max() < 120
