"""How many cameras may be missing from a take, and which: by the rig file, and by what the farm needs.

The same rules hold for cameras that are set aside and for a take that is kept without a photograph. Pure: names in,
sentences out.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.rig_file import TIERS, CameraEntry, Rig

FEWEST_VIEWS = 6  # a scan needs so many
SLACK = 1.05  # so that the diagonals of a grid whose cameras stand not quite straight are no neighbours
REACH = 2.0  # times the distance at which the lonelier of two cameras has its nearest one

Neighbours = Mapping[str, frozenset[str]]


def farm_spares(cameras: int) -> int:
    """How many of so many views the farm can do without: a quarter, as long as a scan's six are left.

    A rig of fewer than six is for trying things out, and no scan is made of it: a quarter, but one of two at least.
    """
    if cameras < FEWEST_VIEWS:
        return max(cameras // 4, int(cameras > 1))
    return min(cameras // 4, cameras - FEWEST_VIEWS)


def broken_rules(rig: Rig, out: Collection[str], neighbours: Neighbours) -> list[str]:
    """Each rule that a take without the cameras `out` would break, with what to do; empty when it may be.

    neighbours: of each camera, see neighbours_of; not looked at where the rig file allows neighbours.
    """
    gone = [camera for camera in rig.cameras if camera.name in out]
    limits = rig.aside
    found: list[str] = []
    if len(gone) > limits.max:
        found.append(f"{_cameras(gone)} would be missing, {limits.max} may be ('max' in [aside] of the rig file)")
    for tier in TIERS:
        of_tier = [camera for camera in gone if camera.tier == tier]
        most = getattr(limits, f"max_{tier}")
        if len(of_tier) > most:
            found.append(
                f"{len(of_tier)} {tier} cameras would be missing ({_names(of_tier)}), {most} may be"
                f" ('max_{tier}' in [aside] of the rig file)"
            )
    spares = farm_spares(len(rig.cameras))
    if len(gone) > spares:
        found.append(
            f"{_cameras(gone)} would be missing, and of {len(rig.cameras)} views the farm can do without {spares}:"
            " no scan could be made"
        )
    if not limits.allow_neighbours:
        for one, other in combinations(gone, 2):
            if other.name in neighbours.get(one.name, frozenset()):
                found.append(
                    f"{one.name} and {other.name} stand side by side, so that nobody would see what both see"
                    " (allow_neighbours = true in [aside] of the rig file allows it)"
                )
    return found


def neighbours_of(rig: Rig, calibration: Mapping[str, Any] | None) -> dict[str, frozenset[str]]:
    """The cameras beside each camera of the rig: its nearest one, and those of whom no other separates it.

    Two calibrated cameras are neighbours when no other one stands between them (inside the ball whose diameter joins
    their centres: Gabriel and Sokal 1969) and they are not further apart than twice the distance at which the lonelier
    of the two has its nearest one. Of a camera whose place is not known the neighbours are the next views by number.
    calibration: FaceScape's params.json keys, millimetres; None: there is none.
    """
    centres = {camera.name: c for camera in rig.cameras if (c := _centre(calibration or {}, camera.view)) is not None}
    pairs = set(_beside(centres))
    for one, other in zip(rig.cameras, rig.cameras[1:], strict=False):
        if one.name not in centres or other.name not in centres:
            pairs.add((one.name, other.name))
    found: dict[str, set[str]] = {camera.name: set() for camera in rig.cameras}
    for a, b in pairs:
        found[a].add(b)
        found[b].add(a)
    return {name: frozenset(others) for name, others in found.items()}


def _beside(centres: Mapping[str, NDArray[np.float64]]) -> Iterable[tuple[str, str]]:
    names = list(centres)
    if len(names) < 2:
        return
    places = np.stack([centres[name] for name in names])
    squared = ((places[:, None] - places[None]) ** 2).sum(-1)
    nearest = np.where(np.eye(len(names), dtype=bool), np.inf, squared).min(axis=1)
    for i, j in combinations(range(len(names)), 2):
        # Inside the ball the angle at the third camera is obtuse: the squares of its sides are less than the pair's.
        between = squared[i] + squared[j] < SLACK * squared[i, j]
        between[[i, j]] = False
        lonelier = max(nearest[i], nearest[j])
        if squared[i, j] <= lonelier or (squared[i, j] <= REACH**2 * lonelier and not between.any()):
            yield names[i], names[j]


def _centre(calibration: Mapping[str, Any], view: int) -> NDArray[np.float64] | None:
    """Where a camera stands, mm; None where its calibration is missing, marked invalid or no numbers."""
    if calibration.get(f"{view}_valid") is False:
        return None
    try:
        Rt = np.array(calibration.get(f"{view}_Rt"), dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if Rt.shape != (3, 4) or not np.isfinite(Rt).all():
        return None
    centre = -Rt[:, :3].T @ Rt[:, 3]
    return centre if math.isfinite(float(centre @ centre)) else None


def _cameras(cameras: Collection[CameraEntry]) -> str:
    return f"{len(cameras)} cameras ({_names(cameras)})" if len(cameras) > 1 else _names(cameras)


def _names(cameras: Iterable[CameraEntry]) -> str:
    return ", ".join(camera.name for camera in cameras)
