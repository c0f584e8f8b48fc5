"""From a scan to everything that is kept of it: what `mien register` does with one expression, warm, part by part.

Landmarks, registration, refinement by appearance, texture and displacement (PNG and EXR) at --size texels a side. The
neutral is registered before and not counted, so that models, templates and libraries are loaded. Scans: --scans
(<k>_<name>.ply), or the true skin (1.1 million triangles). seconds: of the whole, files included; parts: seconds until
the progress moved on to the next one. There is no peer that does all of this; wanted are 60 s and 4 GB.

    OMP_NUM_THREADS=1 python benchmarks/bench_expression.py --json [--scans DIR] [--size 4096] [--takes 1_neutral,..]
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measured import peak_rss_gb

from common.take_codes import TakeLabel
from processing.farm.register_scan import RegistrationInputs, register_scan
from processing.files.ply import write_ply
from processing.geometry.mesh import Mesh

SUBJECT = Path(__file__).resolve().parents[2] / "shared" / "data" / "subject-11"


class Parts:
    """Seconds by what the progress said was being done; numbered messages ("photograph 3 of 68") count as one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.name, self.since = "start", time.perf_counter()

    def __call__(self, _done: float, message: str) -> None:
        now = time.perf_counter()
        self.seconds[self.name] = self.seconds.get(self.name, 0.0) + now - self.since
        kind = " ".join(word for word in message.split() if not any(c.isdigit() for c in word))
        self.name, self.since = kind, now


def scan_of(subject: Path, name: str, scans: Path | None, folder: Path) -> Path:
    """The scan of a take as a PLY file."""
    if scans is not None:
        return scans / f"{name}.ply"
    with np.load(subject / f"{name}.truth.npz") as truth:
        write_ply(folder / f"{name}.ply", Mesh(truth["vertices"].astype(np.float64), truth["triangles"]))
    return folder / f"{name}.ply"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is always JSON")
    parser.add_argument("--subject", type=Path, default=SUBJECT, help="folder of takes, with their truth or --scans")
    parser.add_argument("--scans", type=Path, help="folder of <k>_<name>.ply")
    parser.add_argument("--takes", default="1_neutral,2_smile", help="the neutral, then the expressions")
    parser.add_argument("--size", type=int, default=4096, help="texels a side")
    given = parser.parse_args()
    neutral, *expressions = given.takes.split(",")
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as temporary:
        out = Path(temporary)
        scan = scan_of(given.subject, neutral, given.scans, out)
        print(f"{neutral}, not counted", file=sys.stderr)
        start = register_scan(RegistrationInputs(scan, photos=given.subject / neutral), out / "tu", size_px=512).files
        takes = {}
        for name in expressions:
            scan = scan_of(given.subject, name, given.scans, out)
            parts, begun, cpu = Parts(), time.perf_counter(), time.process_time()
            inputs = RegistrationInputs(
                scan, photos=given.subject / name, neutral=start.mesh, expression=TakeLabel.parse(name).name
            )
            made = register_scan(inputs, out / "tu", size_px=given.size, progress=parts).files
            parts(1.0, "")
            takes[name] = {
                "seconds": round(time.perf_counter() - begun, 1),
                "cpu_seconds": round(time.process_time() - cpu, 1),
                "scan_bytes": scan.stat().st_size,
                "mesh_bytes": made.mesh.stat().st_size,
                "displacement_bytes": made.displacement.stat().st_size,
                "parts": {k: round(v, 2) for k, v in parts.seconds.items() if v > 0.05},
            }
            print(f"{name}: {json.dumps(takes[name], indent=1)}", file=sys.stderr)
    slowest = max(float(str(take["seconds"])) for take in takes.values())
    print(json.dumps({"seconds": slowest, "peak_rss_gb": round(peak_rss_gb("self"), 2), "takes": takes}))


if __name__ == "__main__":
    main()
