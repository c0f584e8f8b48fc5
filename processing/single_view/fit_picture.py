"""Picture of a fit to a photograph: the photograph, half of the face laid over it, landmarks, and three views."""

import cv2
import numpy as np

from common.array_types import Bools, Floats, Image
from processing.face_models.face_model import FaceModel
from processing.geometry import rendering
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh, Surface, submesh
from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68
from processing.scan_quality.verdict_heading import PAPER_BGR, verdict_heading
from processing.single_view.photograph import PhotoFit, Photograph
from processing.template.template import MOUTH_INTERIOR, SKIN

_HEIGHT_PX, _TURNED_PX = 480, 240
_YAWS_DEG = (-60.0, 0.0, 60.0)
_ROOM = 1.7  # the part of the photograph that is shown, by the face's size
_DETECTED, _FITTED = (60, 200, 60), (40, 40, 230)


def fit_picture(model: FaceModel, photograph: Photograph, fit: PhotoFit) -> Image:
    """(h, w, 3) BGR: the face in the photograph, half under the mesh, with landmarks, the mesh from three sides."""
    mesh = Mesh(fit.vertices_mm, model.topology.mesh.triangles)
    crop, matrix = _cropped(photograph, fit)
    camera = fit.camera.camera
    K = np.vstack([matrix, [0, 0, 1]]) @ camera.K
    small = Camera(K, camera.R, camera.t, crop.shape[1], crop.shape[0])
    front = model.topology.frontal & (model.topology.parts != MOUTH_INTERIOR)
    face, _ = submesh(mesh, front[mesh.triangles].all(axis=1))
    drawn = rendering.render(Surface(face), small, supersample=1)
    over: Bools = (drawn != np.array(rendering.BACKGROUND)).any(axis=2)
    middle = small.project(model.topology.landmark_points(fit.vertices_mm)[[27, 30, 33, 8]])
    across = np.arange(crop.shape[1])[None] - np.interp(np.arange(crop.shape[0]), *_rising(middle))[:, None]
    half = np.where((over & (across > 0))[..., None], drawn, crop)
    marked = crop.copy()
    outline = cv2.morphologyEx(over.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0
    marked[outline] = (230, 160, 60)
    detected = fit.landmarks_px[MEDIAPIPE_TO_68] @ matrix[:, :2].T + matrix[:, 2]
    for points, colour in (
        (detected, _DETECTED),
        (small.project(model.topology.landmark_points(fit.vertices_mm)), _FITTED),
    ):
        for x, y in points[np.isfinite(points).all(axis=1)]:
            cv2.circle(marked, (round(x * 8), round(y * 8)), 14, colour, -1, cv2.LINE_AA, 3)
    skin, _ = submesh(mesh, (model.topology.parts == SKIN)[mesh.triangles].all(axis=1))
    box, whole = rendering.bounds(skin), Surface(mesh)
    views = [rendering.portrait_camera(box, yaw_deg=yaw, height_px=_TURNED_PX) for yaw in _YAWS_DEG]
    turned = [cv2.resize(rendering.render(whole, view, supersample=1), None, fx=2, fy=2) for view in views]
    row = rendering.beside([crop, half, marked, *turned])
    figures = fit.figures
    words = (
        f"{photograph.name}: landmarks {figures['landmark_percent']:.1f} %, focal {figures['focal_px']:.0f} px, yaw "
        f"{figures['yaw_deg']:.0f}, pitch {figures['pitch_deg']:.0f}, {figures['identity_rms']:.1f} deviations"
    )
    heading = verdict_heading(fit.review, row.shape[1], most_reasons=2, row_px=22, margin_px=34)
    caption = np.full((26, row.shape[1], 3), PAPER_BGR, np.uint8)
    rendering.text(caption, words, (10, 17))
    return np.concatenate([heading, caption, row], axis=0)


def _rising(points: Floats) -> tuple[Floats, Floats]:
    order = np.argsort(points[:, 1])
    return points[order, 1], points[order, 0]


def _cropped(photograph: Photograph, fit: PhotoFit) -> tuple[Image, Floats]:
    """The face's part of a photograph, _HEIGHT_PX high, and the (2, 3) matrix from its pixels there."""
    low, high = fit.landmarks_px.min(axis=0), fit.landmarks_px.max(axis=0)
    side = float((high - low).max()) * _ROOM
    centre = (low + high) / 2 - [0, 0.06 * side]
    scale = _HEIGHT_PX / side
    matrix = np.array([[scale, 0, 0], [0, scale, 0.0]])
    matrix[:, 2] = (_HEIGHT_PX - 1) / 2 - scale * centre
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    crop = cv2.warpAffine(photograph.image, matrix, (_HEIGHT_PX, _HEIGHT_PX), flags=how, borderValue=(250, 248, 246))
    return np.asarray(crop, dtype=np.uint8), matrix
