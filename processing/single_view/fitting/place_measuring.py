"""Places of the detector's points, measured: photographs of people whose surface is known, and what was detected."""

from dataclasses import dataclass

import numpy as np

from common.array_types import Floats, Ints32, Ints64
from processing.geometry.mesh import Surface, submesh
from processing.geometry.topology import topology_id
from processing.landmarks.mirror_478 import MIRROR_478
from processing.single_view.fitting.landmark_places import (
    SINES,
    SKIN_POINTS,
    LandmarkPlaces,
    picture_axes,
    view_terms,
)
from processing.template.face_mask import mirrored
from processing.template.template import SKIN, Template

FAR_MM = 3.0  # from which on a photograph's word counts less
_FRONTAL = 0.45  # sine of yaw and pitch up to which photographs place the points
_AROUND_MM = 12.0
_ROUNDS = 8


@dataclass(frozen=True, eq=False)
class Observations:
    """M photographs of known surfaces."""

    detected: Floats  # (M, 478, 2) px
    vertices: Floats  # (H, V, 3) mm, the template's, of each head
    head: Ints64  # (M,) which head each shows
    K: Floats  # (M, 3, 3)
    Rt: Floats  # (M, 3, 4)

    def towards(self, template: Template) -> Floats:
        """(M, 3) unit vectors of the head's frame, from the face to the camera."""
        heads = [template.landmark_points(head.astype(np.float64))[17:].mean(axis=0) for head in self.vertices]
        middle = np.array(heads)[self.head]
        centre = -np.einsum("mji,mj->mi", self.Rt[:, :, :3], self.Rt[:, :, 3])
        away = centre - middle
        return np.asarray(away / np.linalg.norm(away, axis=1, keepdims=True))

    def off_mm(self, number: int, points_mm: Floats) -> Floats:
        """(N, 2) mm from where places (N, 3) of a head are seen to where the first N of the points were detected."""
        places = points_mm @ self.Rt[number, :, :3].T + self.Rt[number, :, 3]
        focal = self.K[number, 0, 0]
        seen = focal * places[:, :2] / places[:, 2:] + self.K[number, :2, 2]
        return np.asarray((self.detected[number, : len(points_mm)] - seen) * places[:, 2:] / focal)


def solve_places(template: Template, seen: Observations) -> LandmarkPlaces:
    """The place of each of the detector's points on a template, its bias and deviation by side, and common errors."""
    towards = seen.towards(template)
    frontal = np.flatnonzero(np.abs(towards[:, :2]).max(axis=1) < _FRONTAL)
    mesh = template.mesh
    average = mesh.vertices_mm
    eyes = template.landmark_points(average)[[36, 45]]
    near = (template.parts == SKIN) & (average[:, 2] > eyes[:, 2].min() - 60) & (average[:, 1] > eyes[:, 1].min() - 130)
    candidates = np.flatnonzero(near)
    mirror = MIRROR_478[:SKIN_POINTS]
    other = mirrored(template)[0]
    costs = _costs(seen, frontal, candidates)  # (468, C)
    place = np.full(len(average), -1)
    place[candidates] = np.arange(len(candidates))
    opposite = place[other[candidates]]
    both = costs + np.where(opposite >= 0, costs[mirror][:, opposite.clip(0)], costs.max())
    best = candidates[both.argmin(axis=1)]
    triangles, barycentric = _refined(template, seen, frontal, best, mirror)
    points = np.einsum("nk,nkd->nd", barycentric, average[mesh.triangles[triangles]])
    return _with_errors(template, seen, towards, triangles, barycentric, points, mirror)


def _costs(seen: Observations, which: Ints64, candidates: Ints64) -> Floats:
    """(468, C) mean robust cost of putting each point at each vertex."""
    total = np.zeros((SKIN_POINTS, len(candidates)), dtype=np.float32)
    for number in which.tolist():
        points = seen.vertices[seen.head[number]][candidates].astype(np.float64)
        places = points @ seen.Rt[number, :, :3].T + seen.Rt[number, :, 3]
        focal = seen.K[number, 0, 0]
        pixels = focal * places[:, :2] / places[:, 2:] + seen.K[number, :2, 2]
        scale = float(np.median(places[:, 2]) / focal)
        a = (scale * seen.detected[number, :SKIN_POINTS]).astype(np.float32)
        b = (scale * pixels).astype(np.float32)
        square = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)[None] - 2 * (a @ b.T)
        np.maximum(square, 0, out=square)
        total += square / (square + np.float32(FAR_MM**2))
    return total / len(which)


def _refined(
    template: Template, seen: Observations, which: Ints64, best: Ints64, mirror: Ints32
) -> tuple[Ints32, Floats]:
    """Triangle and barycentric coordinates of each point: from its vertex to where the median photograph has it."""
    mesh = template.mesh
    skin, number = submesh(mesh, (template.parts == SKIN)[mesh.triangles].all(axis=1))
    old = np.flatnonzero((template.parts == SKIN)[mesh.triangles].all(axis=1)).astype(np.int32)
    surface = Surface(skin)
    average = mesh.vertices_mm
    points = average[best].copy()
    found = surface.closest(points)
    for _ in range(4):
        corners = skin.triangles[found.triangle]
        shift = np.zeros((SKIN_POINTS, len(which), 2))
        for k, one in enumerate(which.tolist()):
            heads = seen.vertices[seen.head[one]][number].astype(np.float64)
            here = np.einsum("nk,nkd->nd", found.barycentric, heads[corners])
            shift[:, k] = seen.off_mm(one, here)
        middle = np.median(shift, axis=1) * [1.0, -1.0]  # right and up, of a face seen from before
        middle = (middle + middle[mirror] * [-1.0, 1.0]) / 2
        # Along the surface: the tangent plane's step whose sight from before is the shift.
        points = found.points_mm + np.c_[middle, np.zeros(SKIN_POINTS)]
        normal = skin.triangle_normals[found.triangle]
        steep = np.where(np.abs(normal[:, 2]) > 0.35, normal[:, 2], np.inf)
        points[:, 2] -= (normal[:, :2] * middle).sum(axis=1) / steep
        found = surface.closest(points)
    return old[found.triangle], found.barycentric.clip(0, 1) / found.barycentric.clip(0, 1).sum(axis=1, keepdims=True)


def _with_errors(
    template: Template,
    seen: Observations,
    towards: Floats,
    triangles: Ints32,
    barycentric: Floats,
    points: Floats,
    mirror: Ints32,
) -> LandmarkPlaces:
    corners = template.mesh.triangles[triangles]
    off = np.empty((len(seen.head), SKIN_POINTS, 2))
    for number, head in enumerate(seen.head.tolist()):
        here = np.einsum("nk,nkd->nd", barycentric, seen.vertices[head][corners].astype(np.float64))
        off[number] = seen.off_mm(number, here) @ picture_axes(seen.Rt[number, :, :3]).T
    # Faces are alike on both sides: each photograph is one of the mirrored face, too.
    off = np.concatenate([off, off[:, mirror] * [-1.0, 1.0]])
    towards = np.concatenate([towards, towards * [-1.0, 1.0, 1.0]])
    terms = view_terms(towards).T  # (M, 10)
    bias = np.zeros((10, SKIN_POINTS, 2))
    weight = np.ones_like(off[..., 0])
    ridge = np.diag([1e-6, *([0.5] * 9)])
    for _ in range(_ROUNDS):
        for point in range(SKIN_POINTS):
            w = terms * weight[:, point, None]
            bias[:, point] = np.linalg.solve(w.T @ terms + ridge, w.T @ off[:, point])
        left = off - np.einsum("mk,knd->mnd", terms, bias)
        away = np.linalg.norm(left, axis=2)
        weight = 1 / (1 + np.square(away / FAR_MM))
    deviation = np.empty((len(SINES), SKIN_POINTS, 2))
    apart = np.diff(SINES).mean()
    for k, sine in enumerate(SINES):
        near = np.exp(-0.5 * np.square((towards[:, 0] - sine) / (0.6 * apart)))
        capped = np.minimum(np.square(left), np.square(12.0))
        deviation[k] = np.sqrt(np.tensordot(near, capped, axes=1) / near.sum()).clip(0.3)
    return LandmarkPlaces(
        topology_id(template.mesh), triangles, barycentric, points,
        template.landmark_points(template.mesh.vertices_mm), bias, deviation,
    )  # fmt: skip
