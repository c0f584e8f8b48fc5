"""One predicted face measured: seconds an image beside FaceScape's public evaluator, and how far their figures differ.

Faces of a synthetic study in place of its data: each image has a true head, a camera of FS-Lab (or, for a fourth of
them, an orthographic one as FS-Wild has) and another person's head as prediction. Ours measures CD, MNE and CR twice
(as published and exact), and with `all_seconds_per_image` ARMSE, ICP and correspondence as well. `--facescape DIR`: a
checkout of github.com/zhuhao-nju/facescape, its evaluator as it is (benchmarks/facescape_evaluator.py says what stands
in for packages), on the same meshes; trimesh and embreex are needed. Its seconds are those of its defaults, which save
heat meshes, and `evaluator_figures_seconds_per_image` those of the figures alone. Files are read by neither. All are
processor seconds of all threads, so that what else the machine does counts little.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from processing.evaluation.metrics.evaluate import evaluate_image
from processing.evaluation.metrics.predictions import Prediction, TruthFace
from processing.evaluation.metrics.scores import EvaluationSettings
from processing.evaluation.metrics.view import Orthographic, Perspective, TrueCamera
from processing.geometry.cameras import direction_of, look_at
from processing.geometry.mesh import Mesh

_AXES = np.diag([1.0, -1.0, -1.0])  # OpenCV's to OpenGL's
_HALF_PX = 128.0
_BEHIND = 10.0  # units before which the orthographic scene lies


def evaluator_case(truth: TruthFace, camera: TrueCamera, predicted: Mesh) -> dict[str, Any]:
    """A true face and a prediction (camera's frame, mm) as benchmarks/facescape_evaluator.py takes them."""
    size, view = truth.standard_scale, camera.view
    true, centre = view.to_camera(truth.mesh.vertices_mm), view.to_camera(truth.centre[None])[0]
    given = {"true_triangles": truth.mesh.triangles, "predicted_triangles": predicted.triangles}
    if isinstance(view, Perspective):
        K = view.K.copy()
        K[:2, 2] += 0.5  # pixel centres at halves
        points = {"true_vertices": true * size, "predicted_vertices": predicted.vertices_mm, "centre": centre * size}
        return given | points | {"K": K, "R": view.R}
    assert isinstance(view, Orthographic)
    unit_mm = _HALF_PX / view.scale
    middle = (view.t + 0.5 - _HALF_PX) / _HALF_PX

    def in_units(points: np.ndarray) -> np.ndarray:
        return (points / unit_mm + [*middle, _BEHIND]) @ _AXES

    return given | {
        "true_vertices": in_units(true),
        "predicted_vertices": in_units(predicted.vertices_mm),
        "centre": in_units(centre[None])[0],
        "R": _AXES @ view.R,
        "unit_mm": np.array(unit_mm * size),
    }


def camera_of(number: int, centre: np.ndarray) -> TrueCamera:
    """The cameras of FS-Lab in turn; every fourth is orthographic."""
    yaw, focal = (0.0, 30.0, -30.0, 60.0, -60.0)[number % 5], (1200.0, 600.0, 300.0)[number % 3]
    place = centre + 1481.48 * focal / 1200 * direction_of(yaw, 0.0)
    R = look_at(place, centre)
    if number % 4 == 3:
        return TrueCamera(Orthographic(0.9, R, np.array([127.5, 127.5]) - 0.9 * (R @ centre)[:2]))
    return TrueCamera(Perspective(np.array([[focal, 0, 127.5], [0, focal, 127.5], [0, 0, 1.0]]), R, -R @ place))


def images(count: int) -> list[tuple[TruthFace, TrueCamera, Mesh]]:
    from processing.synthetic.face_study import face_study

    people, truths = list(face_study(4, 18)), []
    for person in people:
        mesh, vertices = person.template.mesh, person.neutral_mm
        centre = vertices.mean(axis=0)
        # Without the end of the neck, on which the evaluator stops.
        keep = (vertices[mesh.triangles, 1] > centre[1] - 140).all(axis=1)
        marks = person.template.landmark_points(vertices)
        truths.append(TruthFace(Mesh(vertices, mesh.triangles[keep]), None, None, marks, None, centre))
    made = []
    for number in range(count):
        truth, guess = truths[number % 4], people[(number + 1) % 4]
        camera = camera_of(number, truth.centre)
        made.append((truth, camera, Mesh(camera.view.to_camera(guess.neutral_mm), guess.template.mesh.triangles)))
    return made


def theirs(
    asked: list[tuple[TruthFace, TrueCamera, Mesh]], checkout: Path, flags: list[str]
) -> tuple[list[dict[str, Any]], bool]:
    """What the public evaluator says of each image, and whether it had Embree."""
    arrays: dict[str, Any] = {"cases": np.array(len(asked))}
    for number, (truth, camera, mesh) in enumerate(asked):
        case = evaluator_case(truth, camera, mesh)
        arrays |= {f"{number}/{key}": value for key, value in case.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "cases.npz", **arrays)
        script = Path(__file__).with_name("facescape_evaluator.py")
        words = [script, checkout, folder / "cases.npz", folder / "theirs.json", *flags]
        subprocess.run([sys.executable, *map(str, words)], check=True, stdout=sys.stderr)
        said = json.loads((folder / "theirs.json").read_text())
    return said["cases"], said["embree"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--facescape", type=Path, help="a checkout with the public evaluator")
    parser.add_argument(
        "--pyrender", action="store_true", help="its seconds are those with pyrender (a graphics driver)"
    )
    given = parser.parse_args()
    asked = images(given.images)
    few = EvaluationSettings(armse=False, correspondence=False, keep_size=True)
    evaluate_image(asked[0][0], asked[0][1], Prediction(asked[0][2]))  # compiled
    scores, seconds, all_seconds = [], [], []
    for truth, camera, mesh in asked:
        for settings, kept in ((few, seconds), (EvaluationSettings(), all_seconds)):
            begun = time.process_time()
            answer = evaluate_image(truth, camera, Prediction(mesh), settings)
            kept.append(time.process_time() - begun)
            if settings is few:
                scores.append(answer)
    result: dict[str, Any] = {"images": len(asked), "triangles": len(asked[0][2].triangles)}
    result |= {"seconds_per_image": round(float(np.median(seconds)), 4)}
    result |= {"all_seconds_per_image": round(float(np.median(all_seconds)), 4)}
    print(f"ours: {result['seconds_per_image']} s an image", file=sys.stderr)
    if given.facescape is not None:
        alike, embree = theirs(asked, given.facescape, [])
        as_run, _ = theirs(asked, given.facescape, ["--heat", *(["--pyrender"] if given.pyrender else [])])
        pairs = [(s.published, t) for s, t in zip(scores, alike, strict=True) if t["error"] is None]
        result |= {"compared": len(pairs), "evaluator_embree": embree}
        for key, found in (("evaluator_seconds_per_image", as_run), ("evaluator_figures_seconds_per_image", alike)):
            result[key] = round(float(np.median([t["seconds"] for t in found])), 4)
        for key, ours, of in (
            ("cd_difference_mm", "cd_mm", "cd"),
            ("mne_difference_rad", "mne_rad", "mne"),
            ("cr_difference", "completeness", "cr"),
        ):
            result[key] = max(abs(getattr(s, ours) - t[of]) for s, t in pairs)
        result["times_as_fast"] = round(result["evaluator_seconds_per_image"] / result["seconds_per_image"], 1)
    if given.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
