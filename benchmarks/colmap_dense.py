"""COLMAP's dense stereo (https://colmap.github.io, Schoenberger et al. 2016) as a peer: a workspace with our cameras.

Its patch match needs CUDA, and a pycolmap built with it (`pip install pycolmap-cuda12`). Without, it is left out.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common.array_types import Image
from processing.files.colmap import write_colmap
from processing.geometry.cameras import Camera
from processing.geometry.working_volume import angles_between, common_focus, working_volume

NEIGHBOURS = 20  # as COLMAP's automatic choice
LEAST_DEG, MOST_DEG = 3.0, 60.0


def usable() -> bool:
    """Whether pycolmap is there and has CUDA; says so on stderr if not."""
    try:
        import pycolmap
    except ImportError:
        print("pycolmap is not installed (pip install pycolmap-cuda12): COLMAP's stereo is left out", file=sys.stderr)
        return False
    if not pycolmap.has_cuda:
        print("this pycolmap has no CUDA, which COLMAP's stereo needs: it is left out", file=sys.stderr)
    return bool(pycolmap.has_cuda)


def write_workspace(folder: Path, images: Sequence[Image], cameras: Sequence[Camera]) -> dict[int, list[int]]:
    """images/, sparse/ and stereo/*.cfg of undistorted photographs. Returns view -> the views it is matched with.

    COLMAP chooses its views by sparse points; here they are the nearest in angle that triangulate.
    """
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "stereo").mkdir(exist_ok=True)
    for kind in ("depth_maps", "normal_maps", "consistency_graphs"):
        (folder / "stereo" / kind).mkdir(exist_ok=True)
    pinholes = {i: camera.pinhole() for i, camera in enumerate(cameras)}
    for i, (image, camera) in enumerate(zip(images, cameras, strict=True)):
        quality = [
            cv2.IMWRITE_JPEG_QUALITY,
            100,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        ]
        cv2.imwrite(str(folder / "images" / f"{i}.jpg"), camera.undistort(image), quality)
    write_colmap(folder / "sparse", pinholes, binary=True)
    angle = angles_between(cameras, common_focus(cameras))
    near = {
        i: [int(j) for j in np.argsort(row) if LEAST_DEG <= row[j] <= MOST_DEG][:NEIGHBOURS]
        for i, row in enumerate(angle)
    }
    told = "".join(f"{i}.jpg\n{', '.join(f'{j}.jpg' for j in others)}\n" for i, others in near.items())
    (folder / "stereo" / "patch-match.cfg").write_text(told)
    (folder / "stereo" / "fusion.cfg").write_text("".join(f"{i}.jpg\n" for i in near))
    return near


def run_colmap(folder: Path, cameras: Sequence[Camera]) -> dict[str, Any]:
    """Patch match, fusion and Poisson meshing in a workspace, all as they come: seconds of each; folder/mesh.ply."""
    import pycolmap

    volume, _ = working_volume(cameras)
    near, far = zip(*(volume.depth_range(camera) for camera in cameras), strict=True)
    options = pycolmap.PatchMatchOptions(depth_min=min(near), depth_max=max(far))
    spent: dict[str, Any] = {"version": pycolmap.__version__}
    begun = time.perf_counter()
    pycolmap.patch_match_stereo(folder, options=options)
    spent["stereo_seconds"] = round(time.perf_counter() - begun, 1)
    begun = time.perf_counter()
    pycolmap.stereo_fusion(folder / "fused.ply", folder, output_type="ply")
    spent["fusion_seconds"] = round(time.perf_counter() - begun, 1)
    begun = time.perf_counter()
    pycolmap.poisson_meshing(folder / "fused.ply", folder / "mesh.ply")
    spent["meshing_seconds"] = round(time.perf_counter() - begun, 1)
    return spent
