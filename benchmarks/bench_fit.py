"""A face model fitted to photographs, beside the truth, and beside FaceScape's own fitter.

`--model`: a face model over the built-in template, as `face_study_model.py` makes one. `--set DIR`: photographs of
people of known shape as `known_truth.py` makes them (without: `--people` people of `--seed` are made first, minutes).
`--facescape DIR`: a checkout of github.com/zhuhao-nju/facescape; `fit_kp2d` gets the same
model by `mien model export --format facescape`, the same 68 landmarks, and a process of its own.

`seconds` are those of the whole command for one photograph, from file to files; `series_seconds` those of a photograph
among many. `correspondence_mm`: mean distance of corresponding points of the face's skin after a similarity with
scale, of each photograph alone; `_two_mm` and `_eight_mm`: of the same photographs, fitted two and eight together.
`weights_error`: mean absolute error of the expression weights of those units that the people's truth has.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from bench_model_fit import mien
from known_truth import Truth, make_set, read_truth, the_correspondence

from processing.face_models.face_model import FaceModel
from processing.face_models.model_file import read_model
from processing.files.mesh_files import read_mesh
from processing.geometry.procrustes import fit_motion
from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68
from processing.template.template import SKIN

# FaceScape's fitter as its notebook calls it; landmarks come from a file (N, 68, 2), y up; vertices go to one.
THEIRS = """
import sys, time
import numpy as np
from src.facescape_fitter import facescape_fitter
began = time.perf_counter()
model = facescape_fitter(sys.argv[1], kp2d_backend="none")
loaded = time.perf_counter()
own = model.vert_10to16_dict
found, seconds = [], []
for landmarks in np.load(sys.argv[2]):
    start = time.perf_counter()
    mesh, _, _ = model.fit_kp2d(landmarks)
    seconds.append(time.perf_counter() - start)
    found.append(mesh.vertices[own])
np.savez(sys.argv[3], vertices=np.array(found), read=loaded - began, fit=np.array(seconds))
"""


class Scores:
    """What is measured of fits against the truth."""

    def __init__(self, model: FaceModel) -> None:
        self.model = model
        self.face = model.topology.face & (model.topology.parts == SKIN)

    def correspondence_mm(self, vertices: np.ndarray, truth: Truth) -> float:
        used = self.face & np.isfinite(truth.points_mm[:, 0])
        motion = fit_motion(vertices[used], truth.points_mm[used])
        return float(np.linalg.norm(motion(vertices[used]) - truth.points_mm[used], axis=1).mean())

    def weights_error(self, weights: dict[str, float], truth: Truth) -> tuple[float, float]:
        """Of the weights, and of no expression at all."""
        known = np.asarray(truth.of_population, dtype=bool)
        given = np.array([weights.get(unit, 0.0) for unit in truth.units])
        return float(np.abs(given - truth.weights)[known].mean()), float(np.abs(truth.weights)[known].mean())


def fitted(folder: Path, truth: Truth) -> tuple[np.ndarray, dict]:
    """A photograph's mesh and parameters as the command left them."""
    parameters = json.loads((folder / f"{truth.name}.fit.json").read_text())
    return read_mesh(folder / f"{truth.name}.obj").vertices_mm, parameters


def one_by_one(images: Sequence[Path], truths: Sequence[Truth], model: Path, scores: Scores, out: Path) -> dict:
    begun = time.perf_counter()
    words = [sys.executable, "-m", "mien", "face", "fit", *map(str, images), "--each", "--model", str(model)]
    done = subprocess.run([*words, "--out", str(out)], capture_output=True, text=True)
    seconds = time.perf_counter() - begun
    if done.returncode not in (0, 4):
        raise SystemExit(done.stderr)
    found = [(truth, *fitted(out, truth)) for truth in truths if (out / f"{truth.name}.obj").exists()]
    if not found:
        raise SystemExit(f"no photograph was fitted: {done.stdout}")
    off = np.array([scores.correspondence_mm(vertices, truth) for truth, vertices, _ in found])
    weights = np.array([scores.weights_error(said["weights"], truth) for truth, _, said in found])
    figures = [said["figures"] for _, _, said in found]
    front = np.array([abs(figure["yaw_deg"]) < 15 for figure in figures])
    return {
        "series_seconds": seconds / len(images),
        "photographs": len(images),
        "failed": len(images) - len(found),
        "landmark_percent": float(np.mean([figure["landmark_percent"] for figure in figures])),
        "correspondence_mm": float(off.mean()),
        "correspondence_median_mm": float(np.median(off)),
        "correspondence_p95_mm": float(np.quantile(off, 0.95)),
        "correspondence_front_mm": float(off[front].mean()) if front.any() else None,
        "correspondence_turned_mm": float(off[~front].mean()) if (~front).any() else None,
        "weights_error": float(weights[:, 0].mean()),
        "weights_error_of_none": float(weights[:, 1].mean()),
    }


def together(images: Sequence[Path], truths: Sequence[Truth], model: Path, scores: Scores, out: Path) -> list[float]:
    """mm of photographs of one person that are fitted as one."""
    mien("face", "fit", *images, "--model", model, "--out", out)
    return [scores.correspondence_mm(fitted(out, truth)[0], truth) for truth in truths]


def in_groups(count: int, set_: Path, truths: Sequence[Truth], model: Path, scores: Scores, out: Path) -> float | None:
    """Mean mm of groups of `count` photographs of one person."""
    off: list[float] = []
    people = {truth.name[:2]: [t for t in truths if t.name[:2] == truth.name[:2]] for truth in truths}
    for own in people.values():
        for start in range(0, len(own) - count + 1, count):
            group = own[start : start + count]
            images = [set_ / "images" / f"{truth.name}.png" for truth in group]
            off += together(images, group, model, scores, out)
    return float(np.mean(off)) if off else None


def by_facescape(checkout: Path, model: Path, truths: Sequence[Truth], folder: Path, scores: Scores) -> dict:
    """FaceScape's fitter given the landmarks of our detector."""
    mien("model", "export", model, "--format", "facescape", "--out", folder / "facescape_bm.npz")
    landmarks = []
    for truth in truths:
        points = np.array(fitted(folder / "each", truth)[1]["landmarks_px"])[MEDIAPIPE_TO_68]
        landmarks.append(np.c_[points[:, 0], truth.camera.height - points[:, 1] - 1])
    np.save(folder / "landmarks.npy", np.array(landmarks))
    toolkit, out = checkout.resolve() / "toolkit", folder / "theirs.npz"
    command = [sys.executable, "-c", THEIRS, *map(str, (folder / "facescape_bm.npz", folder / "landmarks.npy", out))]
    begun = time.perf_counter()
    subprocess.run(command, cwd=toolkit, env=os.environ | {"PYTHONPATH": str(toolkit)}, check=True)
    whole = time.perf_counter() - begun
    with np.load(out) as said:
        vertices, fit = said["vertices"], said["fit"]
    off, percent = [], []
    for face, seen, truth in zip(vertices, landmarks, truths, strict=True):
        own = scores.model.topology.landmark_points(face)
        eyes = np.linalg.norm(own[36] - own[45])
        percent.append(100 * np.linalg.norm(own[17:, :2] - seen[17:], axis=1).mean() / eyes)
        off.append(scores.correspondence_mm(face, truth))
    return {
        "peer_photographs": len(truths),
        "peer_seconds": whole - float(fit[1:].sum()),  # of the command for one photograph
        "peer_fit_seconds": float(fit.mean()),
        "peer_landmark_percent": float(np.mean(percent)),
        "peer_correspondence_mm": float(np.mean(off)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--model", type=Path, required=True, help="a face model's file (built-in template)")
    parser.add_argument("--set", type=Path, dest="truths", help="photographs of known shape")
    parser.add_argument("--seed", type=int, default=2, help="of the set that is made without --set")
    parser.add_argument("--people", type=int, default=12, help="of the set")
    parser.add_argument("--photographs", type=int, default=8, help="of each")
    parser.add_argument("--rounds", type=int, default=3, help="the command's best of so many")
    parser.add_argument("--alone", action="store_true", help="single photographs alone, no groups")
    parser.add_argument("--facescape", type=Path, help="a checkout of FaceScape's toolkit: its fitter beside ours")
    parser.add_argument("--peer-photographs", type=int, default=4, help="that FaceScape's fitter is given")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model_file = given.model.resolve()
        scores = Scores(read_model(model_file))
        set_ = given.truths or folder / "set"
        if given.truths is None:
            correspondence = the_correspondence(folder / "correspondence.npz")
            make_set(set_, given.seed, range(given.people), given.photographs, correspondence)
        names = [f"{person:02d}_{k}" for person in range(given.people) for k in range(given.photographs)]
        truths = [read_truth(set_ / "truth" / f"{one}.npz") for one in names if (set_ / f"truth/{one}.npz").exists()]
        images = [set_ / "images" / f"{truth.name}.png" for truth in truths]
        mean = [scores.correspondence_mm(scores.model.topology.mesh.vertices_mm, truth) for truth in truths]
        result: dict[str, object] = {"identities": scores.model.identity_count, "members": scores.model.card.members}
        seconds = [
            mien("face", "fit", images[0], "--model", model_file, "--out", folder / f"once{k}")
            for k in range(given.rounds)
        ]
        result |= {"seconds": min(seconds), "mean_face_mm": float(np.mean(mean))}
        result |= one_by_one(images, truths, model_file, scores, folder / "each")
        print(f"one: {result['correspondence_mm']:.2f} mm, {min(seconds):.2f} s", file=sys.stderr)
        if not given.alone:
            for count, word in ((2, "two"), (8, "eight")):
                result[f"correspondence_{word}_mm"] = in_groups(
                    count, set_, truths, model_file, scores, folder / f"by{count}"
                )
                print(f"{word}: {result[f'correspondence_{word}_mm']} mm", file=sys.stderr)
        if given.facescape is not None:
            peers = [t for t in truths if (folder / "each" / f"{t.name}.obj").exists()][:: max(1, given.photographs)]
            result |= by_facescape(given.facescape, model_file, peers[: given.peer_photographs], folder, scores)
        rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in result.items()}
        print(json.dumps(rounded) if given.json else "\n".join(f"{key}: {value}" for key, value in rounded.items()))


if __name__ == "__main__":
    main()
