"""Picture of a face model, for a person to check it by eye: its mean, its first modes, each of its units."""

import cv2
import numpy as np

from common.array_types import Floats, Image
from common.progress import Progress, no_progress
from processing.face_models.face_model import FaceModel
from processing.geometry import rendering
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh
from processing.template.template import EYE, MOUTH_INTERIOR

MODES = 8
DEVIATIONS = (-3.0, -2.0, 2.0, 3.0)
_COLUMNS = 9
_HEADING_PX = 26
_TITLE_PX = 16


def draw_model(model: FaceModel, *, height_px: int = 180, progress: Progress = no_progress) -> Image:
    """(h, w, 3) BGR: the mean from three sides; the first modes at 2 and 3 deviations; each unit on the mean.

    height_px: of one face.
    """
    still = np.zeros(len(model.units))
    mean = model.face(model.identity_mean, still)
    modes = _modes(model)
    count = 3 + len(modes) * len(DEVIATIONS) + len(model.units)
    box = _box(mean[model.topology.frontal])
    front = rendering.portrait_camera(box, yaw_deg=12.0, height_px=height_px)
    done = 0

    def tile(vertices: Floats, camera: Camera, title: str) -> Image:
        nonlocal done
        done += 1
        progress(done / count, f"drawing {title}")
        return _titled(_picture(model, vertices, camera), title)

    whole = _box(mean)
    cameras = [rendering.portrait_camera(whole, yaw_deg=yaw, height_px=height_px) for yaw in (0.0, 45.0, 90.0)]
    tiles = [tile(mean, camera, name) for camera, name in zip(cameras, ("mean", "from the left", "left"), strict=True)]
    rows = [_heading(f"{model.name} {model.version}: {model.card.members} members"), _grid(tiles)]
    tiles = []
    for mode in modes:
        for deviations in DEVIATIONS:
            scores = model.identity_mean.copy()
            scores[mode] += deviations * model.identity_deviation[mode]
            tiles.append(tile(model.face(scores, still), front, f"mode {mode + 1}: {deviations:+.0f} sd"))
    rows += [_heading("the modes that move the face most"), _grid(tiles, 2 * len(DEVIATIONS))]
    tiles = []
    for number, name in enumerate(model.units):
        weights = still.copy()
        weights[number] = 1.0
        tiles.append(tile(model.face(model.identity_mean, weights), front, name))
    rows += [_heading("units at weight 1, on the mean"), _grid(tiles)]
    width = max(row.shape[1] for row in rows)
    return np.vstack([_wide(row, width) for row in rows])


def _modes(model: FaceModel) -> list[int]:
    """The identity parameters that move the face most, in the model's order."""
    neutral = model.bilinear.neutral_core_mm[model.topology.face]
    reach = np.sqrt(np.square(neutral).mean(axis=(0, 1))) * model.identity_deviation
    return sorted(np.argsort(-reach)[:MODES].tolist())


def _box(vertices: Floats) -> Floats:
    """(2, 3): the head with room for what a mode makes of it."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    room = 0.06 * (high - low)
    return np.stack([low - room, high + room])


def _picture(model: FaceModel, vertices: Floats, camera: Camera) -> Image:
    colours = np.empty((len(vertices), 3), dtype=np.uint8)
    colours[:] = rendering.SKIN
    colours[model.topology.parts == EYE] = (235, 235, 235)
    colours[model.topology.parts == MOUTH_INTERIOR] = (70, 60, 120)
    mesh = Mesh(vertices, model.topology.mesh.triangles)
    return rendering.render(mesh, camera, vertex_colors=colours, supersample=1)


def _titled(image: Image, title: str) -> Image:
    out = np.full((image.shape[0] + _TITLE_PX, image.shape[1], 3), rendering.BACKGROUND, np.uint8)
    out[: image.shape[0]] = image
    scale = min(
        0.36, 0.36 * (image.shape[1] - 6) / max(cv2.getTextSize(title, cv2.FONT_HERSHEY_SIMPLEX, 0.36, 1)[0][0], 1)
    )
    rendering.text(out, title, (3, image.shape[0] + 11), scale)
    return out


def _heading(words: str) -> Image:
    out = np.full((_HEADING_PX, 10, 3), rendering.BACKGROUND, np.uint8)
    out = np.asarray(_wide(out, 10 + 9 * len(words)))
    rendering.text(out, words, (6, 18), 0.5)
    return out


def _grid(tiles: list[Image], columns: int = _COLUMNS) -> Image:
    width = max(tile.shape[1] for tile in tiles)
    tiles = [_wide(tile, width) for tile in tiles]
    rows = [np.hstack(tiles[k : k + columns]) for k in range(0, len(tiles), columns)]
    most = max(row.shape[1] for row in rows)
    return np.vstack([_wide(row, most) for row in rows])


def _wide(row: Image, width: int) -> Image:
    out = np.full((row.shape[0], width, 3), rendering.BACKGROUND, np.uint8)
    out[:, : row.shape[1]] = row
    return out
