"""Photographs to scan: seconds, memory, and the distance of the true skin to the scan; beside OpenMVS where it is.

    python benchmarks/bench_mvs.py --json [--subject DIR] [--takes 1_neutral,2_smile] [--fast] [--views 24]
                                          [--scale 0.5] [--openmvs BIN_DIR [--level 0]] [--colmap] [--keep DIR]

DIR holds takes `<k>_<name>/` with `<k>_<name>.truth.npz` beside each, or is one take with truth.npz in it. Without it,
../shared/data/subject-11 is used where it is there, and else a synthetic head photographed by 34 cameras of 480 x 720.
The last line is one JSON object; the figures are those of the worst take. Truth to scan, uniformly over the skin's
area, cut at 5 mm; complete: the share within 0.5 mm. seconds: from decoded photographs to the coloured mesh. --views
and --scale make a smaller take first, which both sides then get.

BIN_DIR holds OpenMVS's DensifyPointCloud, ReconstructMesh and RefineMesh (2.4, without CUDA). It gets the first of the
takes: the same photographs, undistorted, and cameras, after ours and at the same priority, at 1/2^level of their size.
Its seconds are those of the three programs alone, without the making of its scene. openmvs_mesh: after ReconstructMesh;
openmvs_*: after RefineMesh. --colmap: COLMAP's stereo on the same take, which needs a GPU. beside: processors that
other work kept busy meanwhile. Steps finished in --keep are found again there, with what they took.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from measured import spend

from processing.files.camera_models import params_from_cameras
from processing.files.image_files import write_image
from processing.files.ply import read_ply
from processing.files.subject_folder import find_takes
from processing.files.take_folder import read_photos, read_take
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.rendering import resized
from processing.geometry.working_volume import angles_between, common_focus, spread_views
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


def truth_of(folder: Path) -> Path:
    inside = folder / "truth.npz"
    return inside if inside.is_file() else folder.with_name(folder.name + ".truth.npz")


def smaller_take(folder: Path, into: Path, views: int | None, scale: float) -> Path:
    """A take of `views` of the views, spread evenly, at `scale` of their size; its truth beside it."""
    made = into / folder.name
    if (made / "params.json").is_file():
        return made
    take = read_take(folder)
    if views is not None and views < len(take.views):
        chosen = spread_views(angles_between(take.cameras, common_focus(take.cameras)), views)
        take = replace(take, views=tuple(take.views[i] for i in chosen))
    take, images = read_photos(take)
    made.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        write_image(made / f"{i}.jpg", resized(image, scale), jpeg_quality=98)
    (made / "truth.npz").symlink_to(truth_of(folder).resolve())
    (made / "params.json").write_text(json.dumps(params_from_cameras(c.scaled(scale) for c in take.cameras)))
    return made


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
    figures |= score(read_ply(scan), truth_of(folder))
    print(figures, file=sys.stderr)
    return figures


def theirs(folder: Path, scratch: Path, binaries: Path, level: int) -> dict[str, Any]:
    from openmvs import run_openmvs, version, write_scene

    scene = scratch / "openmvs"
    if not (scene / "sparse.json").is_file():
        print("writing OpenMVS's scene: undistorted photographs, cameras, sparse points", file=sys.stderr)
        take, images = read_photos(read_take(folder))
        sparse = write_scene(scene, images, take.cameras)
        (scene / "sparse.json").write_text(json.dumps(sparse))
    spent = run_openmvs(scene, binaries, level)
    truth = truth_of(folder)
    mesh, refined = read_ply(scene / "mesh.ply"), read_ply(scene / "refined.ply")
    figures: dict[str, Any] = {
        "openmvs_version": version(scene),
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


def colmap(folder: Path, scratch: Path) -> dict[str, Any]:
    from colmap_dense import run_colmap, usable, write_workspace

    if not usable():
        return {}
    workspace = scratch / "colmap"
    take, images = read_photos(read_take(folder))
    write_workspace(workspace, images, take.cameras)
    figures = run_colmap(workspace, take.cameras)
    figures["seconds"] = round(sum(value for key, value in figures.items() if key.endswith("_seconds")), 1)
    figures |= score(read_ply(workspace / "mesh.ply"), truth_of(folder))
    print(figures, file=sys.stderr)
    return {f"colmap_{key}": value for key, value in figures.items()}


def find_folders(subject: Path, wanted: str | None) -> list[Path]:
    """The takes of a subject, or those of them that are wanted; the folder itself where it is a take."""
    if (subject / "params.json").is_file():
        return [subject]
    names = wanted.split(",") if wanted else None
    return [folder for folder in find_takes(subject).takes.values() if names is None or folder.name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", type=Path)
    parser.add_argument("--takes", help="some of the takes, as in 1_neutral,2_smile")
    parser.add_argument("--fast", action="store_true", help="the settings of `mien reconstruct --fast`")
    parser.add_argument("--views", type=int, help="so many of the views, spread evenly (default: all)")
    parser.add_argument("--scale", type=float, default=1.0, help="photographs at this share of their size")
    parser.add_argument("--openmvs", type=Path, metavar="BIN_DIR", help="folder of OpenMVS's programs")
    parser.add_argument("--level", type=int, default=0, help="OpenMVS's --resolution-level (default: full size)")
    parser.add_argument("--colmap", action="store_true", help="also COLMAP's stereo, where pycolmap has CUDA")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="scratch folder that stays, and is gone on with")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the last line is always JSON")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        subject = asked.subject or (SUBJECT if SUBJECT.is_dir() else synthetic_takes(Path(temporary)))
        folders = find_folders(subject, asked.takes)
        if not folders:
            parser.error(f"{subject} has none of the takes {asked.takes}")
        takes: list[dict[str, Any]] = []
        peer: dict[str, Any] = {}
        for folder in folders:
            scratch = (asked.keep or Path(temporary)).resolve() / folder.name
            scratch.mkdir(parents=True, exist_ok=True)
            if asked.views is not None or asked.scale != 1.0:
                folder = smaller_take(folder, scratch / "smaller", asked.views, asked.scale)
            takes.append(ours(folder, scratch, FAST if asked.fast else ReconstructionSettings()))
            if folder.name != takes[0]["take"]:
                continue
            if asked.openmvs:
                peer |= theirs(folder, scratch, asked.openmvs.resolve(), asked.level)
            if asked.colmap:
                peer |= colmap(folder, scratch)
    most = ("seconds", "cpu_seconds", "peak_rss_gb", "mean_mm", "p95_mm", "normal_deg")
    worst = {key: max(t[key] for t in takes) for key in most}
    print(json.dumps({**worst, "complete": min(t["complete"] for t in takes), **peer, "takes": takes}))


if __name__ == "__main__":
    main()
