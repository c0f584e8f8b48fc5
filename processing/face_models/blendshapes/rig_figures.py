"""What a rig says of itself: how near it comes to its examples, by region; how its units differ from generic ones."""

from typing import Any

import numpy as np

from common.array_types import Bools, Floats
from processing.face_models.blendshapes.neutral_check import check_neutral
from processing.face_models.blendshapes.rig import Rig
from processing.scan_quality.verdict import Findings, Limits, QualityReview
from processing.template.face_regions import face_regions
from processing.template.face_units import MOVES_MM
from processing.template.template import SKIN, Template

EXAMPLES_MM: Limits = (0.5, 1.5)  # most mean distance of an example from what the rig makes of its weights
LEARNED: Limits = (0.6, 0.2)  # least share of the units that the protocol shows which the examples taught


def residuals(rig: Rig, examples_mm: Floats) -> Floats:
    """(E, V) mm: how far each example (E, V, 3), head motion removed, is from the rig at its weights."""
    out = np.empty(examples_mm.shape[:2])
    for number, example in enumerate(examples_mm):
        out[number] = np.linalg.norm(rig.face(rig.weights[number]) - example, axis=1)
    return out


def example_figures(template: Template, rig: Rig, examples_mm: Floats) -> dict[str, Any]:
    """Of each example by its label: mean and 95 % over the skin that counts, the mean by region."""
    skin = (template.parts == SKIN) & (template.weights > 0.5)
    regions = face_regions(template)
    figures: dict[str, Any] = {}
    for label, distance in zip(rig.examples, residuals(rig, examples_mm), strict=True):
        figures[label] = {
            "mean_mm": _round(distance[skin].mean()),
            "p95_mm": _round(np.quantile(distance[skin], 0.95)),
            "regions": {name: _round(distance[at].mean()) for name, at in regions.items() if at.any()},
        }
    return figures


def unit_figures(rig: Rig, transferred_mm: Floats, learned: Bools) -> dict[str, Any]:
    """Of each unit by its name: whether examples taught it, how strong it is beside the generic one, how far off it.

    transferred_mm: (U, V, 3) absolute.
    """
    figures: dict[str, Any] = {}
    neutral = rig.neutral_mm.astype(np.float64)
    for number, name in enumerate(rig.names):
        own, generic = rig.shapes_mm[number] - neutral, transferred_mm[number] - neutral
        moved = np.square(generic).sum(axis=1) > MOVES_MM**2
        size = float(np.square(generic).sum())
        off = np.linalg.norm(own - generic, axis=1)
        figures[name] = {
            "learned": bool(learned[number]),
            "strength": _round((own * generic).sum() / size) if size > 1e-9 else None,
            "personal_mm": _round(off[moved].mean()) if moved.any() else 0.0,
            "most_weight": _round(rig.weights[:, number].max(initial=0.0)),
        }
    return figures


def review_rig(template: Template, rig: Rig) -> QualityReview:
    """The verdict on a rig of `build_rig`: its neutral, its examples, how much it learned."""
    neutral = check_neutral(template, rig.neutral_mm.astype(np.float64))
    found = Findings()
    for reason in neutral.reasons:
        found.add(neutral.verdict, reason)
    for label, one in rig.figures["examples"].items():
        found.at_most(one["mean_mm"], EXAMPLES_MM, f"{label} is reproduced to {one['mean_mm']:.2f} mm on average")
    learned = [name for name, one in rig.figures["units"].items() if one["learned"]]
    missing = rig.figures["missing"]
    share = len(learned) / max(len(rig.names), 1)
    without = f"; missing: {', '.join(missing)}" if missing else ""
    found.at_least(share, LEARNED, f"{len(learned)} of {len(rig.names)} units were learned{without}")
    means = [one["mean_mm"] for one in rig.figures["examples"].values()]
    return found.review(
        {
            "examples_mm": _round(np.mean(means)) if means else None,
            "units_learned": len(learned),
            "units_transferred": sorted(set(rig.names) - set(learned)),
            "missing": missing,
            "neutral": dict(neutral.figures),
        }
    )


def _round(value: float) -> float:
    return round(float(value), 4)
