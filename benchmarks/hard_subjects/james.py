"""A real person's skin: menpo's face scan with its photographs as texture, its contrast as it is or weaker.

The scan (research use; not part of the project) is looked for in ../shared/data/james. Nothing is added to its texture:
where the two photographs show little, the pictures of it show little. The scan has no back; a dark cap stands for it.
"""

import json
from dataclasses import replace
from functools import cache

import cv2
import numpy as np

from common.array_types import Bools, Floats, Floats32
from hard_subjects.data import DATA
from hard_subjects.photography import Sitter
from hard_subjects.textured_scans import linear, smoothed, texels, texture_colour, weaker
from processing.files.obj import read_obj
from processing.geometry.mesh import Mesh, Surface, largest_component

FOLDER = DATA / "james"
#: Landmarks of menpo's file in the order of Multi-PIE's 68, without the jaw: brows, nose, eyes, mouth.
LANDMARKS = [*range(29, 34), *range(43, 48), *range(34, 43), *range(17, 29), *range(48, 68)]
#: Middle of the outer corners of the eyes, mm, in the frame of the studio's rig.
EYES_MM = (0.0, 28.0, 82.0)
#: Outlines of skin in the texture, and what of it is none (eyes), px of the texture at half its size.
SKIN = (
    [(380, 183), (330, 178), (285, 177), (240, 184), (216, 200), (206, 240), (192, 290), (168, 330), (152, 368),
     (142, 420), (130, 455), (132, 530), (128, 560), (112, 600), (140, 660), (180, 740), (400, 740)],
    [(62, 362), (85, 362), (112, 385), (120, 440), (110, 455), (85, 440)],
    [(770, 178), (840, 180), (900, 180), (950, 188), (968, 215), (985, 260), (1000, 300), (1014, 330), (1020, 400),
     (1025, 450), (1025, 560), (1010, 620), (980, 700), (950, 740), (770, 740)],
    [(1035, 380), (1060, 370), (1088, 370), (1085, 420), (1060, 455), (1037, 455)],
)  # fmt: skip
EYES = (
    [(260, 367), (275, 356), (300, 355), (320, 366), (305, 377), (275, 377)],
    [(862, 367), (880, 354), (905, 354), (934, 364), (915, 378), (880, 378)],
    [(735, 350), (775, 350), (775, 385), (735, 385)],
)
LOCAL_MEAN_MM = 4.0
TEXELS_PER_MM = 4.0


def missing() -> str:
    """What is not there; empty if all is."""
    there = all((FOLDER / f"james.{kind}").is_file() for kind in ("obj", "jpg", "ljson"))
    return "" if there else f"menpo's james.obj, james.jpg and james.ljson are not in {FOLDER}"


@cache
def _scan() -> tuple[Mesh, Floats32, Bools]:
    """The scan in the rig's frame, Loop-subdivided; its texture, linear RGB; which triangles are skin."""
    coarse = read_obj(FOLDER / "james.obj")
    mesh = smoothed(largest_component(replace(coarse, vertices_mm=_upright(coarse.vertices_mm))), 2)
    assert mesh.uvs is not None  # the file has them
    assert mesh.uv_triangles is not None
    texture = linear(cv2.imread(str(FOLDER / "james.jpg")))
    mask = np.zeros((texture.shape[0] // 2, texture.shape[1] // 2), np.uint8)
    cv2.fillPoly(mask, [np.array(outline, np.int32) for outline in SKIN], 1)
    cv2.fillPoly(mask, [np.array(outline, np.int32) for outline in EYES], 0)
    middle = texels(mesh.uvs[mesh.uv_triangles].mean(axis=1), texture) / 2
    row, column = middle[:, 1].astype(int), middle[:, 0].astype(int)
    return mesh, texture, mask[row, column] > 0


def _upright(vertices_mm: Floats) -> Floats:
    """The scan turned so that its face looks along z, the eyes level, by its own landmarks."""
    record = json.loads((FOLDER / "james.ljson").read_text())
    points = np.array(record["groups"]["LJSON"]["landmarks"]["points"])[LANDMARKS]
    right, left = points[19], points[28]
    x = left - right
    down = points[31:51].mean(axis=0) - (left + right) / 2
    z = np.cross(x, -down)
    tilt = np.radians(8.0)  # the mouth stands a little before the eyes' corners
    x, z = x / np.linalg.norm(x), z / np.linalg.norm(z)
    y = np.cross(z, x)
    y, z = np.cos(tilt) * y + np.sin(tilt) * z, np.cos(tilt) * z - np.sin(tilt) * y
    return (vertices_mm - (left + right) / 2) @ np.stack([x, y, z], axis=1) + EYES_MM


def _cap(mesh: Mesh) -> Mesh:
    """A closed head just within the scan where there is one, an ellipsoid elsewhere."""
    centre, radii = np.array([0.0, 20.0, -5.0]), np.array([72.0, 95.0, 88.0])
    turn, rise = np.meshgrid(np.linspace(-np.pi, np.pi, 181)[:-1], np.linspace(-np.pi / 2, np.pi / 2, 91))
    way = np.stack([np.cos(rise) * np.sin(turn), np.sin(rise), np.cos(rise) * np.cos(turn)], -1).reshape(-1, 3)
    distance = Surface(mesh).cast(np.broadcast_to(centre, way.shape), way)[0]
    reach = np.minimum(1 / np.linalg.norm(way / radii, axis=1), distance - 8.0)
    rows, columns = turn.shape
    i = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = i[:-1], np.roll(i, -1, 1)[:-1], np.roll(i, -1, 1)[1:], i[1:]
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    return Mesh(centre + way * reach[:, None], triangles.astype(np.int32))


def james(contrast: float = 1.0) -> Sitter:
    """contrast: of the texture about its local mean (4 mm), 1 as it was photographed."""
    mesh, texture, skin = _scan()
    gain = 0.33 / float(np.median(texture[480:700, 500:640]))
    texture = weaker(texture, contrast, LOCAL_MEAN_MM * TEXELS_PER_MM) * np.float32(gain)
    cap = _cap(mesh)
    count = len(mesh.vertices_mm)
    whole = Mesh(
        np.concatenate([mesh.vertices_mm, cap.vertices_mm]), np.concatenate([mesh.triangles, cap.triangles + count])
    )

    return Sitter(whole, texture_colour(mesh, texture), np.concatenate([skin, np.zeros(len(cap.triangles), bool)]))
