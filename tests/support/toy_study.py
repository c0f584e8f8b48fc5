"""A folder of few small people, in the layout of `mien process`."""

from pathlib import Path

import cv2
import numpy as np

from processing.files.displacement_map import DisplacementMap
from processing.files.displacement_png import write_displacement_png
from processing.files.obj import write_obj
from processing.geometry.mesh import Mesh

LABELS = ("1_neutral", "2_smile", "3_mouth_stretch")
SIZE = 32


def toy_mesh(seed: int = 0, side: int = 6) -> Mesh:
    """A bumpy sheet with UVs, of one topology whatever the seed."""
    u, v = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
    rng = np.random.default_rng(seed)
    z = 20 * np.sin(3 * u + rng.uniform(0, 1)) * np.cos(2 * v) + rng.normal(0, 0.2, u.shape)
    vertices = np.stack([150 * (u - 0.5), 200 * (v - 0.5), z], axis=2).reshape(-1, 3)
    at = np.arange(side * side).reshape(side, side)
    a, b, c, d = at[:-1, :-1].ravel(), at[:-1, 1:].ravel(), at[1:, 1:].ravel(), at[1:, :-1].ravel()
    triangles = np.concatenate([np.c_[a, b, c], np.c_[a, c, d]]).astype(np.int32)
    return Mesh(vertices, triangles, np.stack([u.ravel(), v.ravel()], axis=1), triangles)


def write_toy_study(folder: Path, subjects: int = 4, *, first: int = 1) -> Path:
    """FOLDER/S001 and on: meshes, textures, displacement maps; an expression lifts the middle."""
    for number in range(first, first + subjects):
        home = folder / f"S{number:03d}"
        (home / "models_reg").mkdir(parents=True)
        (home / "dpmap").mkdir()
        mesh = toy_mesh(number)
        rng = np.random.default_rng(number)
        for k, label in enumerate(LABELS):
            moved = mesh.vertices_mm.copy()
            moved[:, 2] += k * np.exp(-np.square(moved[:, :2] / 30).sum(axis=1))
            write_obj(home / "models_reg" / f"{label}.obj", mesh.with_vertices(moved))
            colours = rng.integers(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
            cv2.imwrite(str(home / "models_reg" / f"{label}.jpg"), cv2.GaussianBlur(colours, (5, 5), 2))
            height = cv2.GaussianBlur(rng.normal(0, 0.2, (SIZE, SIZE)).astype(np.float32), (5, 5), 1)
            valid = np.ones((SIZE, SIZE), np.bool_)
            valid[:4] = False
            write_displacement_png(home / "dpmap" / f"{label}.png", DisplacementMap(np.asarray(height), valid))
    return folder
