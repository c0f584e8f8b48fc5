"""The public FaceScape evaluator's own methods and ours, on the same meshes.

MIEN_FACESCAPE names a checkout of github.com/zhuhao-nju/facescape. What stands in for its packages, and why, is said in
benchmarks/facescape_evaluator.py; trimesh and embreex are needed.
"""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_benchmark import evaluator_case
from round_heads import RoundHead, orthographic, perspective

from common.array_types import Floats
from processing.evaluation.metrics.evaluate import evaluate_image
from processing.evaluation.metrics.predictions import Prediction, TruthFace
from processing.evaluation.metrics.scores import EvaluationSettings, ImageScores
from processing.evaluation.metrics.view import TrueCamera
from processing.geometry.mesh import Mesh

CHECKOUT = os.environ.get("MIEN_FACESCAPE")
SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "facescape_evaluator.py"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHECKOUT is None, reason="MIEN_FACESCAPE names no checkout of the public evaluator"),
    pytest.mark.skipif(importlib.util.find_spec("embreex") is None, reason="embreex is not installed"),
]
AS_GIVEN = EvaluationSettings(armse=False, correspondence=False, keep_size=True)


@dataclass(frozen=True, eq=False)
class Case:
    name: str
    truth: TruthFace
    camera: TrueCamera
    predicted: Mesh  # in the camera's frame


def _moved(mesh: Mesh, camera: TrueCamera, *, scale: float = 1.0, shift: Floats | None = None) -> Mesh:
    points = camera.view.to_camera(mesh.vertices_mm) * scale
    return mesh.with_vertices(points if shift is None else points + shift)


def _cut(mesh: Mesh, keep: Any) -> Mesh:
    return Mesh(mesh.vertices_mm, mesh.triangles[keep(mesh.vertices_mm[mesh.triangles].mean(axis=1))])


def _cases() -> list[Case]:
    rng = np.random.default_rng(4)
    truth, other = RoundHead.of(1).detailed(0.3).truth(), RoundHead.of(2).mesh()
    noisy = other.with_vertices(other.vertices_mm + rng.normal(0, 0.7, other.vertices_mm.shape))
    holes = _cut(other, lambda p: np.linalg.norm(p - [30, 20, 85], axis=1) > 18)
    half = _cut(other, lambda p: p[:, 0] > -5)
    mask = _cut(other, lambda p: p[:, 2] > 45)
    inner = Mesh(
        np.concatenate([other.vertices_mm, 0.5 * other.vertices_mm + [0, 0, 10]]),
        np.concatenate([other.triangles, other.triangles + len(other.vertices_mm)]),
    )
    small = replace(truth, pupil_mm=58.0)
    front, side, far, near = perspective(), perspective(30, 600), perspective(-60, 1200), perspective(0, 300, 30)
    flat, turned = orthographic(), orthographic(40)
    away, aside = np.array([0, 0, 35.0]), np.array([4.0, -3.0, 0])
    return [
        Case("another face", truth, front, _moved(other, front)),
        Case("nearer", truth, front, _moved(other, front, scale=0.93)),
        Case("aside, noise", truth, side, _moved(noisy, side, scale=1.08, shift=aside)),
        Case("holes", truth, far, _moved(holes, far, shift=away)),
        Case("half a face, from below", truth, near, _moved(half, near)),
        Case("a mask, coarse", truth, side, _moved(mask, side)),
        Case("surfaces behind the face", truth, front, _moved(inner, front)),
        Case("a true head of another size", small, side, _moved(other, side, scale=1.05)),
        Case("orthographic", truth, flat, _moved(other, flat, shift=away + aside)),
        Case("orthographic, turned, noise", truth, turned, _moved(noisy, turned, shift=-away)),
        Case("orthographic, another size, mask", small, turned, _moved(mask, turned, shift=aside)),
    ]


def _theirs(cases: list[Case], folder: Path) -> list[dict[str, Any]]:
    arrays: dict[str, Any] = {"cases": np.array(len(cases))}
    for number, case in enumerate(cases):
        given = evaluator_case(case.truth, case.camera, case.predicted)
        arrays |= {f"{number}/{key}": value for key, value in given.items()}
    np.savez(folder / "cases.npz", **arrays)
    assert CHECKOUT is not None
    words = [sys.executable, str(SCRIPT), CHECKOUT, str(folder / "cases.npz"), str(folder / "theirs.json")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said: list[dict[str, Any]] = json.loads((folder / "theirs.json").read_text())["cases"]
    return said


def _ours(case: Case) -> ImageScores:
    return evaluate_image(case.truth, case.camera, Prediction(case.predicted), AS_GIVEN)


def test_figures_are_those_of_the_public_evaluator(tmp_path: Path) -> None:
    cases = _cases()
    for case, theirs in zip(cases, _theirs(cases, tmp_path), strict=True):
        ours = _ours(case).published
        assert ours is not None, case.name
        assert theirs["error"] is None, (case.name, theirs)
        assert ours.depth_shift_mm == pytest.approx(theirs["shift_mm"], abs=1e-3), case.name
        assert ours.cd_mm == pytest.approx(theirs["cd"], abs=1e-3), case.name
        assert ours.mne_rad == pytest.approx(theirs["mne"], abs=1e-3), case.name
        assert ours.completeness == pytest.approx(theirs["cr"], abs=1e-3), case.name


def test_where_it_fails_ours_has_a_figure(tmp_path: Path) -> None:
    truth, camera = RoundHead.of(1).truth(), perspective()
    perfect = Case("the truth itself", truth, camera, _moved(truth.mesh, camera))
    # A neck that reaches the last row of the cylinder, and a face on it.
    long = truth.mesh.with_vertices(truth.mesh.vertices_mm * [1, 1.6, 1])
    deep = replace(truth, mesh=long)
    neck = Case("down to the last row", deep, camera, _moved(long, camera))
    theirs = _theirs([perfect, neck], tmp_path)
    assert np.isnan(theirs[0]["mne"])
    assert theirs[1]["error"].startswith("IndexError")
    scores = _ours(perfect)
    assert scores.published is not None
    assert scores.published.mne_rad < 1e-6
    assert scores.published.cd_mm < 1e-3
    assert any("NaN" in note for note in scores.notes)
    crashed = _ours(neck).published
    assert crashed is not None
    assert crashed.cd_mm < 1e-3
