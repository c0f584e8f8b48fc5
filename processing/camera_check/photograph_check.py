"""Photographs that are blurred, too dark, too bright or saturated beside their neighbours' of the same places."""

from collections.abc import Sequence
from concurrent.futures import Executor

import numpy as np

from common.array_types import Image
from processing.camera_check.feature_network import SparsePoints
from processing.camera_check.report import Action, CameraFinding, Kind
from processing.camera_check.settings import CameraCheckSettings
from processing.geometry.cameras import Camera
from processing.photometry.exposure_gains import solve_gains
from processing.photometry.point_samples import sample_points

_LEAST = 25  # places a photograph must be asked about
_GAMMA = 2.2  # the photographs' encoding: stops are told of light, not of grey levels
_WHOLE_STOPS = 4.0  # where no place can be asked: the whole picture's brightness against the median of all


def judge_photographs(
    images: Sequence[Image],
    cameras: Sequence[Camera],
    working: Sequence[Camera],
    names: Sequence[str],
    sparse: SparsePoints,
    settings: CameraCheckSettings,
    pool: Executor,
) -> dict[int, CameraFinding]:
    """View -> what is wrong with its photograph. working: the cameras of the points' views, for the angles."""
    views = range(len(images))
    asked = sparse.asked(working, settings.widest_deg)
    samples = list(pool.map(lambda v: sample_points(images[v], cameras[v], sparse.points_mm, asked[v]), views))
    log = np.stack([s.log_rgb for s in samples])
    gains = solve_gains(log, least=_LEAST, limit=1000.0)
    detail = np.stack([s.detail for s in samples])
    sharpness = list(pool.map(lambda v: _sharpness(detail, v), views))
    clipped = np.stack([s.clipped for s in samples])
    whole = np.array([np.log2(image[::8, ::8].mean() + 0.5) * _GAMMA for image in images])
    out: dict[int, CameraFinding] = {}
    for v in views:
        ends = samples[v].clipped
        count = int(np.isfinite(ends).sum())
        if count < _LEAST:
            stops = float(whole[v] - np.median(whole))
            if abs(stops) > _WHOLE_STOPS:
                out[v] = _exposure(names[v], stops, "excluded")
            continue
        bright, dark = float((ends == 1).sum() / count), float((ends == -1).sum() / count)
        white = clipped[:, np.isfinite(ends)] == 1
        others = float((white.sum() - white[v].sum()) / max(white.size - count, 1))
        if bright > settings.clipped_drop and bright > 2 * others:
            text = f"saturated: {100 * bright:.0f} % of what its neighbours show is white in it; left out"
            out[v] = CameraFinding(names[v], "saturated", "excluded", text, {"clipped_percent": 100 * bright})
            continue
        if dark > settings.clipped_drop:
            text = f"black: {100 * dark:.0f} % of what its neighbours show is black in it; left out"
            out[v] = CameraFinding(names[v], "dark", "excluded", text, {"clipped_percent": 100 * dark})
            continue
        if gains.known[v]:
            stops = -float(np.log2(gains.gain[v]).mean()) * _GAMMA
            if abs(stops) > settings.exposure_warn_stops:
                drop = abs(stops) > settings.exposure_drop_stops
                out[v] = _exposure(names[v], stops, "excluded" if drop else "kept")
                if drop:
                    continue
        ratio = sharpness[v]
        if ratio is not None and ratio < settings.blur_warn:
            drop = ratio < settings.blur_drop
            text = f"blurred: {100 * ratio:.0f} % of the fine detail that its neighbours show of the same places; "
            text += "left out" if drop else "kept; look at its focus"
            out[v] = CameraFinding(
                names[v], "blurred", "excluded" if drop else "kept", text, {"sharpness_ratio": ratio}
            )
    return out


def _sharpness(detail: np.ndarray[tuple[int, ...], np.dtype[np.float64]], view: int) -> float | None:
    """A view's finest detail over that of the median of the others, at the places that both show."""
    others = np.delete(detail, view, axis=0)
    known = np.isfinite(detail[view]) & (np.isfinite(others).sum(axis=0) >= 2)
    if known.sum() < _LEAST:
        return None
    return float(np.exp(np.median(detail[view, known] - np.nanmedian(others[:, known], axis=0))))


def _exposure(name: str, stops: float, action: Action) -> CameraFinding:
    kind: Kind = "dark" if stops < 0 else "bright"
    side = "under" if stops < 0 else "over"
    done = "left out" if action == "excluded" else "kept; its colours are evened out"
    text = f"{side}exposed by {abs(stops):.1f} stops beside the others; {done}"
    return CameraFinding(name, kind, action, text, {"stops": stops})
