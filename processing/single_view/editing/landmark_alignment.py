"""A fitted mesh brought onto what its photograph shows: moved in the picture's plane by what landmarks are off."""

import numpy as np
from scipy import sparse

from common.array_types import Bools, Floats
from processing.face_models.face_model import FaceModel
from processing.geometry.sparse_cholesky import Factor, graph_laplacian
from processing.single_view.fitting.photo_landmarks import LandmarkTable, table_68
from processing.single_view.editing.face_view import pixels_of
from processing.geometry.cameras import Camera

STIFFNESS = 8.0  # of the surface's bending, by the mesh's edges: how far a landmark's move spreads
STAY = 2e-4  # by which what no landmark holds stays where it is
MOST_SHARE = 0.08  # of the eyes' distance: a landmark that is off by more was not seen, and is left out


def aligned_in_picture(
    model: FaceModel, vertices_mm: Floats, camera: Camera, landmarks_px: Floats, *, table: LandmarkTable | None = None
) -> Floats:
    """(V, 3) the face in the camera's frame, moved across the line of sight so that its landmarks are seen where the
    detector saw them; smooth between, and apart where the mesh is apart (the lips).

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
    bending = laplacian.T @ laplacian
    held = sparse.diags_array(weight)
    system = STIFFNESS * bending + where.T @ held @ where + STAY * sparse.eye_array(count)
    move_px = Factor(sparse.csr_array(system)).solve(where.T @ (weight[:, None] * off))
    scale = places[:, 2:] / [camera.K[0, 0], camera.K[1, 1]]
    return np.asarray(places + np.c_[move_px * scale, np.zeros(count)])


def _residuals(
    model: FaceModel, places: Floats, camera: Camera, landmarks_px: Floats, table: LandmarkTable
) -> tuple[Floats, Floats, Floats, Floats]:
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
    return rows, shares, off, np.where(sliding, 0.3, 1.0) * trusted
