"""Expression editing beside the truth: renders of people who are not in the model, edited, and rendered anew.

Each person is photographed without an expression, fitted, edited to an expression, and the result compared with the
photograph of that expression under the same camera and light: over the face's box, peak signal-to-noise ratio (dB,
higher is nearer) and structural similarity (1: the same). Beside it the photograph as it was, and a warp without new
shading.

    OMP_NUM_THREADS=1 python benchmarks/bench_edit.py --model model.npz [--people 3] [--json] [--sheet edits.png]
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from common.array_types import Floats, Image
from processing.face_models.face_model import FaceModel
from processing.face_models.model_file import read_model
from processing.geometry.cameras import Camera, direction_of, upright_rotation
from processing.landmarks.detector import LandmarkDetector
from processing.landmarks.face_finding import MOST_FACES
from processing.single_view.editing.edit_files import with_light
from processing.single_view.editing.expression_edit import EditSettings, edit_expression
from processing.single_view.photo_fit import fit_photographs
from processing.single_view.photograph import Photograph
from processing.synthetic.face_appearance import face_appearance
from processing.synthetic.face_photographs import FacePhotography, drawn_background, drawn_lighting, turned_lighting
from processing.synthetic.face_population import Population, population
from processing.synthetic.face_study import StudySubject, study_subject

SEED, FIRST, SIZE = 17, 200, 640
EDITS = {
    "smile": {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "cheekSquintLeft": 0.4, "cheekSquintRight": 0.4},
    "jaw_open": {"jawOpen": 0.6},
    "eyes_closed": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    "brows_up": {"browInnerUp": 0.9, "browOuterUpLeft": 0.9, "browOuterUpRight": 0.9},
}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def psnr(image: Image, truth: Image) -> float:
    return float(10 * np.log10(255**2 / max(np.square(image.astype(float) - truth).mean(), 1e-9)))


def ssim(image: Image, truth: Image) -> float:
    """Of luminance, as Wang et al. 2004: Gaussian windows of 1.5 px."""
    a, b = (cv2.cvtColor(p, cv2.COLOR_BGR2GRAY).astype(np.float64) for p in (image, truth))
    blur = lambda p: cv2.GaussianBlur(p, (11, 11), 1.5)  # noqa: E731
    ma, mb = blur(a), blur(b)
    va, vb, cov = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float((((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma**2 + mb**2 + c1) * (va + vb + c2))).mean())


def studio_camera(yaw: float) -> Camera:
    K = np.array([[1.7 * SIZE, 0, (SIZE - 1) / 2], [0, 1.7 * SIZE, (SIZE - 1) / 2], [0, 0, 1.0]])
    R = upright_rotation(-direction_of(yaw, 3.0))
    return Camera(K, R, np.array([0.0, 0, 620.0]) - R @ [0.0, 0, 30.0], SIZE, SIZE)


@dataclass(frozen=True, eq=False)
class Sitter:
    """A person before one camera under one light."""

    subject: StudySubject
    texture: Image  # (S, S, 3) BGR
    camera: Camera
    light: Floats  # (9, 3), camera axes
    background: Image

    @classmethod
    def number(cls, people: Population, number: int) -> "Sitter":
        subject = study_subject(people, SEED, number)
        texture = face_appearance(subject, SEED, number).texture()[..., ::-1].copy()
        rng = np.random.default_rng([SEED, number, 9])
        camera = studio_camera(float(rng.uniform(-25, 25)))
        light = turned_lighting(drawn_lighting(rng), camera.R)
        return cls(subject, texture, camera, light, drawn_background(rng, SIZE, SIZE))

    def photograph(self, weights: Floats) -> Image:
        neutral = self.subject.neutral_mm
        moved = np.tensordot(weights, self.subject.truth.shapes_mm - neutral, 1)
        posed = self.subject.template.mesh.with_vertices(neutral + moved)
        studio = FacePhotography(posed, self.texture, occlusion_rays=24)
        return studio.photograph(self.camera, lighting=self.light, background=self.background)[0]

    def box(self, model: FaceModel) -> tuple[slice, slice]:
        """Of the face, with room for a jaw that opens."""
        pixels = self.camera.project(self.subject.neutral_mm[model.topology.face])
        (x0, y0), (x1, y1) = pixels.min(axis=0).astype(int), pixels.max(axis=0).astype(int)
        return slice(max(y0 - 10, 0), y1 + 40), slice(max(x0 - 10, 0), x1 + 10)


def edits_of(
    sitter: Sitter, model: FaceModel, detector: LandmarkDetector, seconds: list[float]
) -> tuple[dict[str, list[float]], Image]:
    """Figures of each edit, and the pictures in a row."""
    before = sitter.photograph(np.zeros(len(model.units)))
    fit = fit_photographs(model, [Photograph(before, "render")], detector=detector)[0]
    fit = with_light(model, fit, before)
    box, cells, figures = sitter.box(model), [before], {}
    for name, units in EDITS.items():
        weights = np.zeros(len(model.units))
        for unit, value in units.items():
            weights[model.units.index(unit)] = value
        truth = sitter.photograph(weights)
        begun = time.perf_counter()
        edited = edit_expression(model, fit, before, weights)
        seconds.append(time.perf_counter() - begun)
        plain = edit_expression(model, fit, before, weights, settings=EditSettings(shade=False))
        three = (before[box], plain[box], edited[box])
        figures[name] = [how(picture, truth[box]) for how in (psnr, ssim) for picture in three]
        cells += [edited, truth]
    row = [cv2.resize(cell, (256, 256), interpolation=cv2.INTER_AREA) for cell in cells]
    return figures, np.concatenate(row, axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--people", type=int, default=3)
    parser.add_argument("--sheet", type=Path, help="picture of all edits: before, then edited and true")
    asked = parser.parse_args()
    model, people = read_model(asked.model), population("anny")
    every: list[dict[str, list[float]]] = []
    rows: list[Image] = []
    seconds: list[float] = []
    with LandmarkDetector(faces=MOST_FACES) as detector:
        for number in range(FIRST, FIRST + asked.people):
            figures, row = edits_of(Sitter.number(people, number), model, detector, seconds)
            every.append(figures)
            rows.append(row)
            say(f"person {number}: " + json.dumps({name: np.round(v, 3).tolist() for name, v in figures.items()}))
    if asked.sheet:
        cv2.imwrite(str(asked.sheet), np.concatenate(rows))
    keys = [f"{how}_{what}" for what in ("psnr_db", "ssim") for how in ("unedited", "plain", "edited")]
    told = {}
    for name in EDITS:
        told[name] = dict(zip(keys, np.mean([f[name] for f in every], axis=0).round(4).tolist(), strict=True))
    whole = np.mean([f[name] for f in every for name in EDITS], axis=0).round(4).tolist()
    said = {"seconds": round(float(np.median(seconds)), 3), "people": asked.people, "pixels": SIZE}
    print(json.dumps({**said, "all": dict(zip(keys, whole, strict=True)), **told}))


if __name__ == "__main__":
    main()
