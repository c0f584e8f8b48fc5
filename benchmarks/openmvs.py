"""OpenMVS (https://github.com/cdcseacave/openMVS) as a peer: our cameras and photographs as its scene, its steps timed.

Photographs are handed over undistorted by cubic interpolation, as our own matching has them. OpenMVS chooses its views
by sparse points; they come from the features that our watch over the cameras finds, at the photographs' full size.
"""

import json
import re
import struct
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from measured import spend

from common.array_types import Image
from common.processors import usable_cpus
from processing.camera_check.feature_matching import find_features
from processing.camera_check.feature_network import FeatureNetwork
from processing.camera_check.settings import CameraCheckSettings
from processing.geometry.cameras import Camera
from processing.geometry.opencv_threads import single_threaded_opencv
from processing.geometry.working_volume import working_volume

FULL = CameraCheckSettings(megapixels=8.0, features=3000, band_px=2.0, tolerance_px=1.0)
MOST_POINTS = 30_000


def sparse_points(images: Sequence[Image], cameras: Sequence[Camera]) -> tuple[np.ndarray, np.ndarray]:
    """(P, 3) points, mm, that features of three views or more agree on, and (P, V) which views see each."""
    with single_threaded_opencv(), ThreadPoolExecutor(usable_cpus()) as pool:
        pairs = zip(images, cameras, strict=True)
        features = list(pool.map(lambda p: find_features(p[0], p[1], FULL.megapixels, FULL.features), pairs))
        network = FeatureNetwork(features, working_volume(cameras)[0], FULL, pool, set(range(len(cameras))))
        network.link()
        cloud = network.sparse_points(network.triangulate_all(range(len(cameras))), MOST_POINTS)
    return cloud.points_mm, cloud.seen


def undistorted(image: Image, camera: Camera) -> Image:
    size = camera.width, camera.height
    mx, my = cv2.initUndistortRectifyMap(camera.K, camera.distortion, np.eye(3), camera.K, size, cv2.CV_32FC1)
    return np.asarray(cv2.remap(image, mx, my, cv2.INTER_CUBIC), dtype=np.uint8)


def scene_bytes(cameras: Sequence[Camera], names: Sequence[str], points: np.ndarray, seen: np.ndarray) -> bytes:
    """The scene in OpenMVS's interface format, version 1 (libs/MVS/Interface.h): one platform with all cameras.

    OpenMVS 2.3 and 2.4 both write version 7 and read all before it; what came after 1 (masks, depth ranges, view
    scores, regions) is left to them. Pixel centres are at integers there as here.
    """

    def string(text: str) -> bytes:
        return struct.pack("<Q", len(text)) + text.encode()

    def doubles(values: np.ndarray) -> bytes:
        return np.ascontiguousarray(values, "<f8").tobytes()

    unit = doubles(np.eye(3)) + doubles(np.zeros(3))
    out = [b"MVSI", struct.pack("<II", 1, 0), struct.pack("<Q", 1), string("rig"), struct.pack("<Q", len(cameras))]
    for name, camera in zip(names, cameras, strict=True):
        out += [string(name), struct.pack("<II", camera.width, camera.height), doubles(camera.K), unit]
    out.append(struct.pack("<Q", len(cameras)))
    out += [doubles(camera.R) + doubles(camera.centre) for camera in cameras]
    out.append(struct.pack("<Q", len(cameras)))
    out += [string(name) + struct.pack("<III", 0, i, i) for i, name in enumerate(names)]
    out.append(struct.pack("<Q", len(points)))
    for point, views in zip(points, seen, strict=True):
        index = np.flatnonzero(views)
        out += [struct.pack("<3fQ", *point, len(index)), *(struct.pack("<If", i, 0.0) for i in index)]
    out.append(struct.pack("<5Q", 0, 0, 0, 0, 0))  # normals, colours, lines, their normals and colours
    return b"".join(out)


def write_scene(folder: Path, images: Sequence[Image], cameras: Sequence[Camera]) -> dict[str, int]:
    """folder/scene.mvs and the photographs that it names. Returns how many sparse points it has."""
    points, seen = sparse_points(images, cameras)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    names = [f"images/{i:03d}.png" for i in range(len(cameras))]
    for name, image, camera in zip(names, images, cameras, strict=True):
        cv2.imwrite(str(folder / name), undistorted(image, camera), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    (folder / "scene.mvs").write_bytes(scene_bytes(cameras, names, points, seen))
    return {"sparse_points": len(points), "fewest_in_a_view": int(seen.sum(axis=0).min())}


def steps(binaries: Path, level: int, refine: bool = True) -> list[tuple[str, list[str | Path], str]]:
    """(name, command, the file it makes) of each step; everything else is as OpenMVS has it.

    Its priority is left at ours, and it crops nothing.
    """
    chosen: list[tuple[str, list[str | Path], str]] = [
        (
            "densify",
            [binaries / "DensifyPointCloud", "-i", "scene.mvs", "-o", "dense.mvs", "--resolution-level", str(level),
             "--estimate-roi", "0"],
            "dense.ply",
        ),
        ("mesh", [binaries / "ReconstructMesh", "-i", "dense.mvs", "-p", "dense.ply", "-o", "mesh.mvs"], "mesh.ply"),
    ]  # fmt: skip
    if refine:
        chosen.append(
            ("refine", [binaries / "RefineMesh", "-i", "dense.mvs", "-m", "mesh.ply", "-o", "refined.mvs",
                        "--resolution-level", str(level)], "refined.ply")
        )  # fmt: skip
    return chosen


def run_openmvs(folder: Path, binaries: Path, level: int, *, refine: bool = True) -> dict[str, dict[str, float]]:
    """Every step on folder/scene.mvs: name -> what it spent. Steps that an earlier run finished are not run again."""
    record = folder / "steps.json"
    spent: dict[str, dict[str, float]] = json.loads(record.read_text()) if record.is_file() else {}
    for name, command, makes in steps(binaries, level, refine):
        if name in spent and (folder / makes).is_file():
            continue
        for old in folder.glob("*.dmap"):
            old.unlink()  # a half-finished run's depth maps would be taken over, and the time be wrong
        words = [*command, "-w", folder, "--process-priority", "0"]
        spent[name] = asdict(spend(words, folder / f"{name}.log"))
        print(f"openmvs {name}: {spent[name]}", file=sys.stderr)
        record.write_text(json.dumps(spent, indent=1))
    return spent


def version(folder: Path) -> str:
    """The version that DensifyPointCloud says in its log, such as 2.4.0."""
    said = re.search(rb"OpenMVS \S+ v([\d.]+)", (folder / "densify.log").read_bytes())
    return said[1].decode() if said else "unknown"
