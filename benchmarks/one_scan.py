"""One scan of one take in a process of its own, so that time and memory are its own; used by the bench scripts.

    python benchmarks/one_scan.py TAKE_DIR --out scan.ply [--views N] [--factor F] [--settings JSON]

Prints one JSON object: seconds and processor seconds of `reconstruct` from decoded photographs to the coloured mesh,
memory before it and at most, the report.
"""

import argparse
import json
import resource
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
from measured import peak_rss_gb

from processing.cameras import Camera, Image
from processing.mesh_files import write_ply
from processing.reconstruction import ReconstructionSettings, reconstruct
from processing.reconstruction.volume import angles_between, common_focus, spread_views
from processing.takes import read_photos, read_take


def spread(cameras: Sequence[Camera], count: int) -> list[int]:
    """`count` of the cameras, spread as evenly as can be."""
    return spread_views(angles_between(cameras, common_focus(cameras)), count)


def resized(image: Image, camera: Camera, factor: float) -> tuple[Image, Camera]:
    """The photograph by a camera of other pixels: averaged down, or interpolated up (same cost, no more detail)."""
    to = camera.scaled(factor)
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (to.width, to.height), interpolation=how), dtype=np.uint8), to


def rss_gb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("take", type=Path)
    parser.add_argument("--out", type=Path, help="where to write the scan")
    parser.add_argument("--views", type=int, help="so many of the views, spread evenly")
    parser.add_argument("--factor", type=float, default=1.0, help="photographs resized by this")
    parser.add_argument("--settings", type=json.loads, default={}, help="ReconstructionSettings, as JSON")
    asked = parser.parse_args()
    take, images = read_photos(read_take(asked.take))
    cameras = take.cameras
    if asked.views is not None:
        chosen = spread(cameras, asked.views)
        images, cameras = [images[i] for i in chosen], [cameras[i] for i in chosen]
    if asked.factor != 1:
        pairs = [resized(i, c, asked.factor) for i, c in zip(images, cameras, strict=True)]
        images, cameras = [i for i, _ in pairs], [c for _, c in pairs]
    before = rss_gb()
    begun, busy = time.perf_counter(), time.process_time()
    scan = reconstruct(images, cameras, settings=ReconstructionSettings(**asked.settings))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - busy
    peak = peak_rss_gb("self")
    if asked.out is not None:
        write_ply(asked.out, scan.mesh)
    print(
        json.dumps(
            {
                "views": len(images),
                "megapixels": round(float(np.mean([i.shape[0] * i.shape[1] for i in images])) / 1e6, 3),
                "seconds": round(seconds, 1),
                "cpu_seconds": round(cpu, 1),
                "before_gb": round(before, 2),
                "peak_rss_gb": round(peak, 2),
                "report": asdict(scan.report),
            }
        )
    )


if __name__ == "__main__":
    main()
