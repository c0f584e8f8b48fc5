"""Where the head is, to begin with: scaled orthography by landmarks of the mean face, then perspective."""

import numpy as np

from common.array_types import Floats
from processing.geometry.procrustes import Degenerate
from processing.single_view.fitting.pose import PhotoPose


def first_pose(
    points_mm: Floats, pixels: Floats, weight: Floats, focal_px: float, size_px: tuple[int, int]
) -> PhotoPose:
    """The pose by which points of a face are seen nearest to pixels, by scaled orthography (DeMenthon and Davis 1995).

    points_mm: (N, 3) of the mean face.  pixels: (N, 2).  weight: (N,).  The optical axis is the picture's middle.
    Raises Degenerate for pixels on one line, or in one place.
    """
    pivot = weight @ points_mm / weight.sum()
    middle = (np.array(size_px) - 1) / 2
    root = np.sqrt(weight)[:, None]
    rows = np.c_[points_mm - pivot, np.ones(len(points_mm))]
    found = np.linalg.lstsq(root * rows, root * pixels, rcond=None)[0]
    first, second = found[:3].T
    sizes = np.linalg.norm([first, second], axis=1)
    if not (np.isfinite(found).all() and sizes.min() > 0.05 * sizes.max() > 0):
        raise Degenerate("the landmarks lie on one line, or in one place: they are not those of a face")
    # The nearest pair of directions at right angles, then the third.
    u, s, vt = np.linalg.svd(np.stack([first, second]), full_matrices=False)
    two = u @ vt
    scale = float(s.mean())
    R = np.stack([two[0], two[1], np.cross(two[0], two[1])])
    depth = focal_px / scale
    place = np.r_[(found[3] - middle) / scale, depth]
    return PhotoPose(R, place, focal_px, pivot, middle, size_px)
