"""Whether cameras are in millimetres, told from the size of what they see: a unit is no number in a file."""

from collections.abc import Sequence

import numpy as np

from processing.errors import ReconstructionError
from processing.geometry.cameras import Camera
from processing.geometry.units import in_other_units
from processing.geometry.working_volume import common_focus, looks_at

#: What the longer side of a photograph spans where the cameras look, mm: a face is not framed by less, and a building
#: not by more. Between them no unit but the millimetre puts a rig that frames a head.
SPAN_MM = (120.0, 20_000.0)


def span_at_focus(cameras: Sequence[Camera]) -> float | None:
    """What the longer side of a typical photograph spans at the cameras' common focus, in their unit.

    None where fewer than two cameras look at a common point.
    """
    if len(cameras) < 2:
        return None
    try:
        focus = common_focus(cameras)
    except ReconstructionError:
        return None
    spans = [float(c.depth(focus[None])[0] / c.K[0, 0]) * max(c.width, c.height) for c in cameras if looks_at(c, focus)]
    return float(np.median(spans)) if len(spans) > 1 else None


def other_unit(cameras: Sequence[Camera]) -> str:
    """Why the cameras cannot be in millimetres, and what else they may be in; empty where they can.

    Cameras without a common point say nothing of their unit: the reconstruction says what is wrong with them.
    """
    span = span_at_focus(cameras)
    if span is None or SPAN_MM[0] <= span <= SPAN_MM[1]:
        return ""
    return (
        f"the cameras are not in millimetres: their photographs span {span:.3g} mm where they look, and no face is "
        f"photographed so ({in_other_units(span)})"
    )
