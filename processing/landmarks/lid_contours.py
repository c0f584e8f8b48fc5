"""The lids' edges as curves in space: the detector's outlines of the eyes, drawn to where eye and lid truly meet.

The detector places lids by what faces look like, 1 to 3 mm off. Its outline is only the start here: in every photograph
that sees the eye the edge between eye and skin is found on lines across the lid (`lid_edges`), and the curve in space
moves to where the photographs agree, across the lid and in depth.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.array_types import Bools, Floats, Image, Ints32
from processing.errors import ShapeError
from processing.geometry.cameras import Camera
from processing.landmarks.lid_edges import EyeColours, EyeView, smoothest_split, split_scores

# The detector's points: right and left eye, upper and lower lid, from the outer corner to the inner one.
LID_POINTS: Ints32 = np.array(
    [
        [[33, 246, 161, 160, 159, 158, 157, 173, 133], [33, 7, 163, 144, 145, 153, 154, 155, 133]],
        [[263, 466, 388, 387, 386, 385, 384, 398, 362], [263, 249, 390, 373, 374, 380, 381, 382, 362]],
    ],
    dtype=np.int32,
)
SAMPLES = 33  # of a lid's curve, both corners among them
MARKED = (12, 20)  # the samples at which Multi-PIE has landmarks of a lid, outer and inner
# Those landmarks: of the right and the left eye, upper and lower lid, outer and inner.
LID_LANDMARKS: Ints32 = np.array([[[37, 38], [41, 40]], [[44, 43], [46, 47]]], dtype=np.int32)
EYE_CORNERS: Ints32 = np.array([[36, 39], [45, 42]], dtype=np.int32)  # outer and inner

FEWEST_VIEWS = 3
ROUNDS = 2  # in which each photograph says where the edge is, before one in which they say it together
OFFSETS_MM = np.arange(-4.0, 4.05, 0.1)  # along a line across the lid, out of the eye
REACH_MM = 2.6  # the edge lies within this of the curve
SKIN_FROM_MM = 1.2  # farther out, what lies across the curve is an example of skin
LEAST_COSINE = 0.55  # between the eye's axis and where a camera stands
LEAST_CONTRAST = 1.2  # of the eye's colours against the skin's
SURE_MM = 0.4  # views that differ by more lose weight
MAX_DEPTH_MM = 4.0  # a round's motion along the axis


@dataclass(frozen=True, eq=False)
class LidContours:
    """Edges of the lids: of the right and the left eye, upper and lower, from the outer corner to the inner one."""

    points_mm: Floats  # (2, 2, SAMPLES, 3) eye, lid; head frame, NaN where unknown
    views: Ints32  # (2,) photographs behind each eye's

    def __post_init__(self) -> None:
        if self.points_mm.shape != (2, 2, SAMPLES, 3) or self.views.shape != (2,):
            raise ShapeError("lid contours", self.points_mm.shape, f"(2, 2, {SAMPLES}, 3)")

    @property
    def known(self) -> Bools:
        """(2,) eyes whose lids were found."""
        return np.asarray(np.isfinite(self.points_mm).all(axis=(1, 2, 3)))

    def without(self, eyes: Bools) -> "LidContours":
        """These contours, some eyes' (2,) unknown."""
        points = np.where(eyes[:, None, None, None], np.nan, self.points_mm)
        return LidContours(points, np.where(eyes, 0, self.views).astype(np.int32))


def find_lid_contours(outlines_mm: Floats, images: Sequence[Image], cameras: Sequence[Camera]) -> LidContours:
    """outlines_mm: (2, 2, 9, 3) LID_POINTS in space as detected, NaN where unknown.  images: (H, W, 3) uint8 BGR.

    An eye that fewer than FEWEST_VIEWS photographs tell from its skin (closed, or in a picture without colours) is
    unknown.
    """
    from scipy.interpolate import CubicSpline  # here: who only wants the points' names need not wait for it

    axis = -np.mean([camera.viewing_direction for camera in cameras], axis=0)
    axis /= np.linalg.norm(axis)
    points, views = np.full((2, 2, SAMPLES, 3), np.nan), np.zeros(2, dtype=np.int32)
    for eye in range(2):
        if not np.isfinite(outlines_mm[eye]).all():
            continue
        start = CubicSpline(np.linspace(0, 1, outlines_mm.shape[2]), outlines_mm[eye], axis=1)
        curves, used = _refined(start(np.linspace(0, 1, SAMPLES)), axis, images, cameras)
        if used >= FEWEST_VIEWS:
            points[eye], views[eye] = curves, used
    return LidContours(points, views)


def _refined(curves: Floats, axis: Floats, images: Sequence[Image], cameras: Sequence[Camera]) -> tuple[Floats, int]:
    """One eye's lids (2, SAMPLES, 3), and how many photographs placed them."""
    middle = curves.mean(axis=(0, 1))
    reach = np.concatenate([curves.reshape(-1, 3) + shift for shift in 6.0 * np.r_[np.eye(3), -np.eye(3)]])
    seeing = []
    for image, camera in zip(images, cameras, strict=True):
        towards = camera.centre - middle
        if towards @ axis > LEAST_COSINE * np.linalg.norm(towards):
            seeing.append(EyeView(image, camera, reach))
    used = 0
    for number in range(ROUNDS + 1):
        curves, used = _one_round(curves, axis, seeing, together=number == ROUNDS)
        if used < FEWEST_VIEWS:
            break
    return curves, used


def _one_round(curves: Floats, axis: Floats, views: Sequence[EyeView], *, together: bool) -> tuple[Floats, int]:
    """The curves (2, SAMPLES, 3) moved to the edges in the photographs, and how many of these had a say."""
    across = _across(curves, axis)
    gap = np.linalg.norm(curves[0] - curves[1], axis=1)[:, None]
    lines = curves[:, :, None] + OFFSETS_MM[:, None] * across[:, :, None]
    inside = np.broadcast_to(-np.minimum(3.0, 0.55 * gap + 0.4) <= OFFSETS_MM, lines.shape[:3])
    eye = inside & (-np.minimum(0.9, 0.25 * gap) > OFFSETS_MM)
    skin = np.broadcast_to(OFFSETS_MM > SKIN_FROM_MM, inside.shape)
    allowed = inside & (np.abs(OFFSETS_MM) <= REACH_MM)
    scores, cameras = [], []
    for view in views:
        colours = view.colours(lines)
        model = EyeColours.learn(colours, eye, skin)
        if model is not None and model.contrast >= LEAST_CONTRAST:
            odds = model(colours)
            scores.append([split_scores(odds[lid], inside[lid]) for lid in range(2)])
            cameras.append(view.camera)
    if len(scores) < FEWEST_VIEWS:
        return curves, len(scores)
    if together:
        offsets = _offsets(np.median(scores, axis=0), allowed)
        out = curves + offsets[:, :, None] * across
    else:
        each = np.stack([_offsets(np.asarray(score), allowed) for score in scores])
        out = np.stack([_moved(curves[lid], across[lid], axis, each[:, lid], cameras) for lid in range(2)])
    # Beyond the corners there is one line, not two.
    crossed = ((out[0] - out[1]) * across[0]).sum(axis=1) < 0
    crossed[[0, -1]] = True
    out[:, crossed] = out[:, crossed].mean(axis=0)
    return out, len(scores)


def _offsets(scores: Floats, allowed: Bools) -> Floats:
    """(2, SAMPLES) mm to the edge on each line. scores, allowed: (2, SAMPLES, A)."""
    places = [smoothest_split(scores[lid], allowed[lid]) for lid in range(2)]
    step = OFFSETS_MM[1] - OFFSETS_MM[0]
    return np.asarray(OFFSETS_MM[0] + step * (np.stack(places) - 0.5))


def _across(curves: Floats, axis: Floats) -> Floats:
    """(2, SAMPLES, 3) unit, across each lid at right angles to the axis, out of the eye."""
    up = np.cross(axis, (curves[:, -1] - curves[:, 0]).mean(axis=0))
    up *= 1.0 if up @ (curves[0] - curves[1]).mean(axis=0) > 0 else -1.0
    normal = np.cross(axis, np.gradient(curves, axis=1))
    normal /= np.linalg.norm(normal, axis=2, keepdims=True).clip(1e-9)
    outwards = np.stack([up, -up])[:, None]
    return np.asarray(normal * np.where((normal * outwards).sum(axis=2, keepdims=True) < 0, -1.0, 1.0))


def _moved(curve: Floats, across: Floats, axis: Floats, offsets: Floats, cameras: Sequence[Camera]) -> Floats:
    """(K, 3) a lid's curve moved across the lid and along the axis to where its views (C, K) saw the edge.

    Smooth along the lid, robust against views that saw something else (Geman-McClure).
    """
    count = len(curve)
    by_depth = np.stack([_shift_by_depth(curve, across, axis, camera) for camera in cameras])
    second = np.diff(np.eye(count), 2, axis=0)
    smooth = len(cameras) * (second.T @ second)
    weight, moved = np.ones(offsets.shape), np.zeros((2, count))
    for _ in range(6):
        cross = (weight * by_depth).sum(axis=0)
        depth = (weight * by_depth**2).sum(axis=0) + 0.003 * len(cameras)
        matrix = np.block(
            [
                [np.diag(weight.sum(axis=0) + 1e-6) + 0.3 * smooth, np.diag(cross)],
                [np.diag(cross), np.diag(depth) + 3.0 * smooth],
            ]
        )
        right = np.r_[(weight * offsets).sum(axis=0), (weight * by_depth * offsets).sum(axis=0)]
        moved = np.linalg.solve(matrix, right).reshape(2, count)
        off = offsets - moved[0] - by_depth * moved[1]
        weight = 1 / (1 + np.square(off / SURE_MM)) ** 2
    return np.asarray(curve + moved[0][:, None] * across + moved[1].clip(-MAX_DEPTH_MM, MAX_DEPTH_MM)[:, None] * axis)


def _shift_by_depth(curve: Floats, across: Floats, axis: Floats, camera: Camera) -> Floats:
    """(K,) how many mm across the lid a camera sees the curve move when it moves 1 mm along the axis."""
    at = camera.project(curve)
    tangent = np.gradient(at, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    aside = ((camera.project(curve + 0.1 * across) - at) * normal).sum(axis=1)
    deeper = ((camera.project(curve + 0.1 * axis) - at) * normal).sum(axis=1)
    return np.asarray(deeper / np.where(np.abs(aside) > 1e-9, aside, 1e-9))
