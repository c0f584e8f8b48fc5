"""`mien reconstruct` as a person types it: seconds, processor seconds, memory and quality; beside another checkout's.

    python benchmarks/bench_reconstruct.py --json [--take TAKE_DIR] [--rounds 3] [--before CHECKOUT]

TAKE_DIR is a take `<k>_<name>/` with its true skin `<k>_<name>.truth.npz` beside it, or truth.npz in it. Without it,
1_neutral of ../shared/data/subject-11 where it is there, and else a synthetic head photographed by 34 cameras of
480 x 720.
CHECKOUT is a folder with another version of this project and its environment: CHECKOUT/.venv/bin/mien. The two take
turns, this one first, each as often as --rounds says; seconds are medians, memory is the most.

The last line is one JSON object. seconds: from the command's start to its end: photographs decoded, cameras held
against each other, scan, colours, file, verdict. beside: processors that other work kept busy meanwhile. Truth to scan,
uniformly over the skin's area, cut at 5 mm; complete: the share within 0.5 mm. preview_*: of `--preview`, over the skin
that three of its views or more see; it goes first, and what it compiles is kept.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bench_mvs import SAMPLE, SUBJECT, find_folders, score, synthetic_takes, truth_of
from measured import Spent, spend

from common.array_types import Bools, Floats
from processing.files.ply import read_ply
from processing.files.take_folder import read_take
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh, Surface
from processing.stages.first_look import FirstLook, frontal_views

SEEING_VIEWS = 3  # of the frontal ones
SQUARELY = 0.2  # cosine between a ray and the skin's normal
OFF_SKIN_MM = 0.05  # where rays to the cameras begin


def mien_of(checkout: Path | None) -> Path:
    """The command of a checkout; None: the one beside this Python."""
    return Path(sys.executable).with_name("mien") if checkout is None else checkout / ".venv" / "bin" / "mien"


def scanned(mien: Path, take: Path, scratch: Path, *words: str) -> tuple[Spent, Path]:
    """What one run of the command cost, and its scan."""
    out = scratch / "scan.ply"
    out.unlink(missing_ok=True)
    log = scratch / "mien.log"
    spent = spend([mien, "reconstruct", take, "--out", out, *words], log)
    print(f"{mien}: {spent.seconds} s, {log.read_text().strip().splitlines()[-1]}", file=sys.stderr)
    return spent, out


def frontal(points_mm: Floats, normals: Floats, skin: Surface, cameras: Sequence[Camera]) -> Bools:
    """(N,) which places of the skin enough of the cameras see, squarely and with nothing before them."""
    seen = np.zeros(len(points_mm), np.intp)
    for camera in cameras:
        towards = camera.centre - points_mm
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        free = ~np.isfinite(skin.cast(points_mm + OFF_SKIN_MM * (normals + towards), towards)[0])
        x, y = np.nan_to_num(camera.project(points_mm), nan=-1.0).T
        inside = (x > 0) & (y > 0) & (x < camera.width - 1) & (y < camera.height - 1)
        seen += free & inside & (np.einsum("nk,nk->n", towards, normals) > SQUARELY)
    return np.asarray(seen >= SEEING_VIEWS)


def preview_figures(mien: Path, take: Path, truth: Path, scratch: Path) -> dict[str, float]:
    scanned(mien, take, scratch, "--preview")  # compiles
    spent, out = scanned(mien, take, scratch, "--preview")
    with np.load(truth) as file:
        skin = Mesh(file["vertices"], file["triangles"])
    area = np.linalg.norm(skin.triangle_cross, axis=1)
    pick = np.random.default_rng(0).choice(len(area), SAMPLE // 4, p=area / area.sum())
    points, normals = skin.vertices_mm[skin.triangles[pick]].mean(axis=1), skin.triangle_normals[pick]
    chosen = FirstLook.Params()
    cameras = frontal_views(read_take(take), chosen.within_deg, chosen.views).cameras
    seen = frontal(points, normals, Surface(skin), cameras)
    distance = np.minimum(Surface(read_ply(out)).closest(points[seen]).distance_mm, 5.0)
    return {
        "preview_seconds": spent.seconds,
        "preview_cpu_seconds": spent.cpu_seconds,
        "preview_peak_rss_gb": spent.peak_rss_gb,
        "preview_mean_mm": round(float(distance.mean()), 4),
        "preview_median_mm": round(float(np.median(distance)), 4),
    }


def figures_of(runs: Sequence[Spent], scan: Path, truth: Path) -> dict[str, float]:
    return {
        "seconds": round(statistics.median(run.seconds for run in runs), 1),
        "cpu_seconds": round(statistics.median(run.cpu_seconds for run in runs), 1),
        "peak_rss_gb": max(run.peak_rss_gb for run in runs),
        "beside": round(statistics.median(run.beside for run in runs), 2),
        **score(read_ply(scan), truth),
    }


def measured(take: Path, scratch: Path, before: Path | None, rounds: int) -> dict[str, Any]:
    truth = truth_of(take)
    ours, theirs = mien_of(None), None if before is None else mien_of(before)
    found: dict[str, Any] = {"take": take.name, "rounds": rounds, **preview_figures(ours, take, truth, scratch)}
    runs: dict[Path, list[Spent]] = {mien: [] for mien in (ours, theirs) if mien is not None}
    kept: dict[Path, Path] = {}
    for _ in range(rounds):
        for number, mien in enumerate(runs):
            spent, out = scanned(mien, take, scratch)
            runs[mien].append(spent)
            kept[mien] = out.replace(scratch / f"scan-{number}.ply")
    found |= figures_of(runs[ours], kept[ours], truth)
    if theirs is not None:
        other = figures_of(runs[theirs], kept[theirs], truth)
        found |= {f"before_{name}": value for name, value in other.items()}
        found["ratio"] = round(found["seconds"] / other["seconds"], 3)
        found["cpu_ratio"] = round(found["cpu_seconds"] / other["cpu_seconds"], 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--take", type=Path, metavar="TAKE_DIR")
    parser.add_argument("--rounds", type=int, default=1, help="how often each command runs")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="another checkout to measure beside this one")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the last line is always JSON")
    asked = parser.parse_args()
    for command in (mien_of(None), *([] if asked.before is None else [mien_of(asked.before)])):
        if not command.is_file():
            parser.error(f"{command} is not there; give a checkout whose environment is in .venv")
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        if asked.take is not None:
            take = asked.take.resolve()
        else:
            take = SUBJECT / "1_neutral" if SUBJECT.is_dir() else find_folders(synthetic_takes(scratch), None)[0]
        print(json.dumps(measured(take, scratch, asked.before, asked.rounds)))


if __name__ == "__main__":
    main()
