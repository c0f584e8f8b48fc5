"""Real photographs with known cameras (Strecha et al. 2008, fountain-P11): our surface beside OpenMVS's.

    python benchmarks/bench_fountain.py --json [--data DIR] [--scale 0.5] [--openmvs BIN_DIR] [--keep DIR]
                                               [--picture PNG]

DIR holds 0000.jpg .. and 0000.jpg.camera ..; by default ../shared/data/fountain, and without that the script ends with
an empty object. Photographs are matched at --scale of their size by both (0.5 is OpenMVS's --resolution-level 1).
There is no truth here, only agreement: the distance of each point of OpenMVS's dense cloud to our surface, and of our
vertices to OpenMVS's mesh, as medians and as shares within 5, 10 and 20 mm. A pixel at full size spans about 3 mm of
the fountain. What --keep holds is not done again.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import open3d as o3d
from measured import spend
from openmvs import run_openmvs, write_scene

from processing.files.camera_models import params_from_cameras
from processing.files.ply import read_ply
from processing.files.take_folder import read_photos, read_take
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.rendering import beside, render

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared" / "data" / "fountain"
WITHIN_MM = (5, 10, 20)


def read_strecha(path: Path) -> Camera:
    """A .camera file: K, three zeros, the rotation camera to world, the centre in metres, width and height."""
    v = np.array(path.read_text().split(), dtype=np.float64)
    R = v[12:21].reshape(3, 3).T
    width, height = int(v[24]), int(v[25])
    return Camera(K=v[:9].reshape(3, 3), R=R, t=-R @ v[21:24] * 1000, width=width, height=height)


def as_take(data: Path, folder: Path) -> Path:
    """The photographs and cameras as a take."""
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(data.glob("*.camera"))
    for i, file in enumerate(files):
        photo = folder / f"{i}.jpg"
        if not photo.is_symlink():
            photo.symlink_to(file.with_suffix("").resolve())
    (folder / "params.json").write_text(json.dumps(params_from_cameras(read_strecha(file) for file in files)))
    return folder


def ours(take: Path, scratch: Path, scale: float) -> tuple[Mesh, dict[str, Any]]:
    scan, record = scratch / f"ours-{scale}.ply", scratch / f"ours-{scale}.json"
    if not (scan.is_file() and record.is_file()):
        told = scratch / "ours.log"
        settings = json.dumps({"scale": scale, "max_megapixels": 10})
        spent = spend([sys.executable, HERE / "one_scan.py", take, "--out", scan, "--settings", settings], told)
        record.write_text(json.dumps({**json.loads(told.read_text().splitlines()[-1]), "beside": spent.beside}))
    made = json.loads(record.read_text())
    print(made, file=sys.stderr)
    report = made.pop("report")
    figures = {**made, "vertices": report["vertices"], "footprint_mm": round(report["footprint_mm"], 2)}
    return read_ply(scan), {**figures, "steps": report["seconds"], "score": report["score"]}


def theirs(take: Path, scratch: Path, binaries: Path, level: int) -> tuple[np.ndarray, Mesh, dict[str, Any]]:
    scene = scratch / f"openmvs-{level}"
    if not (scene / "sparse.json").is_file():
        read, images = read_photos(read_take(take))
        (scene).mkdir(parents=True, exist_ok=True)
        (scene / "sparse.json").write_text(json.dumps(write_scene(scene, images, read.cameras)))
    spent = run_openmvs(scene, binaries, level, refine=False)
    cloud = np.asarray(o3d.io.read_point_cloud(str(scene / "dense.ply")).points)
    return cloud, read_ply(scene / "mesh.ply"), spent


def agreement(points: np.ndarray, mesh: Mesh) -> dict[str, float]:
    distance = Surface(mesh).closest(points).distance_mm
    shares = {f"within_{mm}_mm": round(float((distance < mm).mean()), 4) for mm in WITHIN_MM}
    return {"points": len(points), "median_mm": round(float(np.median(distance)), 2), **shares}


def picture(meshes: list[Mesh], camera: Camera, path: Path) -> None:
    views = [render(replace(mesh, colors=None), camera.scaled(0.25)) for mesh in meshes]
    cv2.imwrite(str(path), beside(views))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--scale", type=float, default=0.5)
    parser.add_argument("--openmvs", type=Path, metavar="BIN_DIR", help="folder of OpenMVS's programs")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="scratch folder that stays, and is gone on with")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="draw the surfaces, seen from the middle camera")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the last line is always JSON")
    asked = parser.parse_args()
    if not asked.data.is_dir():
        print(f"{asked.data} is not there: nothing measured", file=sys.stderr)
        print("{}")
        return
    with tempfile.TemporaryDirectory() as temporary:
        scratch = (asked.keep or Path(temporary)).resolve()
        take = as_take(asked.data, scratch / "1_fountain")
        mesh, figures = ours(take, scratch, asked.scale)
        drawn = [mesh]
        if asked.openmvs:
            level = round(-np.log2(asked.scale))
            cloud, other, spent = theirs(take, scratch, asked.openmvs.resolve(), level)
            drawn.append(other)
            figures |= {
                "openmvs_seconds": round(sum(s["seconds"] for s in spent.values()), 1),
                "openmvs_cpu_seconds": round(sum(s["cpu_seconds"] for s in spent.values()), 1),
                "openmvs_steps": spent,
                "openmvs_cloud_to_our_surface": agreement(cloud, mesh),
                "our_vertices_to_openmvs_mesh": agreement(mesh.vertices_mm, other),
            }
        if asked.picture:
            cameras = read_take(take).cameras
            picture(drawn, cameras[len(cameras) // 2], asked.picture)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
