"""Photographs to scan: seconds, memory, and the distance of the true skin to the scan.

    python benchmarks/bench_mvs.py --json [--subject DIR] [--takes 1_neutral,2_smile] [--fast]

DIR holds takes `<k>_<name>/` with `<k>_<name>.truth.npz` beside each. Without it, ../shared/data/subject-11 is used
where it is there, and else a synthetic head photographed by 34 cameras of 480 x 720. The last line is one JSON object;
the figures are those of the worst take. Truth to scan, uniformly over the skin's area, cut at 5 mm; complete: the share
within 0.5 mm.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from processing.mesh import Mesh, Surface
from processing.reconstruction import FAST, ReconstructionSettings, reconstruct
from processing.takes import find_takes, read_photos, read_take

SUBJECT = Path(__file__).resolve().parents[2] / "shared" / "data" / "subject-11"
SAMPLE = 400_000


def synthetic_takes(folder: Path) -> Path:
    """One neutral take of Mien's own synthetic head, with its truth."""
    from processing.synthetic import studio_rig, synthetic_subject, write_take

    print("no --subject: photographing a synthetic head", file=sys.stderr)
    write_take(folder / "1_neutral", synthetic_subject(7).pose("neutral"), studio_rig(34, 480, 720))
    return folder


def score(scan: Mesh, truth: Path) -> dict[str, float]:
    with np.load(truth) as file:
        skin = Mesh(file["vertices"], file["triangles"])
    area = np.linalg.norm(skin.triangle_cross, axis=1)
    pick = np.random.default_rng(0).choice(len(area), SAMPLE, p=area / area.sum())
    closest = Surface(scan).closest(skin.vertices_mm[skin.triangles[pick]].mean(axis=1))
    distance = np.minimum(closest.distance_mm, 5.0)
    cosine = np.abs((scan.triangle_normals[closest.triangle] * skin.triangle_normals[pick]).sum(axis=1))
    angle = np.degrees(np.arccos(cosine[closest.distance_mm < 1].clip(0, 1)))
    return {
        "mean_mm": round(float(distance.mean()), 4),
        "median_mm": round(float(np.median(distance)), 4),
        "p95_mm": round(float(np.percentile(distance, 95)), 4),
        "complete": round(float((distance < 0.5).mean()), 4),
        "normal_deg": round(float(angle.mean()), 2),
    }


def run(folder: Path, settings: ReconstructionSettings) -> dict[str, float | int | str]:
    take, images = read_photos(read_take(folder))
    begun, busy = time.perf_counter(), time.process_time()
    scan = reconstruct(images, take.cameras, settings=settings)
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - busy
    figures: dict[str, float | int | str] = {
        "take": take.name,
        "views": len(images),
        "megapixels": round(images[0].shape[0] * images[0].shape[1] / 1e6, 2),
        "vertices": scan.report.vertices,
        "peak_rss_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
    }
    figures |= score(scan.mesh, folder.with_name(folder.name + ".truth.npz"))
    print(figures, file=sys.stderr)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", type=Path)
    parser.add_argument("--takes", help="some of the takes, as in 1_neutral,2_smile")
    parser.add_argument("--fast", action="store_true", help="the settings of `mien reconstruct --fast`")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the last line is always JSON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        subject = asked.subject or (SUBJECT if SUBJECT.is_dir() else synthetic_takes(Path(temporary)))
        wanted = asked.takes.split(",") if asked.takes else None
        folders = [f for f in find_takes(subject) if wanted is None or f.name in wanted]
        takes = [run(folder, FAST if asked.fast else ReconstructionSettings()) for folder in folders]
    if not takes:
        parser.error(f"{subject} has none of the takes {asked.takes}")
    worst = {key: max(t[key] for t in takes) for key in ("seconds", "cpu_seconds", "mean_mm", "p95_mm", "normal_deg")}
    complete = min(t["complete"] for t in takes)
    peak = takes[0]["peak_rss_gb"]  # before any scoring
    print(json.dumps({**worst, "complete": complete, "peak_rss_gb": peak, "takes": takes}))


if __name__ == "__main__":
    main()
