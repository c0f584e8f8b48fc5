"""One scan of one take in a process of its own, so that time and memory are its own; used by the bench scripts.

    python benchmarks/one_scan.py TAKE_DIR --out scan.ply [--views N] [--settings JSON]

Prints one JSON object: seconds and processor seconds of `reconstruct` from decoded photographs to the coloured mesh,
memory before it and at most (peak_rss_gb with mapped files, peak_own_gb without), the report.
"""

import argparse
import json
import os
import re
import resource
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as `mien` sets it

import numpy as np
from measured import peak_rss_gb

from processing.files.ply import write_ply
from processing.files.take_folder import read_photos, read_take
from processing.geometry.cameras import Camera
from processing.geometry.working_volume import angles_between, common_focus, spread_views
from processing.reconstruction.multi_view_stereo import reconstruct
from processing.reconstruction.settings import ReconstructionSettings


def spread(cameras: Sequence[Camera], count: int) -> list[int]:
    """`count` of the cameras, spread as evenly as can be."""
    return spread_views(angles_between(cameras, common_focus(cameras)), count)


def rss_gb() -> float:
    """Memory that is this process's own: mapped files, which the kernel may drop when it needs the room, are not."""
    _, held, files = map(int, Path("/proc/self/statm").read_text().split()[:3])
    return (held - files) * resource.getpagesize() / 1e9


class Memory:
    """The most memory of its own that the process held during each step, as the progress names them; looked at 20 times
    a second.
    """

    def __init__(self) -> None:
        self.step, self.most_gb = "prepare", {}  # type: str, dict[str, float]
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def progress(self, _done: float, message: str) -> None:
        self.step = "surface" if message.startswith("surface") else re.split("[:,] (?!level)", message)[0]

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            step = self.step
            self.most_gb[step] = max(self.most_gb.get(step, 0.0), round(rss_gb(), 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("take", type=Path)
    parser.add_argument("--out", type=Path, help="where to write the scan")
    parser.add_argument("--views", type=int, help="so many of the views, spread evenly")
    parser.add_argument("--settings", type=json.loads, default={}, help="ReconstructionSettings, as JSON")
    asked = parser.parse_args()
    take = read_take(asked.take)
    if asked.views is not None:
        take = replace(take, views=tuple(take.views[i] for i in spread(take.cameras, asked.views)))
    take, images = read_photos(take)
    before = rss_gb()
    begun, busy = time.perf_counter(), time.process_time()
    with Memory() as memory:
        scan = reconstruct(
            images, take.cameras, settings=ReconstructionSettings(**asked.settings), progress=memory.progress
        )
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
                "peak_own_gb": max(memory.most_gb.values()),
                "memory_gb": memory.most_gb,
                "report": asdict(scan.report),
            }
        )
    )


if __name__ == "__main__":
    main()
