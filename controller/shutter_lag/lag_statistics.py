"""Shutter lag of each camera under each settings profile, learnt from every fire whose true exposure moment is known,
and the spread that is left over the rig once commands go out earlier by it.
"""

import math
import statistics
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from camera_nodes.wire import Stamps
from controller.firing.fire_timing import NS_PER_MS
from controller.rig_file import DEFAULT_PROFILE, ExposureEntry, Rig

SHOTS_KEPT = 500
SHOTS_NEEDED = 5


@dataclass(frozen=True)
class ShutterLagEstimate:
    """Lag from command to exposure of one camera."""

    camera: str  # its name
    shots: int  # how many fires it is over
    mean_ms: float  # command to exposure
    sigma_ms: float | None  # standard deviation; None below two shots


class ShutterLagStatistics:
    """Thread-safe; the latest SHOTS_KEPT shots of each camera and profile count."""

    def __init__(self) -> None:
        self._lags_ms: dict[tuple[str, str], deque[float]] = defaultdict(lambda: deque(maxlen=SHOTS_KEPT))
        self._lock = threading.Lock()

    def add(self, stamps: Iterable[Stamps], profile: str = DEFAULT_PROFILE) -> None:
        """Stamps without a true exposure moment tell nothing about the lag and are passed over."""
        with self._lock:
            for stamp in stamps:
                if stamp.exposed_at_ns is not None and stamp.released_at_ns is not None and not stamp.missed:
                    lag_ms = (stamp.exposed_at_ns - stamp.released_at_ns) / NS_PER_MS
                    self._lags_ms[profile, stamp.camera].append(lag_ms)

    def table(self, profile: str = DEFAULT_PROFILE) -> list[ShutterLagEstimate]:
        with self._lock:
            return [
                ShutterLagEstimate(
                    camera, len(lags), statistics.fmean(lags), statistics.stdev(lags) if len(lags) > 1 else None
                )
                for (its_profile, camera), lags in sorted(self._lags_ms.items())
                if its_profile == profile
            ]

    def means_ms(self, profile: str = DEFAULT_PROFILE) -> dict[str, float]:
        """By camera, the mean lag of those that were seen SHOTS_NEEDED times or more."""
        with self._lock:
            return {
                camera: statistics.fmean(lags)
                for (its_profile, camera), lags in self._lags_ms.items()
                if its_profile == profile and len(lags) >= SHOTS_NEEDED
            }


def lag_drifts_ms(kept_ms: Mapping[str, float], observed: Iterable[ShutterLagEstimate]) -> dict[str, float]:
    """By camera, how far its takes have moved from its kept lag: a shutter that wears, or other settings.

    kept_ms: by camera. Cameras that were fired fewer than SHOTS_NEEDED times are left out.
    """
    return {
        one.camera: one.mean_ms - kept_ms[one.camera]
        for one in observed
        if one.shots >= SHOTS_NEEDED and one.camera in kept_ms
    }


def settings_text(profile: ExposureEntry) -> str:
    """The settings that a lag was measured with, as one line; lights do not matter to a shutter."""
    given = [(item.name, getattr(profile, item.name)) for item in fields(profile) if item.name != "scene"]
    return ", ".join(f"{name} {value}" for name, value in given if value) or "as the bodies are"


def with_lags(rig: Rig, lags: Iterable[ShutterLagEstimate]) -> Rig:
    """The rig with the measured lags of the cameras that were fired at least SHOTS_NEEDED times."""
    measured = {lag.camera: lag for lag in lags if lag.shots >= SHOTS_NEEDED}
    cameras = tuple(
        replace(camera, lag_ms=round(found.mean_ms, 3), lag_sigma_ms=round(found.sigma_ms or 0.0, 3))
        if (found := measured.get(camera.name)) is not None
        else camera
        for camera in rig.cameras
    )
    return replace(rig, cameras=cameras)


# --- what is left when the lags are compensated ---

REACH_SIGMAS, STEPS = 8.0, 1600
WELL_BELOW = 0.01  # a rig holds a limit when fewer takes than this share go over it


@dataclass(frozen=True)
class SkewForecast:
    """What the jitter of the lags makes of a take, milliseconds."""

    cameras: int  # how many it is over
    sigma_ms: float  # root mean square over the cameras, the uncertainty of each measured mean included
    range_ms: float  # latest minus earliest of all cameras, expected
    ratio: float  # range_ms / sigma_ms, about 4.7 for 68 cameras
    limit_ms: float  # of the rig file
    over: float  # share of takes whose range goes over limit_ms, 0..1

    @property
    def holds(self) -> bool:
        return self.over < WELL_BELOW

    def text(self) -> str:
        head = (
            f"Jitter left after compensation {self.sigma_ms:.2f} ms; over {self.cameras} cameras expect"
            f" {self.range_ms:.2f} ms ({self.ratio:.1f} sigma) beside the limit of {self.limit_ms:g} ms"
        )
        share = "fewer than 1 take in 10,000" if self.over < 1e-4 else f"{100 * self.over:.2g} % of takes"
        if self.holds:
            return f"{head}: the rig can hold it, {share} will go over."
        return f"{head}: the rig CANNOT hold it, {share} will go over. Wire the releases, or mend the worst cameras."


def outlook(lags: Iterable[ShutterLagEstimate], limit_ms: float) -> SkewForecast | None:
    """What to expect of the cameras with these lags together; None with fewer than two.

    Independent normal residuals, each with its camera's own sigma. The mean that is compensated was measured in
    `shots` exposures and errs by sigma / sqrt(shots); that widens the residual too.
    """
    sigmas = [lag.sigma_ms * math.sqrt(1 + 1 / lag.shots) for lag in lags if lag.sigma_ms is not None and lag.shots > 1]
    if len(sigmas) < 2:
        return None
    rms = math.sqrt(statistics.fmean([sigma**2 for sigma in sigmas]))
    if rms == 0.0:
        return SkewForecast(len(sigmas), 0.0, 0.0, expected_range(len(sigmas)), limit_ms, 0.0)
    wide = expected_range_of(sigmas)
    return SkewForecast(len(sigmas), rms, wide, wide / rms, limit_ms, share_over(sigmas, limit_ms))


def expected_range(cameras: int) -> float:
    """Expected latest-minus-earliest of `cameras` unit normal deviates: 4.7 for 68 (Tippett 1925)."""
    return expected_range_of([1.0] * cameras)


def expected_range_of(sigmas: Sequence[float]) -> float:
    """Expected latest-minus-earliest of independent normal deviates with these standard deviations.

    The integral over x of 1 - P(all below x) - P(all above x) (Tippett 1925, for unequal deviates).
    """
    kinds = _kinds(sigmas)
    total = 0.0
    step = 2 * REACH_SIGMAS * max(sigmas) / STEPS
    for index in range(STEPS + 1):
        x = (index - STEPS / 2) * step
        all_below = all_above = 1.0
        for sigma, count in kinds.items():
            below = _below(x, sigma)
            all_below *= below**count
            all_above *= (1 - below) ** count
        total += (1 - all_below - all_above) * step
    return total


def share_over(sigmas: Sequence[float], limit: float) -> float:
    """Probability that latest minus earliest of independent normal deviates is over `limit`.

    1 minus the integral over the earliest deviate of its density times P(every other one lies within `limit` above it).
    """
    kinds = {sigma: count for sigma, count in _kinds(sigmas).items() if sigma > 0}
    fixed = len(sigmas) - sum(kinds.values())
    if fixed and kinds:  # deviates that do not move count as moving very little
        kinds[min(kinds) * 1e-2] = fixed
    if not kinds:
        return 0.0
    within = 0.0
    step = 2 * REACH_SIGMAS * max(kinds) / (8 * STEPS)
    for index in range(8 * STEPS + 1):
        x = (index - 4 * STEPS) * step
        inside = {sigma: max(_below(x + limit, sigma) - _below(x, sigma), 1e-300) for sigma in kinds}
        every = math.exp(min(0.0, sum(count * math.log(inside[sigma]) for sigma, count in kinds.items())))
        density = sum(
            count * math.exp(-0.5 * (x / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi)) / inside[sigma]
            for sigma, count in kinds.items()
        )
        within += every * density * step
    return min(1.0, max(0.0, 1.0 - within))


def _kinds(sigmas: Sequence[float]) -> dict[float, int]:
    """Equal deviates are counted, so that a whole rig costs what its different cameras cost."""
    kinds: dict[float, int] = defaultdict(int)
    for sigma in sigmas:
        kinds[round(sigma, 4)] += 1
    return dict(kinds)


def _below(x: float, sigma: float) -> float:
    if sigma <= 0:
        return 0.5 if x == 0 else float(x > 0)
    return 0.5 * (1 + math.erf(x / (sigma * math.sqrt(2))))
