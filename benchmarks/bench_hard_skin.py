"""`mien reconstruct` on people whose skin is hard to measure: weak texture, wet, dark, bald, with hair, beard, glasses.

    python benchmarks/bench_hard_skin.py --json [--cases james,wet,...] [--views N] [--scale S] [--seed N]
                                         [--keep DIR] [--openmvs BIN_DIR] [--table]

Each case (benchmarks/hard_subjects) is photographed by Mien's 68-camera rig, or N of its cameras, at S times 0.96 MP's
width and height, and scanned by the command as a user types it, in a process of its own. Figures of a case: distance
of the visible true skin to the scan, uniformly over its area, cut at 5 mm (so a hole counts 5 mm): mean_mm, median_mm,
p95_mm, complete (within 0.5 mm), normal_deg; where the scan carries confidence: low, the share of the true skin whose
nearest surface has less than 0.5; trusted, of the vertices that have 0.5 or more and lie over visible skin, the share
within 0.5 mm of it; seconds, cpu_seconds, peak_rss_gb of the command; verdict. beside: processors that other work kept
busy meanwhile. Cases that need data which is not there are left out, and said why. --openmvs: its programs on the same
photographs, as bench_mvs.py has them. Takes and scans are kept in --keep, and found again there.

hard_subjects/data.py says where data is looked for. The last line is one JSON object; --table prints Markdown before.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hard_subjects.cases import CASES
from hard_subjects.takes import write_hard_take
from measured import Spent, spend
from one_scan import spread

from common.files.atomic_write import atomic_write
from processing.files.ply import read_ply
from processing.geometry.mesh import MEASURED, Mesh, Surface
from processing.synthetic.studio_rig import studio_rig

SAMPLE = 300_000
CUT_MM, NEAR_MM = 5.0, 0.5


@dataclass(frozen=True)
class Asked:
    views: int
    scale: float
    seed: int


def take_of(name: str, asked: Asked, keep: Path) -> Path:
    """The case's photographs, made where they are not there yet."""
    folder = keep / f"{name}-{asked.views}-{asked.scale:g}-{asked.seed}"
    if not (folder / "params.json").is_file():
        rig = studio_rig()
        cameras = [rig[i].scaled(asked.scale) for i in sorted(spread(rig, asked.views))]
        levels = 3 if asked.scale > 0.6 else 2 if asked.scale > 0.3 else 0
        making = keep / f".{folder.name}"
        shutil.rmtree(making, ignore_errors=True)
        case = CASES[name]
        write_hard_take(making, case.make(asked.seed, levels), cameras, asked.seed, case.bench)
        making.rename(folder)
    return folder


def score(scan: Mesh, truth: Path) -> dict[str, float]:
    with np.load(truth) as file:
        skin = Mesh(file["vertices"], file["triangles"])
    area = np.linalg.norm(skin.triangle_cross, axis=1)
    pick = np.random.default_rng(0).choice(len(area), SAMPLE, p=area / area.sum())
    closest = Surface(scan).closest(skin.vertices_mm[skin.triangles[pick]].mean(axis=1))
    distance = np.minimum(closest.distance_mm, CUT_MM)
    cosine = np.abs((scan.triangle_normals[closest.triangle] * skin.triangle_normals[pick]).sum(axis=1))
    angle = np.degrees(np.arccos(cosine[closest.distance_mm < 1].clip(0, 1)))
    figures = {
        "mean_mm": float(distance.mean()),
        "median_mm": float(np.median(distance)),
        "p95_mm": float(np.percentile(distance, 95)),
        "complete": float((distance < NEAR_MM).mean()),
        "normal_deg": float(angle.mean()),
    }
    if scan.confidence is not None:
        corners = scan.confidence[scan.triangles[closest.triangle]]
        figures["low"] = float(((corners * closest.barycentric).sum(axis=1) < MEASURED).mean())
        figures["trusted"] = trusted(scan, skin)
    return {key: round(value, 4) for key, value in figures.items()}


def trusted(scan: Mesh, skin: Mesh) -> float:
    """The share within NEAR_MM of the true skin, of the vertices over it that say that they were measured.

    Over it: nearest to its inside, at most CUT_MM away, and turned the same way.
    """
    assert scan.confidence is not None
    sure = np.flatnonzero(scan.confidence >= MEASURED)
    sure = np.random.default_rng(0).permutation(sure)[:SAMPLE]
    if not len(sure):
        return 0.0
    closest = Surface(skin).closest(scan.vertices_mm[sure])
    over = ~skin.boundary_vertices[skin.triangles[closest.triangle]].any(axis=1) & (closest.distance_mm < CUT_MM)
    over &= (scan.vertex_normals[sure] * skin.triangle_normals[closest.triangle]).sum(axis=1) > 0
    return float((closest.distance_mm[over] < NEAR_MM).mean()) if over.any() else 0.0


def scanned(folder: Path, mien: Path) -> dict[str, Any]:
    """What `mien reconstruct` makes of a take, and what it costs."""
    scan, record = folder / "scan.ply", folder / "scan.json"
    if not (scan.is_file() and record.is_file()):
        log = folder / "scan.log"
        command: list[str | Path] = [mien, "reconstruct", folder, "--out", scan, "--json"]
        spent: Spent = spend(command, log)
        text = log.read_text()
        told = json.JSONDecoder().raw_decode(text[text.index("{\n") :])[0]
        with atomic_write(record) as temporary:
            kept = {"review": told["review"], "vertices": told["vertices"], "depth_views": told["depth_views"]}
            temporary.write_text(json.dumps({**vars(spent), **kept}))
    made = json.loads(record.read_text())
    figures = score(read_ply(scan), folder / "truth.npz")
    review = made.pop("review")
    return {**figures, **made, "verdict": review.get("verdict"), "reasons": review.get("reasons")}


def peer_on(folder: Path, binaries: Path) -> dict[str, Any]:
    from bench_mvs import theirs

    scratch = folder.with_name(folder.name + "-openmvs")
    scratch.mkdir(exist_ok=True)
    return {key: value for key, value in theirs(folder, scratch, binaries, 0).items() if "steps" not in key}


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The figures in Markdown."""
    head = ["case", "mean", "median", "p95", "complete", "low", "trusted", "seconds", "CPU s", "GB", "verdict"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 2) + "---|"]
    for name, row in rows.items():
        keys = ["mean_mm", "median_mm", "p95_mm", "complete", "low", "trusted", "seconds", "cpu_seconds", "peak_rss_gb"]
        cells = [name, *(str(row.get(key, "")) for key in keys), str(row["verdict"])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default=",".join(CASES), help="names, with commas between them")
    parser.add_argument("--views", type=int, default=34, help="so many of the rig's 68 cameras, spread evenly")
    parser.add_argument("--scale", type=float, default=0.5, help="of 800 x 1200 px, each way")
    parser.add_argument("--seed", type=int, default=1, help="another person in another pose")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="scratch folder that stays, and is gone on with")
    parser.add_argument("--openmvs", type=Path, metavar="BIN_DIR", help="folder of OpenMVS's programs")
    parser.add_argument("--mien", type=Path, default=Path(sys.executable).with_name("mien"), help="another mien to run")
    parser.add_argument("--photographs-only", action="store_true", help="make the takes in --keep and end")
    parser.add_argument("--table", action="store_true", help="also a table in Markdown")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the last line is always JSON")
    asked = parser.parse_args(words)
    unknown = sorted(set(asked.cases.split(",")) - set(CASES))
    if unknown:
        parser.error(f"no case is called {', '.join(unknown)}; there are {', '.join(CASES)}")
    return asked


def main() -> None:
    words = parsed()
    asked = Asked(words.views, words.scale, words.seed)
    rows: dict[str, dict[str, Any]] = {}
    missing = {name: why for name in words.cases.split(",") if (why := CASES[name].missing())}
    with tempfile.TemporaryDirectory() as temporary:
        keep = (words.keep or Path(temporary)).resolve()
        keep.mkdir(parents=True, exist_ok=True)
        for name in words.cases.split(","):
            if name in missing:
                print(f"{name} is left out: {missing[name]}", file=sys.stderr)
                continue
            folder = take_of(name, asked, keep)
            if words.photographs_only:
                continue
            rows[name] = scanned(folder, words.mien)
            if words.openmvs:
                rows[name] |= peer_on(folder, words.openmvs.resolve())
            print(name, rows[name], file=sys.stderr)
    if words.table:
        print(table(rows))
    print(
        json.dumps({"views": asked.views, "scale": asked.scale, "seed": asked.seed, "left_out": missing, "cases": rows})
    )


if __name__ == "__main__":
    main()
