"""Where on the built-in template the detector's 478 points lie, how far off they are, and how that goes with the view.

A detected point lies where its place on the surface is seen, plus a bias that goes with the side from which the head is
seen (far cheeks are guessed), plus an error. All in millimetres at the face, along the picture's axes turned so that
the head is upright.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from common.array_types import Floats, Ints32
from common.bounded.npz_files import read_npz
from common.files.atomic_write import atomic_write
from processing.errors import DataError, ShapeError

POINTS = 478
SKIN_POINTS = 468  # the rest are the irises'
FILE = Path(__file__).parent / "data" / "landmark_places.npz"
SINES = np.sin(np.radians([-80.0, -60.0, -40.0, -20.0, 0.0, 20.0, 40.0, 60.0, 80.0]))  # of the yaw, for deviations


@dataclass(frozen=True, eq=False)
class LandmarkPlaces:
    """The detector's points that lie on skin, on the built-in template."""

    topology: str
    triangles: Ints32  # (468,)
    barycentric: Floats  # (468, 3)
    average_mm: Floats  # (468, 3) there, on the template's own mesh
    landmarks_mm: Floats  # (68, 3) Multi-PIE's, on the same
    bias: Floats  # (10, 468, 2) mm: coefficients of `view_terms`; to the right and up
    deviation: Floats  # (9, 468, 2) mm, at SINES of the yaw

    def __post_init__(self) -> None:
        wanted: dict[str, tuple[int, ...]] = {
            "triangles": (SKIN_POINTS,), "barycentric": (SKIN_POINTS, 3), "average_mm": (SKIN_POINTS, 3),
            "landmarks_mm": (68, 3), "bias": (10, SKIN_POINTS, 2), "deviation": (len(SINES), SKIN_POINTS, 2),
        }  # fmt: skip
        for key, shape in wanted.items():
            if getattr(self, key).shape != shape:
                raise ShapeError(f"landmark places: {key}", getattr(self, key).shape, str(shape))
        if not all(np.isfinite(getattr(self, key)).all() for key in wanted) or (self.deviation <= 0).any():
            raise DataError("landmark places hold what is not a finite number, or a deviation that is none")

    def bias_mm(self, towards: Floats) -> Floats:
        """(468, 2) to the right and up. towards: (3,) unit vector of the model's frame, from the face to the camera."""
        return np.asarray(np.tensordot(view_terms(towards), self.bias, axes=1))

    def deviation_mm(self, towards: Floats) -> Floats:
        """(468, 2) the same axes."""
        at = np.interp(towards[0], SINES, np.arange(len(SINES)))
        low = min(int(at), len(SINES) - 2)
        return np.asarray((low + 1 - at) * self.deviation[low] + (at - low) * self.deviation[low + 1])


def view_terms(towards: Floats) -> Floats:
    """(10, ...) monomials to the third degree of x and y of directions (..., 3)."""
    x, y = towards[..., 0], towards[..., 1]
    one = np.ones_like(x)
    return np.stack([one, x, y, x * x, x * y, y * y, x**3, x * x * y, x * y * y, y**3])


def picture_axes(R: Floats) -> Floats:
    """(2, 2): rows are the directions right and up of an upright head, in the picture (x right, y down).

    R: (3, 3) of the head into the camera's frame.
    """
    up = R[:2, 1]
    length = float(np.linalg.norm(up))
    up = np.array([0.0, -1.0]) if length < 1e-6 else up / length
    return np.stack([np.array([-up[1], up[0]]), up])


def write_places(path: Path, places: LandmarkPlaces) -> None:
    """One small .npz."""
    small = {
        key: getattr(places, key).astype(np.float32)
        for key in ("barycentric", "average_mm", "landmarks_mm", "bias", "deviation")
    }
    with atomic_write(Path(path)) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, topology=np.array(places.topology), triangles=places.triangles, **small)


def read_places(path: Path) -> LandmarkPlaces:
    """What `write_places` wrote. Raises DataError."""
    try:
        arrays = read_npz(Path(path))
        topology, triangles = str(arrays.pop("topology")), arrays.pop("triangles")
        wide = {key: array.astype(np.float64) for key, array in arrays.items()}
        return LandmarkPlaces(topology=topology, triangles=triangles.astype(np.int32), **wide)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no places of landmarks ({error}); install Mien again") from None


@lru_cache(maxsize=1)
def builtin_places() -> LandmarkPlaces:
    """Those that come with Mien."""
    return read_places(FILE)
