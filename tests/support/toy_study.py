"""A folder of few small people, in the layout of `mien process`."""

import json
from pathlib import Path

import cv2
import numpy as np

from processing.files.displacement_map import DisplacementMap
from processing.files.displacement_png import write_displacement_png
from processing.files.mesh_files import read_mesh
from processing.files.obj import write_obj
from processing.geometry.mesh import Mesh
from processing.release.formats.manifest import ManifestHead, make_manifest, write_manifest
from processing.release.formats.released_files import CONVENTIONS, FACTS, MESH, MOSAICKED_LIST, PUBLISHABLE_LIST
from processing.release.formats.tombstones import Tombstone

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


def write_toy_release(
    folder: Path,
    subjects: int = 4,
    *,
    version: int = 1,
    publishable: tuple[int, ...] = (1, 2, 3, 4),
    mosaicked: tuple[int, ...] = (),
    tombstones: tuple[Tombstone, ...] = (),
) -> Path:
    """The same as a release 'faces': every mesh is moved away, and its metadata says how it comes back."""
    write_toy_study(folder, subjects)
    for home in sorted(folder.iterdir()):
        index = int(home.name[1:])
        home.rename(folder / str(index))
        for label in LABELS:
            motion = {"scale": 1.0, "R": np.eye(3)[[1, 2, 0]].tolist(), "t_mm": [10.0 * index, 0.0, 5.0]}
            facts = folder / FACTS.at(index, label)
            facts.parent.mkdir(parents=True, exist_ok=True)
            facts.write_text(json.dumps({"frames": {"tu_to_template": motion}}))
            path = folder / MESH.at(index, label)
            mesh = read_mesh(path)
            moved = (mesh.vertices_mm - motion["t_mm"]) @ np.array(motion["R"])  # the inverse of R x + t
            write_obj(path, mesh.with_vertices(moved))
    (folder / PUBLISHABLE_LIST.path).write_text("".join(f"{index}\n" for index in publishable))
    (folder / MOSAICKED_LIST.path).write_text("".join(f"{index}\n" for index in mosaicked))
    (folder / CONVENTIONS.path).write_text(json.dumps({"synthetic": True}))
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    codes = tuple(f"S{number:03d}" for number in range(1, subjects + 1))
    head = ManifestHead("faces", version, "2026-03-01", codes, tombstones)
    write_manifest(folder, make_manifest(folder, files, head))
    return folder
