"""A calibration as FaceScape's params.json has it, checked before the records keep it."""

import math
from pathlib import Path
from typing import Any

from common.bounded.json_toml import read_json
from common.plain_values import truth_value
from controller.errors import ConfigurationError
from controller.rig_file import Rig

# quality: with covariances, as `mien calibrate` writes it; colour, vignetting: profiles of `mien cameras colours`.
EXTRAS = ("valid", "sn", "matches", "quality", "colour", "vignetting")
SHAPES = {"K": (3, 3), "Rt": (3, 4), "distortion": (5,)}


def read_calibration(path: Path, rig: Rig) -> dict[str, Any]:
    """The keys of every view of the rig, millimetres. Raises ConfigurationError naming the views and keys at fault."""
    try:
        found = read_json(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path}: wanted an object with keys '0_K', '0_Rt', '0_distortion', ...")
    kept: dict[str, Any] = {}
    problems: list[str] = []
    for camera in rig.cameras:
        valid = f"{camera.view}_valid"
        if valid in found:
            meant = truth_value(found[valid])
            if meant is None:
                problems.append(f"{camera.name} (view {camera.view}): {valid} is neither true nor false")
            found[valid] = meant
        if found.get(valid) is False:  # known to be missing: its photographs are not used
            kept |= {key: found[key] for name in EXTRAS if (key := f"{camera.view}_{name}") in found}
            continue
        for name in (*SHAPES, "width", "height"):
            key = f"{camera.view}_{name}"
            if key not in found:
                problems.append(f"{camera.name} (view {camera.view}): {key} is missing")
            elif name in SHAPES and not _fits(found[key], SHAPES[name]):
                wanted = " x ".join(map(str, SHAPES[name]))
                problems.append(f"{camera.name} (view {camera.view}): {key} is not {wanted} finite numbers")
            elif name not in SHAPES and not (type(found[key]) is int and found[key] > 0):
                problems.append(f"{camera.name} (view {camera.view}): {key} is not a size in pixels")
            else:
                kept[key] = found[key]
        kept |= {key: found[key] for name in EXTRAS if (key := f"{camera.view}_{name}") in found}
    if problems:
        more = f"\n  and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise ConfigurationError(f"{path} does not calibrate rig {rig.name}:\n  " + "\n  ".join(problems[:20]) + more)
    return kept | {key: found[key] for key in ("calibration",) if key in found}


def _fits(value: object, shape: tuple[int, ...]) -> bool:
    if not shape:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, list) and len(value) == shape[0] and all(_fits(item, shape[1:]) for item in value)
