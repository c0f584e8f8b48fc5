"""A face model fitted to a scan, beside the non-rigid registration of the same scan, and beside FaceScape's own fitter.

The scan is james (`--data`, default ../shared/data) with its 68 landmarks, or `--scan` with `--landmarks` (found on it
without). `--model`: a face model; without one, one of `--members` synthetic subjects is made first, of their
true shapes (minutes). `--facescape DIR`: a checkout of github.com/zhuhao-nju/facescape; `fit_kp3d` gets the same model
by `mien model export --format facescape`, the same landmarks, and a process of its own.

Seconds are those of the whole command, from files to files. Distances are those of the face to the scan's
surface, of all three by the same measure, and from the scan to the face.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from processing.face_models.face_model import FaceModel
from processing.face_models.fitting.fit_figures import fit_figures
from processing.face_models.model_file import read_model
from processing.files.mesh_files import read_mesh, read_scan
from processing.landmarks.landmark_files import read_landmarks
from processing.registration.correspondence import TargetSurface

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
# FaceScape's fitter as its notebook calls it; the landmarks come from a file, the vertices go to one.
THEIRS = """
import sys, time
import numpy as np
from src.facescape_fitter import facescape_fitter
began = time.perf_counter()
model = facescape_fitter(sys.argv[1], kp2d_backend="none")
loaded = time.perf_counter()
mesh, _ = model.fit_kp3d(np.load(sys.argv[2]))
fitted = time.perf_counter()
np.savez(sys.argv[3], vertices=mesh.vertices, own=model.vert_10to16_dict, read=loaded - began, fit=fitted - loaded)
"""


def mien(*words: object) -> float:
    """Seconds that a command took."""
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "mien", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return time.perf_counter() - begun


def study_model(members: int, folder: Path) -> Path:
    """A model of synthetic subjects, from their true shapes."""
    from processing.face_models.bilinear.build_model import ModelSettings, build_model
    from processing.face_models.blendshapes.rig import Rig, write_rig
    from processing.face_models.model_card import Member
    from processing.face_models.model_file import write_model
    from processing.geometry.topology import topology_id
    from processing.synthetic.face_study import face_study

    rigs, people, template = {}, [], None
    for subject in face_study(members, 17):
        template, truth = subject.template, subject.truth
        rigs[subject.code] = folder / f"{subject.code}.npz"
        people.append(Member(subject.code, subject.age, subject.gender))
        shapes, labels = truth.shapes_mm.astype(np.float32), tuple(subject.meshes)
        weights = np.array([truth.weights[label] for label in labels])
        neutral = subject.neutral_mm.astype(np.float32)
        write_rig(rigs[subject.code], Rig(truth.units, neutral, shapes, topology_id(template.mesh), labels, weights))
    assert template is not None
    write_model(folder / "model.npz", build_model(template, rigs, None, people, ModelSettings()))
    return folder / "model.npz"


def figures(model: FaceModel, vertices: np.ndarray, scan: TargetSurface, landmarks: np.ndarray, of: str) -> dict:
    found = fit_figures(model, vertices, scan, landmarks)
    values = {f"face_{key}": found["face"][key] for key in ("mean_mm", "median_mm", "p95_mm", "covered")}
    values |= {f"scan_to_face_{key}": found["scan_to_face"][key] for key in ("mean_mm", "median_mm", "p95_mm")}
    return {of + key: None if value is None else round(value, 4) for key, value in values.items()}


def by_facescape(checkout: Path, model: Path, landmarks: np.ndarray, folder: Path) -> tuple[np.ndarray, dict]:
    """Vertices in the model's own order, and seconds."""
    mien("model", "export", model, "--format", "facescape", "--out", folder / "facescape_bm.npz")
    np.save(folder / "landmarks.npy", landmarks)
    toolkit, out = checkout.resolve() / "toolkit", folder / "theirs.npz"
    begun = time.perf_counter()
    command = [sys.executable, "-c", THEIRS, *map(str, (folder / "facescape_bm.npz", folder / "landmarks.npy", out))]
    subprocess.run(command, cwd=toolkit, env=os.environ | {"PYTHONPATH": str(toolkit)}, check=True)
    seconds = time.perf_counter() - begun
    with np.load(out) as said:
        times = {"peer_seconds": seconds, "peer_read_seconds": said["read"], "peer_fit_seconds": said["fit"]}
        return said["vertices"][said["own"]], {key: round(float(value), 2) for key, value in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of james/")
    parser.add_argument("--model", type=Path, help="a face model's file (built-in template)")
    parser.add_argument("--members", type=int, default=100, help="of the model that is made without --model")
    parser.add_argument("--scan", type=Path, help="another scan (OBJ, PLY; mm)")
    parser.add_argument("--landmarks", type=Path, help="its landmarks; found on it without")
    parser.add_argument("--unknown-unit", action="store_true", help="the scan's scale is part of the fit")
    parser.add_argument("--rounds", type=int, default=1, help="our best of so many")
    parser.add_argument("--facescape", type=Path, help="a checkout of FaceScape's toolkit: its fitter beside ours")
    parser.add_argument("--no-register", action="store_true", help="leave the non-rigid registration out")
    given = parser.parse_args()
    scan_file = given.scan or given.data / "james/james.obj"
    landmark_file = given.landmarks if given.scan else given.data / "james/james.ljson"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model_file = given.model or study_model(given.members, folder)
        model, scan = read_model(model_file), TargetSurface(read_scan(scan_file))
        marks = np.full((68, 3), np.nan) if landmark_file is None else read_landmarks(landmark_file).points_mm
        words = [] if landmark_file is None else ["--landmarks", landmark_file]
        unit = ["--unknown-unit"] if given.unknown_unit else []
        result: dict[str, object] = {"scan": scan_file.name, "scan_triangles": len(scan.mesh.triangles)}
        result |= {"identities": model.identity_count, "units": len(model.units), "members": model.card.members}
        seconds = min(
            mien("model", "fit", model_file, scan_file, *words, *unit, "--out", folder / "fit")
            for _ in range(given.rounds)
        )
        ours = read_mesh(folder / "fit" / f"{scan_file.stem}.obj").vertices_mm
        result |= {"seconds": round(seconds, 2)} | figures(model, ours, scan, marks, "")
        kept = json.loads((folder / "fit" / f"{scan_file.stem}.fit.json").read_text())
        result |= {"identity_rms": round(kept["figures"]["identity_rms"], 3), "verdict": kept["review"]["verdict"]}
        print(f"fit: {seconds:.1f} s, face {result['face_mean_mm']} mm", file=sys.stderr)
        if not given.no_register:
            seconds = mien("register", scan_file, *words, "--out", folder / "reg", "--size-px", 256)
            registered = read_mesh(folder / "reg" / f"{scan_file.stem}.obj").vertices_mm
            result |= {"register_seconds": round(seconds, 2)} | figures(model, registered, scan, marks, "register_")
            print(f"register: {seconds:.1f} s, face {result['register_face_mean_mm']} mm", file=sys.stderr)
        if given.facescape is not None:
            if not np.isfinite(marks).all():
                raise SystemExit("FaceScape's fitter needs all 68 landmarks: give --landmarks")
            theirs, times = by_facescape(given.facescape, model_file, marks, folder)
            result |= times | figures(model, theirs, scan, marks, "peer_")
            print(f"FaceScape: {times['peer_seconds']} s, face {result['peer_face_mean_mm']} mm", file=sys.stderr)
    if given.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
