"""A photograph around a face, blurred so far, with its gradient."""

from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Bools, Floats, Floats32, Image
from processing.errors import ShapeError
from processing.geometry.image_sampling import sample_image

_KEPT_SIGMA = 3.0  # px of the smaller copy that is worked on: its blur is no narrower


@dataclass(frozen=True, eq=False)
class BlurredPhotograph:
    """Colours RGB 0..255 of a part of a photograph, and how they change by px of the whole photograph."""

    colours: Floats32  # (h, w, 3)
    along_x: Floats32  # (h, w, 3)
    along_y: Floats32  # (h, w, 3)
    corner: Floats  # (2,) px of the photograph where its first pixel has its centre
    factor: float  # px of this a px of the photograph

    @classmethod
    def of(cls, image: Image, low: Floats, high: Floats, sigma_px: float) -> "BlurredPhotograph":
        """image: (H, W, 3) BGR.  low, high: (2,) px, the box that is asked for.  sigma_px: the blur's deviation."""
        if image.ndim != 3 or image.shape[2] != 3:
            raise ShapeError("image", image.shape, "(H, W, 3)")
        height, width = image.shape[:2]
        margin = 3 * sigma_px + 2
        x0, y0 = np.floor(np.asarray(low) - margin).astype(int).clip(0, [width - 2, height - 2])
        x1, y1 = np.ceil(np.asarray(high) + margin).astype(int).clip([x0 + 2, y0 + 2], [width, height])
        part = image[y0:y1, x0:x1].astype(np.float32)[..., ::-1]
        factor = min(1.0, _KEPT_SIGMA / max(sigma_px, 1e-6))
        if factor < 0.75:
            h, w = max(2, round(part.shape[0] * factor)), max(2, round(part.shape[1] * factor))
            small = cv2.resize(part, (w, h), interpolation=cv2.INTER_AREA)
        else:
            small, factor = np.ascontiguousarray(part), 1.0
        scale = np.array([small.shape[1] / part.shape[1], small.shape[0] / part.shape[0]])
        # Shrinking has blurred by a box already.
        sigma = np.sqrt(max((sigma_px * factor) ** 2 - (1 / 12 if factor < 1 else 0.0), 0.0))
        if sigma > 0.05:
            small = cv2.GaussianBlur(small, (0, 0), float(sigma), borderType=cv2.BORDER_REPLICATE)
        kernel = np.array([[-0.5, 0.0, 0.5]], np.float32)
        dx = cv2.filter2D(small, -1, kernel, borderType=cv2.BORDER_REPLICATE) * np.float32(scale[0])
        dy = cv2.filter2D(small, -1, kernel.T, borderType=cv2.BORDER_REPLICATE) * np.float32(scale[1])
        corner = np.array([x0, y0]) + 0.5 / scale - 0.5
        return cls(small, dx, dy, corner, float(scale.mean()))

    def at(self, pixels: Floats) -> tuple[Floats, Floats, Bools]:
        """(M, 2) px of the photograph -> (M, 3) colours; (M, 3, 2) their gradients, a px; (M,) whether within."""
        h, w = self.colours.shape[:2]
        here = (pixels - self.corner) * self.factor
        within: Bools = np.asarray(((here >= 0) & (here <= [w - 1, h - 1])).all(axis=1), dtype=np.bool_)
        here = np.where(within[:, None], here, 0.0)
        colours, dx, dy = (sample_image(a, here).astype(np.float64) for a in (self.colours, self.along_x, self.along_y))
        return colours, np.stack([dx, dy], axis=2), within
