"""Takes of hard sitters: photographs, params.json, and the skin that three cameras or more see as truth."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from hard_subjects.photography import Bench, Sitter, Studio
from processing.files.camera_models import params_from_cameras
from processing.files.image_files import write_image
from processing.geometry.cameras import Camera
from processing.geometry.mesh import submesh
from processing.synthetic.subject import visible

MEASURED_BEHIND_MM, MEASURED_BELOW_MM = -30.0, -115.0


def write_hard_take(
    folder: Path, sitter: Sitter, cameras: Sequence[Camera], seed: int, bench: Bench = Bench(), workers: int = 1
) -> Path:
    """0.jpg .. N.jpg and params.json in `folder`, truth.npz (vertices, triangles: mm) in `folder`; it is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    studio = Studio(sitter, bench)

    def write(view: int) -> None:
        image = studio.photograph(cameras[view], np.random.default_rng([seed, view]))
        write_image(folder / f"{view}.jpg", image, jpeg_quality=bench.jpeg_quality)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(write, range(len(cameras))))
    serials = [f"SIM{i:04d}" for i in range(len(cameras))]
    (folder / "params.json").write_text(json.dumps(params_from_cameras(cameras, serials)))
    write_truth(folder / "truth.npz", sitter, list(cameras))
    return folder


def write_truth(path: Path, sitter: Sitter, cameras: list[Camera], least: int = 3) -> None:
    mesh = sitter.mesh
    low = mesh.vertices_mm.copy()
    seen = visible(mesh, cameras) >= least
    seen &= (low[:, 2] > MEASURED_BEHIND_MM) & (low[:, 1] > MEASURED_BELOW_MM)
    skin = submesh(mesh, sitter.skin & seen[mesh.triangles].all(axis=1))[0]
    np.savez_compressed(path, vertices=skin.vertices_mm.astype(np.float32), triangles=skin.triangles)
