"""Dynamic detail of one face: milliseconds a map, beside the equations as they are written; how well keys come back.

The face is a subject of the synthetic study (`processing.synthetic.face_study`) with its true rig, 20 key expressions
and their maps: a captured face as it would be without any error of capture. `--face DIR`: a detailed face's folder.

Weights are random: dense ones, every unit anything between 0 and 1; sparse ones, as a phone's tracker gives: a few
units well, the others near nothing or not at all; and such as lie near keys.

`--between` tells how far maps between the keys are from the truth, which synthetic faces have for any expression: by
the equations alone, by the blend that returns the keys, by the neutral's map. Synthetic wrinkles are drawn by one rule
from how far skin is squeezed, and flatter whoever guesses them.

    OMP_NUM_THREADS=1 python benchmarks/dynamic_detail.py [--size-px 1024] [--frames 200] [--between] [--json]
    OMP_NUM_THREADS=1 python benchmarks/dynamic_detail.py --face DIR
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from face_study_model import SEED, true_rig

from common.array_types import Bools, Floats, Floats32
from processing.animation.detail_equations import activation_masks, synthesised, weight_masks
from processing.animation.dynamic_detail import DynamicDetail, KeyedFace
from processing.animation.face_folder import read_keyed_face
from processing.face_models.blendshapes.rig import Rig
from processing.geometry.mesh import Mesh
from processing.synthetic.face_appearance import FaceAppearance, face_appearance
from processing.synthetic.face_study import face_study


@dataclass(frozen=True, eq=False)
class CapturedFace:
    """A synthetic subject as a detailed face, its maps made when they are asked for."""

    rig: Rig
    mesh: Mesh
    look: FaceAppearance

    @property
    def labels(self) -> tuple[str, ...]:
        return self.rig.examples

    @property
    def key_weights(self) -> Floats:
        return self.rig.weights

    def displacement(self, label: str, size_px: int) -> tuple[Floats32, Bools]:
        weights = self.rig.weights[self.rig.examples.index(label)]
        made = self.look.displacement(self.rig.face(weights) if weights.any() else None)
        assert len(made.height_mm) == size_px
        return made.height_mm, made.valid


def captured_face(number: int = 100, *, size_px: int = 1024, vertices: int | None = None) -> CapturedFace:
    """Subject `number` of the study; 100 and more are never trained on."""
    subject = next(iter(face_study(1, SEED, vertices=vertices, first=number, motion_mm=0.0)))
    rig = true_rig(subject)
    return CapturedFace(rig, subject.template.mesh, face_appearance(subject, SEED, number, size_px=size_px))


def dense_weights(rng: np.random.Generator, units: int) -> Floats:
    return np.asarray(rng.uniform(0, 1, units))


def sparse_weights(rng: np.random.Generator, units: int) -> Floats:
    """Eight units of any weight, as many again of less than 0.1; the others are nothing."""
    weights = np.zeros(units)
    chosen = rng.permutation(units)
    weights[chosen[:8]] = rng.uniform(0, 1, 8)
    weights[chosen[8:16]] = rng.uniform(0, 0.1, 8)
    return weights


def median_ms(one: Callable[[], object], times: int) -> tuple[float, float]:
    """Of one core's own time, and by the clock, which other work on the machine lengthens."""
    spent = []
    for _ in range(times):
        begun, cpu = time.perf_counter(), time.process_time()
        one()
        spent.append((time.process_time() - cpu, time.perf_counter() - begun))
    core, clock = 1000 * np.median(spent, axis=0)
    return round(float(core), 2), round(float(clock), 2)


def synthesis_figures(face: KeyedFace, size_px: int = 1024, frames: int = 200, seed: int = 0) -> dict[str, Any]:
    """`synthesis_ms` (of one core, of the slowest kind of weights) and what else is told of it."""
    rng = np.random.default_rng(seed)
    begun = time.perf_counter()
    detail = DynamicDetail.of(face, size_px)
    made_s = time.perf_counter() - begun
    units = len(detail.names)
    detail.displacement(np.zeros(units))  # compiled now
    kinds: dict[str, Callable[[], Floats]] = {
        "dense": lambda: dense_weights(rng, units),
        "sparse": lambda: sparse_weights(rng, units),
        "near_keys": lambda: near_key(rng, detail),
    }
    told: dict[str, Any] = {}
    for name, draw in kinds.items():
        several = [draw() for _ in range(frames)]
        left = iter(several)
        told[f"{name}_ms"], told[f"{name}_clock_ms"] = median_ms(
            lambda left=left: detail.displacement(next(left)), frames
        )
    keys = detail.blend.key_weights
    maps = np.stack([face.displacement(label, size_px)[0] for label in detail.labels])
    told["synthesis_ms"] = max(told["dense_ms"], told["sparse_ms"], told["near_keys_ms"])
    returned = [np.abs(detail.displacement(k) - m).max() for k, m in zip(keys, maps, strict=True)]
    told["keys_returned_mm"] = float(max(returned))
    told["plain_keys_mm"] = [
        round(float(np.abs(detail.displacement(k, plain=True) - m).mean()), 4) for k, m in zip(keys, maps, strict=True)
    ]
    masks = activation_masks(face.rig, face.mesh, size_px)
    weights = sparse_weights(rng, units)
    begun = time.process_time()
    plain = synthesised(maps, weight_masks(masks, keys, weights))
    told["numpy_ms"] = round(1000 * (time.process_time() - begun), 1)
    told["times_numpy"] = round(told["numpy_ms"] / told["synthesis_ms"], 1)
    told["from_numpy_mm"] = float(np.abs(detail.displacement(weights, plain=True) - plain).max())
    return told | {
        "made_s": round(made_s, 1),
        "megabytes": round(detail.bytes / 1e6),
        "coverage": round(detail.coverage, 3),
    }


def near_key(rng: np.random.Generator, detail: DynamicDetail) -> Floats:
    """Weights between nothing and a key's, a little beside it: where the most bumps are."""
    key = detail.blend.key_weights[rng.integers(len(detail.labels))]
    return np.asarray(np.clip(key * rng.uniform(0.2, 1) + rng.normal(0, 0.02, key.shape) * (key > 0), 0, 1))


def between_figures(face: CapturedFace, size_px: int, share: float = 0.5) -> dict[str, float]:
    """Mean errors, mm, over what the face shows, of expressions of which no key has the weights.

    Halfway to each key; and each key, its own map being taken away.
    """
    detail = DynamicDetail.of(face, size_px)
    keys = detail.blend.key_weights
    half: dict[str, list[float]] = {"equations": [], "blend": [], "neutral": []}
    neutral, valid = face.displacement(detail.labels[0], size_px)
    for weights in keys[1:]:
        truth = face.look.displacement(face.rig.face(share * weights)).height_mm
        half["equations"].append(error(detail.displacement(share * weights, plain=True), truth, valid))
        half["blend"].append(error(detail.displacement(share * weights), truth, valid))
        half["neutral"].append(error(neutral, truth, valid))
    return {f"between_{name}_mm": round(float(np.mean(all_)), 5) for name, all_ in half.items()}


def error(found: Floats32, truth: Floats32, valid: Bools) -> float:
    return float(np.abs(found - truth)[valid].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--face", type=Path, help="a detailed face's folder; a synthetic subject without")
    parser.add_argument("--subject", type=int, default=100, help="number of the synthetic subject")
    parser.add_argument("--vertices", type=int, help="of its template, about; all of them without")
    parser.add_argument("--size-px", type=int, default=1024)
    parser.add_argument("--frames", type=int, default=200, help="random weights of each kind")
    parser.add_argument("--between", action="store_true", help="errors between the keys (synthetic alone)")
    asked = parser.parse_args()
    captured = None if asked.face else captured_face(asked.subject, size_px=asked.size_px, vertices=asked.vertices)
    face = captured or read_keyed_face(asked.face)
    told: dict[str, Any] = {"size_px": asked.size_px, "vertices": len(face.rig.neutral_mm)}
    told |= synthesis_figures(face, asked.size_px, asked.frames)
    if asked.between and captured is not None:
        told |= between_figures(captured, asked.size_px)
    for name, value in told.items():
        print(f"{name}: {value}", file=sys.stderr)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
