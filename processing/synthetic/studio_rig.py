"""The demo studio's cameras: FaceScape's arrangement of frontal and side cameras, for any count."""

import numpy as np

from processing.errors import DataError
from processing.geometry.cameras import Camera, direction_of, look_at

FEWEST = 6
FRONT_DISTANCE_MM, SIDE_DISTANCE_MM = 980.0, 1050.0


def directions(count: int) -> list[tuple[float, float, bool]]:
    """(azimuth, elevation in degrees, frontal) of each camera; of 68, 30 look at the face and 38 all around."""
    if count < FEWEST:
        raise DataError(f"a rig of {count} cameras cannot see a head; give {FEWEST} or more")
    front = max(4, round(count * 30 / 68))
    around = count - front
    top = 4 if around >= 20 else 0
    places: list[tuple[float, float, bool]] = []
    for elevation, n in _rows(front, (0.0, -22.0, 24.0), 3):
        places += [(az, elevation, True) for az in _spread(-58, 58, n)]
    for elevation, n in _rows(around - top, (-15.0, 14.0), 8):
        places += [(az, elevation, False) for az in _spread(72, 288, n)]
    places += [(float(az), 50.0, False) for az in (-40, 40, 140, 220)[:top]]
    return places


def _spread(start: float, end: float, n: int) -> list[float]:
    """n azimuths from start to end; a single one in the middle."""
    return [(start + end) / 2] if n == 1 else [float(x) for x in np.linspace(start, end, n)]


def _rows(count: int, elevations: tuple[float, ...], least: int) -> list[tuple[float, int]]:
    """Share `count` cameras over rows of at least `least` each: (elevation, cameras) a row."""
    rows = max(1, min(len(elevations), count // least))
    return [(elevations[r], count // rows + (r < count % rows)) for r in range(rows) if count]


def studio_rig(count: int = 68, width: int = 800, height: int = 1200, seed: int = 68) -> list[Camera]:
    """`count` calibrated cameras around a head at the origin, frontal ones first.

    width, height: of every photograph, px. The head fills about three quarters of the height, whatever the size.
    Places, aim, focal length, principal point and distortion vary by a little, the same for the same seed.
    """
    rng = np.random.default_rng(seed)
    cameras = []
    for i, (azimuth, elevation, frontal) in enumerate(directions(count)):
        distance = FRONT_DISTANCE_MM if frontal else SIDE_DISTANCE_MM
        centre = distance * direction_of(azimuth, elevation) + rng.normal(0, 8, 3)
        aim = np.array([0.0, -5.0, 10.0]) + rng.normal(0, 5, 3)
        roll = rng.normal(0, np.radians(1.0))
        focal = 2.55 * min(height, 1.5 * width) * (1 + rng.normal(0, 0.004)) * (1.0 if frontal else 0.95)
        spread = rng.normal(0, height / 200, 2)
        K = np.array([[focal, 0, (width - 1) / 2 + spread[0]], [0, focal, (height - 1) / 2 + spread[1]], [0, 0, 1]])
        distortion = np.array([rng.normal(-0.03, 0.005), rng.normal(0.01, 0.003), *rng.normal(0, 3e-4, 2), 0.0])
        R = look_at(centre, aim, roll)
        cameras.append(
            Camera(K=K, R=R, t=-R @ centre, distortion=distortion, width=width, height=height, name=f"cam-{i:02d}")
        )
    return cameras
