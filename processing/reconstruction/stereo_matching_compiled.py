"""Stereo matching on the CPU: the kernels of `compiled_kernels` behind the protocol of `stereo_matching`."""

from collections.abc import Sequence

import cv2
import numpy as np

from common.array_types import Floats, Floats32, Gray
from processing.errors import ShapeError
from processing.geometry.cameras import Camera
from processing.reconstruction.compiled_kernels import block_matching
from processing.reconstruction.compiled_kernels.block_matching import WIDE, match_blocks
from processing.reconstruction.image_regions import Pixels, Region
from processing.reconstruction.stereo_matching import DepthSearch, projection


class CompiledKernels:
    """The kernels of the CPU."""

    def sweep(
        self,
        image: Gray,
        camera: Camera,
        others: Sequence[tuple[Gray, Camera]],
        depths_mm: Floats,
        window: int,
        best: int,
    ) -> tuple[Gray, Gray]:
        """See `stereo_matching.Kernels`."""
        pixels = Region(0, image.shape[0], 0, image.shape[1]).of(image)
        nothing = np.zeros(image.shape, np.float32)
        at, score = _matched(pixels, camera, others, nothing, depths_mm, window, best)
        return np.interp(at, np.arange(len(depths_mm)), depths_mm).astype(np.float32), score

    def refine(
        self,
        pixels: Pixels,
        camera: Camera,
        others: Sequence[tuple[Gray, Camera]],
        depth: Gray,
        search: DepthSearch,
    ) -> tuple[Gray, Gray]:
        """See `stereo_matching.Kernels`."""
        offsets = np.arange(-search.reach, search.reach + 1, dtype=np.float64) * search.step_mm
        at, score = _matched(pixels, camera, others, depth, offsets, search.window, search.best)
        return depth + (at - search.reach) * np.float32(search.step_mm), score


def _matched(
    pixels: Pixels,
    camera: Camera,
    others: Sequence[tuple[Gray, Camera]],
    depth: Gray,
    offsets: Floats,
    window: int,
    best: int,
) -> tuple[Gray, Gray]:
    """The best of the hypotheses depth + offsets, from 0, and its score."""
    step = WIDE - window + 1
    if step < 1:
        raise ShapeError("window", (window, window), f"at most {WIDE} px wide")
    greys = [_whole(grey) for grey, _ in others]
    middle = np.array([camera.width / 2, camera.height / 2])
    halo = window // 2, -depth.shape[1] % step
    at, score = np.empty(depth.shape, np.float32), np.empty(depth.shape, np.float32)
    match_blocks(
        block_matching.Pixels(
            _mirrored(pixels.grey, *halo),
            _mirrored(pixels.x - middle[0], *halo),
            _mirrored(pixels.y - middle[1], *halo),
            _mirrored(depth, *halo),
        ),
        offsets.astype(np.float32),
        block_matching.Others(
            np.stack([_terms(camera, lens, middle) for _, lens in others]),
            np.array([grey.ctypes.data for grey in greys], np.uint64),
            np.array([grey.shape for grey in greys], np.int64),
        ),
        WIDE,
        (window, min(best, len(others))),
        np.float32(np.round(pixels.grey.mean())),
        at,
        score,
    )
    return at, score


def _terms(camera: Camera, other: Camera, middle: Floats) -> Floats32:
    """(12,) M, by rows, and b of `projection`, for pixels counted from the image's middle: float32 then has their
    fractions.
    """
    M, b = projection(camera, other)
    M = M @ np.array([[1, 0, middle[0]], [0, 1, middle[1]], [0, 0, 1]])
    return np.concatenate([M.ravel(), b]).astype(np.float32)


def _mirrored(values: Gray | Floats, half: int, beyond: int) -> Gray:
    """An image continued by `half` px, and `beyond` more at the right; an axis of one pixel stands for all."""
    rows, columns = (half if length > 1 else 0 for length in values.shape)
    right = columns + beyond if columns else 0
    grown = cv2.copyMakeBorder(values.astype(np.float32), rows, rows, columns, right, cv2.BORDER_REFLECT_101)
    return np.ascontiguousarray(grown)


def _whole(grey: Gray) -> Gray:
    """An image as it lies in memory, of two rows and columns or more."""
    missing = [max(2 - length, 0) for length in grey.shape]
    if any(missing):  # beyond its edge it is 0
        grey = np.pad(grey, [(0, n) for n in missing])
    return np.ascontiguousarray(grey, dtype=np.float32)
