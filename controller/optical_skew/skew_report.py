"""What `mien rig optical-skew` says."""

from dataclasses import asdict
from typing import Any

from common.terminal.figures import milliseconds
from controller.optical_skew.skew_measurement import OpticalSkew, Reading

NAMED = 12


def report_data(found: OpticalSkew, limit_ms: float) -> dict[str, Any]:
    """For programs."""
    return {
        "skew_ms": found.skew_ms,
        "sigma_ms": found.sigma_ms,
        "noise_ms": found.noise_ms,
        "max_skew_ms": limit_ms,
        "cameras": found.cameras,
        "read": len(found.read),
        "complete": found.complete,
        "missing": list(found.missing),
        "readouts_ms": dict(found.readouts_ms),
        "readings": [asdict(reading) for reading in found.readings],
    }


def report_table(found: OpticalSkew) -> tuple[str, list[str], list[list[Any]]]:
    """For people: the latest first, then those that tell nothing."""
    order = sorted(found.readings, key=lambda each: -1.0 if each.moment_ms is None else each.moment_ms, reverse=True)
    rows = [_row(reading) for reading in order]
    rows += [[camera, *["-"] * 5, "no photograph"] for camera in found.missing]
    columns = ["camera", "after the first", "known to", "exposure", "first to last row", "lamps", "problem"]
    return f"LED board read by {len(found.read)} of {found.cameras} cameras", columns, rows


def report_lines(found: OpticalSkew, limit_ms: float) -> list[str]:
    """What it comes to."""
    lines = []
    if found.skew_ms is None:
        lines.append("No exposure skew: it takes two cameras that read the board.")
    else:
        whole = "the rig" if found.complete else f"the {len(found.read)} cameras that read the board"
        last = max(found.read, key=lambda each: each.moment_ms or 0.0).camera
        judged = "within" if found.skew_ms <= limit_ms else "OVER"
        lines.append(
            f"Exposure skew {found.skew_ms:.2f} +- {found.sigma_ms:.2f} ms over {whole}, {judged} {limit_ms:g} ms;"
            f" the last is {last}. Reading errors alone would show {found.noise_ms:.2f} ms."
        )
    unread = [*(each.camera for each in found.readings if each.moment_ms is None), *found.missing]
    if unread and found.skew_ms is not None:
        lines.append(
            f"Read by some cameras only; nothing is known of {_names(unread)}: turn the board to them, or set up a"
            " second one on the same lines."
        )
    for model, readout in sorted(found.readouts_ms.items()):
        lines.append(
            f"Rows of {model or 'these cameras'} follow in {readout:+.1f} ms from first to last (learnt here)."
        )
    over = [reading.camera for reading in found.read if reading.overexposed]
    if over:
        lines.append(f"Lamps are overexposed for {_names(over)}: dim them, or close the aperture.")
    return lines


def _row(reading: Reading) -> list[Any]:
    return [
        reading.camera,
        milliseconds(reading.moment_ms),
        milliseconds(reading.sigma_ms),
        milliseconds(reading.exposure_ms),
        milliseconds(reading.readout_ms),
        reading.pairs or "-",
        reading.problem,
    ]


def _names(cameras: list[str]) -> str:
    more = f" and {len(cameras) - NAMED} more" if len(cameras) > NAMED else ""
    return ", ".join(cameras[:NAMED]) + more
