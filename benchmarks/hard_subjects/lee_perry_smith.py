"""A real person with a shaved scalp: Infinite-Realities' head scan of Lee Perry-Smith (Creative Commons BY 3.0).

LeePerrySmith.glb and Map-COL.jpg, as three.js's examples have them, are looked for in ../shared/data/lee_perry_smith;
benchmarks/fetch_lee_perry_smith.py brings them there. The texture has 1024 texels for the whole bust, 0.6 mm each:
forehead, temples and scalp show next to nothing.
"""

from functools import cache

import cv2
import numpy as np
import trimesh

from common.array_types import Floats32
from hard_subjects.data import DATA
from hard_subjects.photography import Sitter
from hard_subjects.textured_scans import linear, smoothed, texture_colour, weaker
from processing.geometry.mesh import Mesh

FOLDER = DATA / "lee_perry_smith"
#: Its files, and their hashes.
SHA256 = {
    "LeePerrySmith.glb": "402b8a8ac9f03232e6d64b5962929703a069daf99d3c49ac8eb0e48bedc9c576",
    "LeePerrySmith_License.txt": "7cf4da43a6ae6d32f7f7d063fe129a19468af6f4fe7c53b937f83959709fcb50",
    "Map-COL.jpg": "e976d73b31407f8d0967412bf468019ed26a5d5a32cf5811aabff7e816458a65",
}
#: The file's unit, so that the outer corners of the eyes are 90 mm apart; where their middle is in it; where it goes.
UNIT_MM, EYES, EYES_MM = 51.0, (-0.106, 1.638, 1.715), (0.0, 28.0, 82.0)
TEXELS_PER_MM = 1.7
LOCAL_MEAN_MM = 4.0


def missing() -> str:
    """What is not there; empty if all is."""
    there = all((FOLDER / name).is_file() for name in SHA256)
    return "" if there else f"not all of {FOLDER} is there; python benchmarks/fetch_lee_perry_smith.py brings it"


@cache
def _scan() -> tuple[Mesh, Floats32]:
    """The bust in the rig's frame, Loop-subdivided; its texture, linear RGB."""
    file = trimesh.load(FOLDER / "LeePerrySmith.glb").geometry["LeePerrySmith"]
    points = (np.asarray(file.vertices) - EYES) * UNIT_MM + EYES_MM
    _, first, where = np.unique(points.round(3), axis=0, return_index=True, return_inverse=True)
    corners = np.asarray(file.faces, np.int32)
    triangles = where.reshape(-1)[corners].astype(np.int32)
    whole = (triangles != np.roll(triangles, 1, axis=1)).all(axis=1)
    # trimesh turns glTF's v around; this file was written with it turned around already
    uvs = np.asarray(file.visual.uv) * [1, -1] + [0, 1]
    mesh = Mesh(points[first], triangles[whole], uvs, corners[whole])
    return smoothed(mesh, 2), linear(cv2.imread(str(FOLDER / "Map-COL.jpg")))


def lee_perry_smith(contrast: float = 1.0) -> Sitter:
    """contrast: of the texture about its local mean (4 mm), 1 as it was published."""
    mesh, texture = _scan()
    texture = weaker(texture, contrast, LOCAL_MEAN_MM * TEXELS_PER_MM)
    return Sitter(mesh, texture_colour(mesh, texture), np.ones(len(mesh.triangles), bool))
