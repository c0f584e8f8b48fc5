"""The bilinear model of a whole study from its files, beside tensorly and beside principal components.

1. `--identities` rigs of 52 units on a template of `--vertices`, made cheaply on disk (14 GB at the study's size: see
   `--work`), become a model in a process of its own: seconds, memory, how long the model's file takes to read.
2. A tensor of 40 x 12 x 3,000 values: the factors' subspaces against tensorly's partial Tucker of the same ranks.
3. A study with known truth (`--train` subjects, `--held-out` more): every take of people who are not in the model is
   fitted, beside as many principal components as the model has parameters.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measured import spend

from processing.face_models.bilinear.build_model import ModelSettings, build_model
from processing.face_models.bilinear.shape_tensor import ShapesInMemory, ShapeTensor
from processing.face_models.bilinear.tucker import tucker
from processing.face_models.blendshapes.rig import Rig, write_rig
from processing.face_models.fitting.vertex_fit import fit_vertices
from processing.face_models.model_card import Member
from processing.face_models.model_file import read_model, write_model
from processing.geometry.mesh import Mesh
from processing.geometry.procrustes import fit_motion
from processing.geometry.topology import topology_id
from processing.synthetic.face_study import StudySubject, face_study
from processing.template.anny_head import load_head
from processing.template.builtin_template import default_template, template_topology
from processing.template.face_units import ARKIT_UNITS, topology_units
from processing.template.template import SKIN, from_mesh, place_landmarks
from processing.template.template_file import read_template, write_template

NOISE_MM = 0.02  # where a unit moves something, as in personal rigs
TAKES = 19


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--identities", type=int, default=847, help="subjects of the study that is built from files")
    parser.add_argument("--vertices", type=int, default=26_317, help="of its template")
    parser.add_argument("--parameters", type=int, default=50, help="identity parameters of the models")
    parser.add_argument(
        "--train", type=int, default=100, help="subjects of the study with known truth; 0: leave it out"
    )
    parser.add_argument("--held-out", type=int, default=20, help="subjects beside them")
    parser.add_argument("--takes", type=int, default=5, help="takes of each that are fitted")
    parser.add_argument("--work", type=Path, help="folder for the study's files; they are removed afterwards")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    args = parser.parse_args()
    if args.build:
        build(args.build, args.parameters)
        return 0
    figures: dict[str, Any] = {}
    if args.identities:
        figures |= whole_study(args.identities, args.vertices, args.parameters, args.work)
    figures |= beside_tensorly()
    if args.train:
        figures |= held_out(args.train, args.held_out, args.takes, args.parameters)
    print(json.dumps(figures) if args.json else json.dumps(figures, indent=2))
    return 0


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def whole_study(identities: int, vertices: int, parameters: int, work: Path | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=work, prefix="bench-bilinear-") as name:
        folder = Path(name)
        need = identities * vertices * 53 * 3 * 4
        if shutil.disk_usage(folder).free < 1.1 * need:
            raise SystemExit(f"{folder} has no room for {need / 1e9:.1f} GB; name another folder with --work")
        begun = time.perf_counter()
        count = write_rigs(folder, identities, vertices)
        say(f"{identities} rigs of {count} vertices, {need / 1e9:.1f} GB, in {time.perf_counter() - begun:.0f} s")
        spent = spend([sys.executable, __file__, "--build", folder, "--parameters", str(parameters)])
        path = folder / "model.npz"
        begun = time.perf_counter()
        model = read_model(path)
        read = time.perf_counter() - begun
        begun = time.perf_counter()
        model.shapes(model.identity_mean)
        return {
            "seconds": spent.seconds,
            "cpu_seconds": spent.cpu_seconds,
            "peak_rss_gb": spent.peak_rss_gb,
            "beside": spent.beside,
            "identities": identities,
            "expressions": 1 + len(model.units),
            "vertices": count,
            "data_gb": round(need / 1e9, 2),
            "model_mb": round(path.stat().st_size / 1e6, 1),
            "read_seconds": round(read, 2),
            "shapes_seconds": round(time.perf_counter() - begun, 2),
            "members_rms_mm": model.card.figures["members_reproduced_rms_mm"],
            "variance_explained": model.card.figures["variance_explained"][-1],
        }


def write_rigs(folder: Path, identities: int, vertices: int) -> int:
    """A template and rigs that follow from the seed: people of the built-in population, units of their own amplitude
    and place, noise."""
    head, topology = load_head(), template_topology(vertices)
    average = topology.vertices(head.vertices_mm)
    mesh = Mesh(average, topology.refinement.triangles)
    built_in = default_template()
    points = built_in.landmark_points(built_in.mesh.vertices_mm)
    skin = (topology.parts[mesh.triangles] == SKIN).all(axis=1)
    template = from_mesh("bench", mesh, *place_landmarks(mesh, points, skin), parts=topology.parts)
    write_template(folder / "template.npz", template)
    units = topology_units(topology).astype(np.float32)
    moved = (np.abs(units).max(axis=2, keepdims=True) > 1e-3).astype(np.float32)
    pool = np.random.default_rng(0).normal(0, NOISE_MM, 3 * units.size).astype(np.float32)
    for number in range(identities):
        rng = np.random.default_rng([1, number])
        neutral = topology.vertices(head.identity(rng)[1]).astype(np.float32)
        wave = np.cos(average @ rng.normal(0, 0.02, (3, 4)) + rng.uniform(0, 6.3, 4)).astype(np.float32)
        change = 1 + 0.3 * rng.standard_normal((52, 1)).astype(np.float32) + 0.1 * rng.standard_normal((52, 4)) @ wave.T
        start = int(rng.integers(pool.size - units.size - neutral.size))
        noise = pool[start : start + units.size].reshape(units.shape) * moved
        shapes = neutral + units * change[..., None].astype(np.float32) + noise
        weights = (rng.random((TAKES, 52)) * (rng.random((TAKES, 52)) < 0.2)).round(3)
        labels = tuple(f"{k}_take" for k in range(TAKES))
        rig = Rig(ARKIT_UNITS, neutral, shapes, topology_id(mesh), labels, weights)
        write_rig(folder / f"S{number + 1:04d}.npz", rig)
    return len(average)


def build(folder: Path, parameters: int) -> None:
    """The measured process."""
    rigs = {path.stem: path for path in sorted(folder.glob("S*.npz"))}
    members = [Member(code, "25-34", ("female", "male")[i % 2]) for i, code in enumerate(rigs)]
    last = [0.0]

    def progress(done: float, message: str) -> None:
        if done - last[0] > 0.1:
            last[0] = done
            say(f"{100 * done:3.0f} % {message}")

    template = read_template(folder / "template.npz")
    model = build_model(template, rigs, None, members, ModelSettings(identities=parameters), progress=progress)
    write_model(folder / "model.npz", model)


def beside_tensorly(seed: int = 3) -> dict[str, Any]:
    """40 members x 12 shapes x 1,000 vertices, ranks 10 and 6: sines of the largest angles between the subspaces."""
    rng = np.random.default_rng(seed)
    core = rng.standard_normal((40, 12, 1000, 3))
    core *= 0.8 ** np.arange(40)[:, None, None, None] * 0.7 ** np.arange(12)[:, None, None]
    data = np.einsum("ai,bj,ijvd->abvd", rotation(rng, 40), rotation(rng, 12), core, optimize=True).astype(np.float32)
    members = [ShapesInMemory(np.ascontiguousarray(member.transpose(1, 0, 2))) for member in data]
    tensor = ShapeTensor(members, 12, slab_values=200_000)
    begun = time.perf_counter()
    ours = tucker(tensor, 10, 6, sweeps=40)
    ours_seconds = time.perf_counter() - begun
    figures: dict[str, Any] = {
        "ours_seconds": round(ours_seconds, 2),
        "hosvd_lost": 1 - ours.kept2[0] / ours.norm2,
        "hooi_lost": 1 - ours.kept2[-1] / ours.norm2,
        "hooi_never_worse": list(ours.kept2) == sorted(ours.kept2),
    }
    try:
        from tensorly.decomposition import partial_tucker
    except ImportError:
        say("tensorly is not here: pip install tensorly")
        return figures | {"tensorly_angle": None}
    begun = time.perf_counter()
    whole = data.astype(np.float64).reshape(40, 12, 3000)
    (_, factors), _ = partial_tucker(whole, rank=[10, 6], modes=[0, 1], init="svd", n_iter_max=100, tol=1e-15)
    kept = np.einsum("abp,ai,bj->ijp", whole, *factors, optimize=True)
    angles = [sine(a, b) for a, b in zip((ours.identity, ours.expression), factors, strict=True)]
    return figures | {
        "tensorly_angle": max(angles),
        "tensorly_seconds": round(time.perf_counter() - begun, 2),
        "tensorly_lost": 1 - float(np.square(kept).sum() / np.square(whole).sum()),
    }


def rotation(rng: np.random.Generator, size: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((size, size)))[0]


def sine(a: np.ndarray, b: np.ndarray) -> float:
    """Of the largest angle between two subspaces with orthonormal columns."""
    return float(np.linalg.norm(b - a @ (a.T @ b), 2))


def held_out(train: int, test: int, takes: int, parameters: int, vertices: int = 2000, seed: int = 5) -> dict[str, Any]:
    """Mean distance of the skin's vertices, mm, over takes of people who are in neither model."""
    say(f"a study of {train} and {test} subjects")
    with tempfile.TemporaryDirectory() as name:
        folder, rigs, members, faces = Path(name), {}, [], []
        for subject in face_study(train, seed, vertices=vertices):
            rigs[subject.code] = folder / f"{subject.code}.npz"
            write_rig(rigs[subject.code], true_rig(subject))
            members.append(Member(subject.code, None, subject.gender))
            faces += [still(subject, label) for label in subject.meshes]
            template = subject.template
        model = build_model(template, rigs, None, members, ModelSettings(identities=parameters))
    skin = template.parts == SKIN
    components = model.identity_count + len(model.units)
    pca = Components(np.array(faces), components)
    ours, theirs, seconds = [], [], []
    for subject in face_study(test, seed, vertices=vertices, first=train):
        for label in list(subject.meshes)[:: max(1, len(subject.meshes) // takes)][:takes]:
            mesh = subject.meshes[label]
            begun = time.perf_counter()
            fit = fit_vertices(model, mesh)
            seconds.append(time.perf_counter() - begun)
            ours.append(np.linalg.norm(fit.vertices_mm - mesh, axis=1)[skin])
            theirs.append(np.linalg.norm(pca.fit(mesh, skin) - mesh, axis=1)[skin])
    return {
        "train": train, "held_out": test, "takes": len(ours), "parameters": components,
        "heldout_mm": round(float(np.mean(ours)), 4), "pca_heldout_mm": round(float(np.mean(theirs)), 4),
        "heldout_p95_mm": round(float(np.quantile(ours, 0.95)), 3),
        "pca_heldout_p95_mm": round(float(np.quantile(theirs, 0.95)), 3),
        "fit_seconds": round(float(np.median(seconds)), 3),
    }  # fmt: skip


def true_rig(subject: StudySubject) -> Rig:
    truth, topology = subject.truth, topology_id(subject.template.mesh)
    labels = tuple(truth.weights)
    weights = np.stack([truth.weights[label] for label in labels])
    return Rig(truth.units, subject.neutral_mm.astype(np.float32), truth.shapes_mm, topology, labels, weights)


def still(subject: StudySubject, label: str) -> np.ndarray:
    """A take without the head's motion."""
    R, t = subject.truth.motions[label]
    return (subject.meshes[label] - t) @ R


class Components:
    """Principal components of faces (N, V, 3), and the face of them that is nearest to a mesh in any pose."""

    def __init__(self, faces: np.ndarray, count: int) -> None:
        self.mean = faces.mean(axis=0)
        away = (faces - self.mean).reshape(len(faces), -1)
        self.basis = np.linalg.svd(away, full_matrices=False)[2][:count]

    def fit(self, mesh: np.ndarray, skin: np.ndarray) -> np.ndarray:
        face = self.mean
        basis = self.basis.reshape(len(self.basis), -1, 3)[:, skin].reshape(len(self.basis), -1)
        for _ in range(10):
            motion = fit_motion(face[skin], mesh[skin], with_scale=False)
            here = (mesh - motion.t) @ motion.R
            amount = np.linalg.lstsq(basis.T, (here - self.mean)[skin].ravel(), rcond=None)[0]
            face = self.mean + (amount @ self.basis).reshape(-1, 3)
        return motion(face)


if __name__ == "__main__":
    sys.exit(main())
