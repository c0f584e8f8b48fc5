"""Shutter lag of each camera, learnt from every fire whose true exposure moment is known."""

import math
import statistics
import threading
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from camera_nodes.wire import Stamps
from controller.fire import NS_PER_MS
from controller.rig_file import Rig

SHOTS_KEPT = 500
SHOTS_NEEDED = 5


@dataclass(frozen=True)
class Lag:
    """Command to exposure of one camera over `shots` fires, milliseconds. sigma_ms is None below two shots."""

    camera: str
    shots: int
    mean_ms: float
    sigma_ms: float | None


class LagBook:
    """Thread-safe; the latest SHOTS_KEPT shots of each camera count."""

    def __init__(self) -> None:
        self._lags_ms: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=SHOTS_KEPT))
        self._lock = threading.Lock()

    def add(self, stamps: Iterable[Stamps]) -> None:
        """Stamps without a true exposure moment tell nothing about the lag and are passed over."""
        with self._lock:
            for stamp in stamps:
                if stamp.exposed_at_ns is not None and stamp.released_at_ns is not None and not stamp.missed:
                    self._lags_ms[stamp.camera].append((stamp.exposed_at_ns - stamp.released_at_ns) / NS_PER_MS)

    def table(self) -> list[Lag]:
        with self._lock:
            return [
                Lag(
                    camera,
                    len(lags),
                    statistics.fmean(lags),
                    statistics.stdev(lags) if len(lags) > 1 else None,
                )
                for camera, lags in sorted(self._lags_ms.items())
            ]


def with_lags(rig: Rig, lags: Iterable[Lag]) -> Rig:
    """The rig with the measured lags of the cameras that were fired at least SHOTS_NEEDED times."""
    measured = {lag.camera: lag for lag in lags if lag.shots >= SHOTS_NEEDED}
    cameras = tuple(
        replace(camera, lag_ms=round(found.mean_ms, 3), lag_sigma_ms=round(found.sigma_ms or 0.0, 3))
        if (found := measured.get(camera.name)) is not None
        else camera
        for camera in rig.cameras
    )
    return replace(rig, cameras=cameras)


def expected_range(cameras: int) -> float:
    """Expected latest-minus-earliest of `cameras` unit normal deviates: 4.7 for 68 (Tippett 1925)."""
    step = 0.005
    total = 0.0
    for index in range(-1600, 1601):
        below = 0.5 * (1 + math.erf(index * step / math.sqrt(2)))
        total += (1 - below**cameras - (1 - below) ** cameras) * step
    return total


def expected_skew_ms(lags: Iterable[Lag]) -> float | None:
    """What the jitter left after compensation makes of a take: expected range at the cameras' mean-square sigma."""
    sigmas = [lag.sigma_ms for lag in lags if lag.sigma_ms is not None]
    if len(sigmas) < 2:
        return None
    return expected_range(len(sigmas)) * math.sqrt(statistics.fmean([sigma**2 for sigma in sigmas]))
