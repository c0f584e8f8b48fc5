"""Displacement maps as OpenEXR: heights in millimetres as they are, for renderers and sculpting programs.

Channel `Y` holds the height (float), channel `valid` 1 where it was measured (half).  The header says `unit` mm,
`scale_mm` 1 and `midpoint` 0: height_mm = (value - midpoint) * scale_mm.
"""

from pathlib import Path

import numpy as np

from common.bounded.decoder_pool import decode
from common.bounded.limits import MAX_MAP_BYTES
from common.files.atomic_write import atomic_write
from processing.files.displacement_map import (
    DisplacementMap,
    DisplacementMapError,
    agreed_scale_mm,
    check_finite,
    check_square,
)

FORMULA = "height_mm = (value - midpoint) * scale_mm"


def write_displacement_exr(path: Path, displacement: DisplacementMap) -> None:
    """One EXR file, lossless (ZIP), whole or not at all.

    Raises DisplacementMapError for heights that are not finite.
    """
    import OpenEXR

    check_finite(displacement.height_mm)
    about = {"unit": "mm", "scale_mm": 1.0, "midpoint": 0.0, "formula": FORMULA}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage} | about
    channels = {"Y": np.ascontiguousarray(displacement.height_mm), "valid": displacement.valid.astype(np.float16)}
    with atomic_write(Path(path)) as temporary, OpenEXR.File(header, channels) as file:
        file.write(str(temporary))


def read_displacement_exr(path: Path, *, scale_mm: float | None = None) -> DisplacementMap:
    """What write_displacement_exr wrote, or another program's one-channel EXR with its scale_mm (mm a unit) given.

    Raises DisplacementMapError for a file that is no square one-channel EXR, is cut short, or has no scale from
    anywhere.
    """
    path = Path(path)
    if not path.is_file():
        raise DisplacementMapError(f"{path} is not there")
    try:
        arrays, about = decode("exr", path, most=MAX_MAP_BYTES)
        header, channels = about["header"], dict(zip(about["channels"], arrays, strict=True))
    except (OSError, ValueError) as error:
        raise DisplacementMapError(f"{path} cannot be read as an EXR: {error}") from None
    heights = [name for name in ("Y", "Z", "R", "height") if name in channels]
    if not heights:
        raise DisplacementMapError(
            f"{path} has the channels {', '.join(channels)}; a displacement map has Y (or Z, R, height)"
        )
    values = channels[heights[0]]
    check_square(path, values)
    try:
        own = float(header["scale_mm"]) if "scale_mm" in header else None
        midpoint = float(header.get("midpoint", 0.0))
    except ValueError as error:
        raise DisplacementMapError(f"{path}: its scale cannot be read ({error})") from None
    scale = agreed_scale_mm(path, own, scale_mm, "a value of 1")
    height = ((values.astype(np.float64) - midpoint) * scale).astype(np.float32)
    if not np.isfinite(height).all():
        raise DisplacementMapError(f"{path} has heights that are not finite")
    if "valid" in channels and channels["valid"].shape != values.shape:
        raise DisplacementMapError(
            f"{path} says of {channels['valid'].shape} texels where it was measured; it has {values.shape}"
        )
    valid = channels["valid"] > 0.5 if "valid" in channels else np.ones(values.shape, dtype=np.bool_)
    return DisplacementMap(height, np.asarray(valid, dtype=np.bool_))
