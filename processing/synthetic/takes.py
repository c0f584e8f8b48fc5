"""Synthetic takes: the photographs that the studio's cameras would have delivered, and the truth behind them."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.files.atomic_write import atomic_write
from common.progress import Progress, no_progress
from processing.files.camera_models import params_from_cameras
from processing.files.image_files import write_image
from processing.geometry.cameras import Camera
from processing.geometry.photograph_rendering import Sensor
from processing.synthetic.subject import PosedHead
from processing.template.builtin_template import BUILTIN_VERSION, template_topology
from processing.template.expression_recipes import EXPRESSION_RECIPES

JPEG_QUALITY = 95


def write_take(
    folder: Path,
    posed: PosedHead,
    cameras: Sequence[Camera],
    *,
    sensors: Sequence[Sensor] | None = None,
    serials: Sequence[str] | None = None,
    truth: bool = True,
    workers: int = 2,
    progress: Progress = no_progress,
) -> Path:
    """Photograph a head with every camera into `folder` (`<k>_<name>`): 0.jpg .. N.jpg and params.json.

    sensors: one a camera (exposure, noise), all alike if None.  truth: also write `<folder>.truth.npz` beside it.
    The noise depends on the subject's seed, the expression and the view alone. Returns the folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    number = list(EXPRESSION_RECIPES).index(posed.expression)
    posed.scene  # noqa: B018  (made before the threads need it)

    def write_photograph(view: int) -> None:
        rng = np.random.default_rng([posed.subject.seed, number, view])
        sensor = sensors[view] if sensors else None
        image = posed.scene.photograph(cameras[view], sensor=sensor, rng=rng)
        write_image(folder / f"{view}.jpg", image, jpeg_quality=JPEG_QUALITY)

    with ThreadPoolExecutor(workers) as pool:
        for count, _ in enumerate(pool.map(write_photograph, range(len(cameras))), 1):
            progress(count / len(cameras), f"{posed.expression}: photograph {count} of {len(cameras)}")
    with atomic_write(folder / "params.json") as temporary:
        serials = serials or [f"SIM{i:04d}" for i in range(len(cameras))]
        temporary.write_text(json.dumps(params_from_cameras(cameras, serials)), encoding="utf-8")
    if truth:
        write_truth(folder.parent / f"{folder.name}.truth.npz", posed, list(cameras))
    return folder


def write_truth(path: Path, posed: PosedHead, cameras: list[Camera]) -> None:
    """vertices, triangles: the measured skin (mm). base_vertices, base_triangles, base_material: the same head in the
    default template's topology, the same order in every expression. landmarks68: base vertex of each landmark;
    landmarks68_mm: (68, 3). template_version: of the built-in template."""
    topology = template_topology()
    vertices, triangles = posed.measured(cameras)
    apart = np.linalg.norm(posed.landmarks_mm[:, None] - posed.tu_vertices_mm[None], axis=2)
    arrays: dict[str, NDArray[np.generic]] = {
        "vertices": vertices.astype(np.float32),
        "triangles": triangles,
        "base_vertices": posed.tu_vertices_mm.astype(np.float32),
        "base_triangles": topology.refinement.triangles,
        "base_material": topology.parts,
        "landmarks68": apart.argmin(1).astype(np.int32),
        "landmarks68_mm": posed.landmarks_mm.astype(np.float32),
        "template_version": np.array(BUILTIN_VERSION),
    }
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
