"""A fitted mesh brought onto what its photograph shows: moved in the picture's plane by what landmarks are off."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from common.array_types import Bools, Floats, Ints32
from processing.face_models.face_model import FaceModel
from processing.geometry.cameras import Camera
from processing.geometry.sparse_cholesky import Factor, graph_laplacian
from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68
from processing.single_view.editing.face_view import pixels_of
from processing.single_view.fitting.photo_landmarks import LandmarkTable, table_68

STIFFNESS_MM2 = 35.0  # of the surface's bending: how far a landmark's move spreads
SLIT_MM = 0.4  # of an opening, that closed ones have
STAY = 2e-4  # by which what no landmark holds stays where it is
MOST_SHARE = 0.08  # of the eyes' distance: a landmark that is off by more was not seen, and is left out


#: Landmarks across an opening from each other: inner lips, outer lips, lids.
ACROSS = np.array([
    (61, 67), (62, 66), (63, 65), (50, 58), (51, 57), (52, 56), (37, 41), (38, 40), (43, 47), (44, 46),
])  # fmt: skip


@dataclass(frozen=True, eq=False)
class PictureAlignment:
    """What a face in the camera's frame moves across the line of sight to lie where its photograph shows it."""

    together_mm: Floats  # (V, 3) with lips and lids moved as pairs
    apart_mm: Floats  # (V, 3) what they move apart beside that
    opening_mm: Floats  # (2,) of mouth and eyes as the fit has them
    eyes: Bools  # (V,) whose opening counts; the mouth's elsewhere

    @property
    def move_mm(self) -> Floats:
        """(V, 3) of the face that was fitted."""
        return self.together_mm + self.apart_mm

    def move_of(self, landmarks_mm: Floats) -> Floats:
        """(V, 3) of the same face with another expression, whose landmarks (68, 3) are these, in any frame: by what a
        fit has lips too near, they are no longer moved as they close.
        """
        share = ((_openings(landmarks_mm) + SLIT_MM) / (self.opening_mm + SLIT_MM)).clip(0, 1)
        return np.asarray(self.together_mm + np.where(self.eyes, share[1], share[0])[:, None] * self.apart_mm)


def picture_alignment(
    model: FaceModel, vertices_mm: Floats, camera: Camera, landmarks_px: Floats, *, table: LandmarkTable | None = None
) -> PictureAlignment:
    """How a fitted face moves so that its landmarks are seen where the detector saw them: smooth between them, and
    apart where the mesh is apart (the lips).

    vertices_mm: (V, 3) model's frame; landmarks_px: (478, 2). A photograph's lips and lids lie a few pixels from a
    fit's; what is cut out along the fit's would take some of the wrong side with it.
    """
    table = table or table_68(model)
    places = camera.to_camera(vertices_mm)
    rows, shares, off, weight = _residuals(model, places, camera, landmarks_px, table)
    count = len(places)
    where = sparse.csr_array(
        (shares.ravel(), (np.repeat(np.arange(len(rows)), 3), rows.ravel())), shape=(len(rows), count)
    )
    laplacian = graph_laplacian(model.topology.mesh.edges, count)
    held = sparse.diags_array(weight)
    edges = np.diff(vertices_mm[model.topology.mesh.edges], axis=1)
    stiff = STIFFNESS_MM2 / float(np.square(edges).sum(axis=2).mean())  # of bending, whatever the mesh is made of
    system = stiff * (laplacian.T @ laplacian) + where.T @ held @ where + STAY * sparse.eye_array(count)
    paired = off.copy()
    place = {int(number): k for k, number in enumerate(table.numbers)}
    for upper, lower in MEDIAPIPE_TO_68[ACROSS]:
        if int(upper) in place and int(lower) in place:
            both = [place[int(upper)], place[int(lower)]]
            paired[both] = off[both].mean(axis=0)
    sides = np.concatenate([paired, off], axis=1)
    solved = Factor(sparse.csr_array(system)).solve(where.T @ (weight[:, None] * sides))
    scale = places[:, 2:] / [camera.K[0, 0], camera.K[1, 1]]
    together, whole = (np.c_[part * scale, np.zeros(count)] for part in (solved[:, :2], solved[:, 2:]))
    landmarks = model.topology.landmark_points(vertices_mm)
    mesh = model.topology.mesh.vertices_mm
    own = model.topology.landmark_points(mesh)
    eyes = mesh[:, 1] > (own[30, 1] + own[27, 1]) / 2
    return PictureAlignment(together, whole - together, _openings(landmarks), eyes)


def _openings(landmarks_mm: Floats) -> Floats:
    """(2,) mm between the inner lips, and between the lids, on average."""
    gap = np.linalg.norm(landmarks_mm[ACROSS[:, 0]] - landmarks_mm[ACROSS[:, 1]], axis=1)
    return np.array([gap[:3].mean(), gap[6:].mean()])


def _residuals(
    model: FaceModel, places: Floats, camera: Camera, landmarks_px: Floats, table: LandmarkTable
) -> tuple[Ints32, Floats, Floats, Floats]:
    """Rows and shares (N, 3) of the landmarks on the mesh, (N, 2) px that they are off, (N,) weights."""
    rows = model.topology.mesh.triangles[table.triangles].copy()
    shares = table.barycentric.copy()
    pixels = pixels_of(places, camera.K)
    middle = pixels[rows].mean(axis=(0, 1))
    sliding: Bools = np.array([len(line) > 0 for line in table.outline])
    for number in np.flatnonzero(sliding).tolist():
        line = table.outline[number]
        own = pixels[rows[number]].mean(axis=0) - middle
        rows[number], shares[number] = line[((pixels[line] - middle) @ own).argmax()], [1.0, 0, 0]
    seen = np.einsum("nk,nkd->nd", shares, pixels[rows])
    off = landmarks_px[table.numbers] - seen
    out = seen - middle
    out /= np.linalg.norm(out, axis=1, keepdims=True).clip(1e-9)
    across = (off * out).sum(axis=1, keepdims=True) * out
    off = np.where(sliding[:, None], across, off)
    landmarks = model.topology.landmark_points(places)
    eyes = float(np.linalg.norm(landmarks[36] - landmarks[45]) * camera.K[0, 0] / landmarks[:, 2].mean())
    trusted = np.linalg.norm(off, axis=1) < np.where(sliding, 1.5, 1.0) * MOST_SHARE * eyes
    return rows, shares, np.asarray(off), np.asarray(np.where(sliding, 0.3, 1.0) * trusted)
