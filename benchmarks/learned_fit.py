"""The learned fit beside the optimised one: time of a photograph, CD on FS-Lab by pose, and heads raised and bowed.

    OMP_NUM_THREADS=1 python benchmarks/learned_fit.py --lab LAB --model MODEL.npz --weights WEIGHTS.safetensors
        [--people PEOPLE] [--subjects 4] [--methods learned,refined,optimised] [--json]

`regressor_ms` is of one 256-px photograph on one thread, decoded: finding the face (YuNet), two looks at two crops each
(the face and its mirror image), and the face's parameters and camera; the 26,000 vertices and files are not in it.
CD is that of the public evaluator (`published`), mm.

`--people`: held-back subjects as `mien process` leaves them; each is photographed with its head raised and bowed by up
to 40 degrees, in light and lens drawn by `--seed`, and measured as FS-Lab is. A head counts as a success where it was
found, not refused, and its CD is below 10 mm.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from processing.errors import DataError
from processing.evaluation.benchmark_files import Benchmark
from processing.evaluation.lab.folder_source import lab_folders
from processing.evaluation.metrics.evaluate import evaluate_image
from processing.evaluation.metrics.predictions import Prediction, TruthFace
from processing.evaluation.metrics.scores import EvaluationSettings
from processing.evaluation.metrics.view import Perspective, TrueCamera
from processing.face_models.face_model import FaceModel
from processing.face_models.model_file import read_model
from processing.geometry.cameras import Camera, direction_of, upright_rotation
from processing.geometry.mesh import Mesh, submesh
from processing.landmarks.detector import LandmarkDetector
from processing.landmarks.face_finding import MOST_FACES
from processing.learning.regressor.face_regressor import FaceRegressor
from processing.learning.regressor.learned_fit import as_photo_fit
from processing.learning.regressor.learned_fit_files import start_of
from processing.learning.weights_file import read_weights
from processing.single_view.photo_fit import fit_photographs
from processing.single_view.photograph import PhotoFit, Photograph
from processing.synthetic.face_photographs import FacePhotography, drawn_background, drawn_lighting, turned_lighting

METHODS = ("learned", "refined", "optimised")
BOWS_DEG = (-40, -30, -20, -10, 0, 10, 20, 30, 40)
FAILED_MM = 10.0
_QUICK = EvaluationSettings(armse=False, correspondence=False)
Fit = Callable[[Photograph], PhotoFit]


@dataclass(frozen=True)
class Measured:
    """One photograph by one method; no CD where there is no face of it."""

    method: str
    group: str
    cd_mm: float | None
    reason: str = ""


def fitters(model: FaceModel, regressor: FaceRegressor, detector: LandmarkDetector | None) -> dict[str, Fit]:
    """The methods: a photograph to a fit. Each raises DataError."""

    def learned(photograph: Photograph) -> PhotoFit:
        return as_photo_fit(regressor.predict(photograph.image), model, photograph)

    def refined(photograph: Photograph) -> PhotoFit:
        face = regressor.predict(photograph.image)
        start = start_of(face, photograph, face.scores)
        try:
            return fit_photographs(model, [photograph], detector=detector, starts=[start])[0]
        except DataError:
            return as_photo_fit(face, model, photograph)

    def optimised(photograph: Photograph) -> PhotoFit:
        return fit_photographs(model, [photograph], detector=detector)[0]

    return {"learned": learned, "refined": refined, "optimised": optimised}


def measured(
    methods: dict[str, Fit], photograph: Photograph, group: str, truth: TruthFace, camera: TrueCamera, mesh: Mesh
) -> Iterator[Measured]:
    """Each method on one photograph."""
    for name, fit in methods.items():
        try:
            found = fit(photograph)
        except DataError as error:
            yield Measured(name, group, None, str(error))
            continue
        seen = found.camera.camera
        prediction = Prediction(mesh.with_vertices(found.vertices_mm), Perspective(seen.K, seen.R, seen.t))
        scores = evaluate_image(truth, camera, prediction, _QUICK)
        cd = None if scores.published is None else scores.published.cd_mm
        yield Measured(name, group, cd, scores.reason or "")


def on_lab(
    lab: Path, methods: dict[str, Fit], mesh: Mesh, subjects: int, lenses: tuple[int, ...]
) -> Iterator[Measured]:
    """FS-Lab's images of its first subjects; groups are 'pose lens'."""
    benchmark = Benchmark.open(lab)
    codes = sorted({image.subject for image in benchmark.images})[:subjects]
    for code in codes:
        images = [image for image in benchmark.images if image.subject == code]
        truth = benchmark.truth(images[0])
        for image in images:
            lens = int(image.name.split("_")[1])
            if lens in lenses:
                photograph = Photograph(benchmark.picture(image), image.name)
                group = f"{image.pose_deg:.0f} {lens}"
                yield from measured(methods, photograph, group, truth, benchmark.camera(image), mesh)


def bowed_heads(
    people: Path, methods: dict[str, Fit], model: FaceModel, subjects: int, seed: int
) -> Iterator[Measured]:
    """Each person once at each of BOWS_DEG; groups are degrees, positive from above."""
    face = np.asarray(model.topology.face[model.topology.mesh.triangles].all(axis=1))
    for number, folder in enumerate(lab_folders(people)[:subjects]):
        rng = np.random.default_rng([seed, number])
        label = folder.labels[int(rng.integers(len(folder.labels)))]
        subject = folder.read(label)
        photography = FacePhotography(subject.mesh, subject.texture)
        shown = submesh(Mesh(subject.mesh.vertices_mm, subject.mesh.triangles), face)[0]
        truth = TruthFace(shown, centre_mm=subject.mesh.vertices_mm.mean(axis=0))  # the cylinder's axis: the head's
        for bow in BOWS_DEG:
            yaw, distance = rng.uniform(-20, 20), float(np.exp(rng.uniform(np.log(500), np.log(1800))))
            R = upright_rotation(-direction_of(yaw, bow), np.radians(rng.uniform(-10, 10)))
            K = np.array([[256 * distance / 330, 0, 127.5], [0, 256 * distance / 330, 127.5], [0, 0, 1.0]])
            camera = Camera(K, R, np.array([0, 0, distance]) - R @ [0, 0, 40.0], 256, 256)
            light = turned_lighting(drawn_lighting(rng), R)
            image, _ = photography.photograph(camera, lighting=light, background=drawn_background(rng, 256, 256))
            seen = TrueCamera(Perspective(K, camera.R, camera.t), 256, 256)
            photograph = Photograph(image, f"{folder.code}_{bow}")
            yield from measured(methods, photograph, str(bow), truth, seen, model.topology.mesh)


def table(rows: list[Measured]) -> dict[str, dict[str, Any]]:
    """Method -> group -> images, success (a face, below FAILED_MM) and CD's mean."""
    found: dict[str, dict[str, Any]] = {}
    for method in dict.fromkeys(row.method for row in rows):
        for group in dict.fromkeys(row.group for row in rows):
            some = [row for row in rows if row.method == method and row.group == group]
            known = [row.cd_mm for row in some if row.cd_mm is not None]
            found.setdefault(method, {})[group] = {
                "images": len(some), "success": sum(cd < FAILED_MM for cd in known) / max(1, len(some)),
                "cd_mm": round(float(np.mean(known)), 3) if known else None,
            }  # fmt: skip
    return found


def by_pose(rows: list[Measured], method: str) -> dict[str, Any]:
    """CD at 0, 30 and 60 degrees: of the long lens, and of all."""
    found = {}
    for pose in ("0", "30", "60"):
        some = [row for row in rows if row.method == method and row.group.split()[0] == pose]
        every = [row.cd_mm for row in some if row.cd_mm is not None]
        long = [row.cd_mm for row in some if row.cd_mm is not None and row.group.endswith(" 0")]
        found[f"cd_{pose}_deg_long_lens_mm"] = round(float(np.mean(long)), 3) if long else None
        found[f"cd_{pose}_deg_mm"] = round(float(np.mean(every)), 3) if every else None
    return found


def times(regressor: FaceRegressor, photographs: list[Photograph], repeats: int = 5) -> dict[str, float]:
    """Milliseconds of the least disturbed pass over some photographs."""
    taken = []
    for photograph in photographs * repeats:
        begun = time.perf_counter()
        regressor.predict(photograph.image)
        taken.append(1e3 * (time.perf_counter() - begun))
    return {
        "regressor_ms": round(float(np.min(taken)), 2), "regressor_median_ms": round(float(np.median(taken)), 2),
    }  # fmt: skip


def learned_fit_figures(
    lab: Path | None, model: Path, weights: Path, *, people: Path | None = None, subjects: int = 4,
    methods: tuple[str, ...] = ("learned",), lenses: tuple[int, ...] = (0, 1, 2), seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """All that this program measures."""
    face_model = read_model(model)
    regressor = FaceRegressor.open(read_weights(weights, "regressor"), face_model)
    found: dict[str, Any] = {}
    detector = None if methods == ("learned",) else LandmarkDetector(faces=MOST_FACES)
    try:
        some = {name: fit for name, fit in fitters(face_model, regressor, detector).items() if name in methods}
        if lab is not None:
            benchmark = Benchmark.open(lab)
            few = [Photograph(benchmark.picture(image), image.name) for image in benchmark.images[:6]]
            found |= times(regressor, few)
            rows = list(on_lab(lab, some, face_model.topology.mesh, subjects, lenses))
            found |= {name: by_pose(rows, name) for name in some}
            found["lab"] = table(rows)
        if people is not None:
            found["bowed"] = table(list(bowed_heads(people, some, face_model, subjects, seed)))
    finally:
        regressor.close()
        if detector is not None:
            detector.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--lab", type=Path, help="FS-Lab of subjects who are not in the study")
    parser.add_argument("--model", type=Path, required=True, help="the study's face model (.npz)")
    parser.add_argument("--weights", type=Path, required=True, help="of mien learn regressor")
    parser.add_argument("--people", type=Path, help="folder of held-back subjects: heads raised and bowed")
    parser.add_argument("--subjects", type=int, default=4, help="of FS-Lab and of the people, the first")
    parser.add_argument("--methods", default="learned", help=f"of {', '.join(METHODS)}, with commas")
    parser.add_argument("--lenses", default="0,1,2", help="of FS-Lab: 0 long, 1 middle, 2 short")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found = learned_fit_figures(
        asked.lab, asked.model, asked.weights, people=asked.people, subjects=asked.subjects,
        methods=tuple(m for m in METHODS if m in asked.methods.split(",")),
        lenses=tuple(int(lens) for lens in asked.lenses.split(",")), seed=asked.seed,
    )  # fmt: skip
    print(json.dumps(found) if asked.json else json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
