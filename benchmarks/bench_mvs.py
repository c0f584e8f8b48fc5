"""Photographs to scan: seconds, memory, and the distance of the true skin to the scan; beside OpenMVS where it is.

    python benchmarks/bench_mvs.py --json [--subject DIR] [--takes 1_neutral,2_smile] [--fast]
                                          [--openmvs BIN_DIR [--level 0] [--keep DIR]]

DIR holds takes `<k>_<name>/` with `<k>_<name>.truth.npz` beside each. Without it, ../shared/data/subject-11 is used
where it is there, and else a synthetic head photographed by 34 cameras of 480 x 720. The last line is one JSON object;
the figures are those of the worst take. Truth to scan, uniformly over the skin's area, cut at 5 mm; complete: the share
within 0.5 mm. seconds: from decoded photographs to the coloured mesh.

BIN_DIR holds OpenMVS's DensifyPointCloud, ReconstructMesh and RefineMesh (2.3, without CUDA). It gets the first of the
takes: the same photographs, undistorted, and cameras, after ours and at the same priority, at 1/2^level of their size.
Its seconds are those of the three programs alone, without the making of its scene. openmvs_mesh: after ReconstructMesh;
openmvs_*: after RefineMesh. beside: processors that other work kept busy meanwhile. Steps finished in --keep are found
again there, with what they took.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from measured import spend

from processing.files.ply import read_ply
from processing.files.subject_folder import find_takes
from processing.files.take_folder import read_photos, read_take
from processing.geometry.mesh import Mesh, Surface
from processing.reconstruction.settings import FAST, ReconstructionSettings

HERE = Path(__file__).resolve().parent
SUBJECT = HERE.parents[1] / "shared" / "data" / "subject-11"
SAMPLE = 400_000


def synthetic_takes(folder: Path) -> Path:
    """One neutral take of Mien's own synthetic head, with its truth."""
    from processing.synthetic.studio_rig import studio_rig
    from processing.synthetic.subject import synthetic_subject
    from processing.synthetic.takes import write_take

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


def ours(folder: Path, scratch: Path, settings: ReconstructionSettings) -> dict[str, Any]:
    scan, record = scratch / "ours.ply", scratch / "ours.json"
    if not (scan.is_file() and record.is_file()):
        told = scratch / "ours.log"
        asked = json.dumps(asdict(settings))
        spent = spend([sys.executable, HERE / "one_scan.py", folder, "--out", scan, "--settings", asked], told)
        made = json.loads(told.read_text().splitlines()[-1])
        record.write_text(json.dumps({**made, "beside": spent.beside}))
    made = json.loads(record.read_text())
    report = made.pop("report")
    figures = {"take": folder.name, "vertices": report["vertices"], **made, "steps": report["seconds"]}
    figures |= score(read_ply(scan), folder.with_name(folder.name + ".truth.npz"))
    print(figures, file=sys.stderr)
    return figures


def theirs(folder: Path, scratch: Path, binaries: Path, level: int) -> dict[str, Any]:
    from openmvs import run_openmvs, write_scene

    scene = scratch / "openmvs"
    if not (scene / "sparse.json").is_file():
        print("writing OpenMVS's scene: undistorted photographs, cameras, sparse points", file=sys.stderr)
        take, images = read_photos(read_take(folder))
        sparse = write_scene(scene, images, take.cameras)
        (scene / "sparse.json").write_text(json.dumps(sparse))
    spent = run_openmvs(scene, binaries, level)
    truth = folder.with_name(folder.name + ".truth.npz")
    mesh, refined = read_ply(scene / "mesh.ply"), read_ply(scene / "refined.ply")
    figures: dict[str, Any] = {
        "openmvs_take": folder.name,
        "openmvs_level": level,
        "openmvs_seconds": round(sum(s["seconds"] for s in spent.values()), 1),
        "openmvs_cpu_seconds": round(sum(s["cpu_seconds"] for s in spent.values()), 1),
        "openmvs_peak_rss_gb": max(s["peak_rss_gb"] for s in spent.values()),
        **{f"openmvs_{key}": value for key, value in score(refined, truth).items()},
        "openmvs_vertices": len(refined.vertices_mm),
        "openmvs_mesh": {"vertices": len(mesh.vertices_mm), **score(mesh, truth)},
        "openmvs_steps": spent,
        **{f"openmvs_{key}": value for key, value in json.loads((scene / "sparse.json").read_text()).items()},
    }
    print(figures, file=sys.stderr)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", type=Path)
    parser.add_argument("--takes", help="some of the takes, as in 1_neutral,2_smile")
    parser.add_argument("--fast", action="store_true", help="the settings of `mien reconstruct --fast`")
    parser.add_argument("--openmvs", type=Path, metavar="BIN_DIR", help="folder of OpenMVS's programs")
    parser.add_argument("--level", type=int, default=0, help="OpenMVS's --resolution-level (default: full size)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="scratch folder that stays, and is gone on with")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the last line is always JSON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        subject = asked.subject or (SUBJECT if SUBJECT.is_dir() else synthetic_takes(Path(temporary)))
        wanted = asked.takes.split(",") if asked.takes else None
        folders = [f for f in find_takes(subject).takes.values() if wanted is None or f.name in wanted]
        if not folders:
            parser.error(f"{subject} has none of the takes {asked.takes}")
        takes, peer = [], {}
        for folder in folders:
            scratch = (asked.keep or Path(temporary)).resolve() / folder.name
            scratch.mkdir(parents=True, exist_ok=True)
            takes.append(ours(folder, scratch, FAST if asked.fast else ReconstructionSettings()))
            if asked.openmvs and not peer:
                peer = theirs(folder, scratch, asked.openmvs.resolve(), asked.level)
    most = ("seconds", "cpu_seconds", "peak_rss_gb", "mean_mm", "p95_mm", "normal_deg")
    worst = {key: max(t[key] for t in takes) for key in most}
    print(json.dumps({**worst, "complete": min(t["complete"] for t in takes), **peer, "takes": takes}))


if __name__ == "__main__":
    main()
