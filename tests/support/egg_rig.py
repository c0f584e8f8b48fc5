"""A rig of the egg that `records_home` has for a head, and maps of its expressions, as the farm leaves them."""

from pathlib import Path
from typing import Any

import numpy as np

from db.stage_runs.artefacts import OutputFile
from db.store import Store
from processing.face_models.blendshapes.rig import Rig, write_rig
from processing.files.displacement_map import DisplacementMap
from processing.files.displacement_png import write_displacement_png
from processing.geometry.mesh import Mesh
from processing.geometry.topology import topology_id

UNITS = ("jawOpen", "mouthSmileLeft", "browInnerUp")
LABELS = ("1_neutral", "2_smile", "3_mouth_stretch")
WEIGHTS = np.array([[0, 0, 0], [0.13, 0.87, 0], [0.91, 0, 0.35]])


def egg_rig(template: Path) -> Rig:
    """Units that move parts of the template (.npz)."""
    with np.load(template) as arrays:
        neutral, triangles = arrays["vertices_mm"], arrays["triangles"]
    shapes = []
    for middle, offset in (((0, -70, 70), (0, -25, 0)), ((40, -30, 75), (12, 10, 0)), ((0, 80, 60), (0, 9, 6))):
        near = np.clip(1 - np.linalg.norm(neutral - middle, axis=1) / 70, 0, 1) ** 2
        shapes.append(neutral + near[:, None] * np.array(offset, np.float32))
    topology = topology_id(Mesh(neutral.astype(np.float64), triangles))
    return Rig(UNITS, neutral, np.stack(shapes).astype(np.float32), topology, LABELS, WEIGHTS)


def rig_file(store: Store, folder: Path) -> tuple[OutputFile, Rig]:
    """In the store."""
    rig = egg_rig(Path(store.root).parent / "made" / "template.npz")
    write_rig(folder / "rig.npz", rig)
    size = (folder / "rig.npz").stat().st_size
    return OutputFile("rig", store.put_file(folder / "rig.npz"), size, "application/x-npz"), rig


def map_files(store: Store, folder: Path) -> dict[str, OutputFile]:
    """Of each expression: the neutral is smooth, the others have ripples each of its own."""
    found: dict[str, Any] = {}
    v, u = np.mgrid[0:256, 0:256]
    for k, label in enumerate(LABELS):
        height = (0.8 * np.sin(0.35 * (u if k == 1 else v)) if k else np.zeros(u.shape)).astype(np.float32)
        path = folder / f"{label}.png"
        write_displacement_png(path, DisplacementMap(height, np.ones(height.shape, np.bool_)))
        found[label] = OutputFile("displacement", store.put_file(path), path.stat().st_size, "image/png")
    return found
