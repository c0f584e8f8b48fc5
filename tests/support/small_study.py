"""A study of rigs on the small egg, drawn from a known bilinear truth, written as files."""

from pathlib import Path

import numpy as np
from small_model import egg_template, small_model

from common.array_types import Floats
from processing.face_models.blendshapes.rig import Rig, write_rig
from processing.face_models.model_card import Member
from processing.geometry.topology import topology_id
from processing.template.face_units import ARKIT_UNITS

TAKES = 12


def member_rig(number: int, *, rank: int = 5, noise_mm: float = 0.0) -> Rig:
    """The rig of member `number`: a face of `small_model` with `rank` identity parameters; `noise_mm` on each shape."""
    rng = np.random.default_rng([7, number])
    model = small_model(rank, albedo=False)
    identity = model.identity_mean + model.identity_deviation * rng.standard_normal(rank)
    shapes = model.shapes(identity) + noise_mm * rng.standard_normal((53, model.vertex_count, 3))
    weights = (rng.uniform(0, 1, (TAKES, 52)) * (rng.random((TAKES, 52)) < 0.2)).round(3)
    shapes32 = shapes.astype(np.float32)
    takes = tuple(f"{k + 1}_take" for k in range(TAKES))
    return Rig(ARKIT_UNITS, shapes32[0], shapes32[1:], topology_id(egg_template().mesh), takes, weights)


def write_study(folder: Path, count: int, **how: float) -> tuple[dict[str, Path], list[Member]]:
    """Rig files by code, and the members."""
    rigs, members = {}, []
    for number in range(count):
        code = f"S{number + 1:03d}"
        rigs[code] = folder / f"{code}.npz"
        write_rig(rigs[code], member_rig(number, **how))  # type: ignore[arg-type]
        members.append(Member(code, "25-34" if number % 2 else "35-44", ("female", "male", None)[number % 3]))
    return rigs, members


def texture(number: int, size_px: int = 64) -> Floats:
    """(S, S, 3) linear light: skin of a tone of one's own with two patterns, the eyes' white the same to all."""
    rng = np.random.default_rng([9, number])
    y, x = np.mgrid[:size_px, :size_px] / size_px
    tone = np.array([0.45, 0.28, 0.2]) * rng.uniform(0.4, 1.1)
    skin = tone * (1 + 0.2 * rng.standard_normal() * np.sin(6 * x)[..., None])
    return np.asarray((skin * (1 + 0.2 * rng.standard_normal() * np.cos(9 * y)[..., None])).clip(0.01, 0.95))
