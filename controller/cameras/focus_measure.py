"""Focus measure of a live view frame: one number, larger is sharper. Pure; needs Pillow and numpy.

The variance of the Laplacian over the middle of the frame (Pech-Pacheco et al. 2000; LAP4 of Pertuz, Puig and Garcia,
"Analysis of focus measure operators for shape-from-focus", Pattern Recognition 46, 2013, who find the operators of
that family best where the picture is not noisy), over the square of the mean brightness there, so that an exposure
that changes between two frames is no focus that changes. It depends on what is in the picture: compare a camera with
itself alone.
"""

from camera_nodes.wire import PREVIEW_LIMIT
from common.bounded.decoder_pool import decode
from common.bounded.limits import OutOfBounds
from controller.errors import FrameRejected

MIDDLE = 0.5  # of the width and height
MOST_PX = 4096 * 4096  # more is no live view
SCALE = 1000.0


def focus_measure(jpeg: bytes) -> tuple[float, int, int]:
    """The measure, and the frame's width and height in pixels. Raises FrameRejected for what is no whole picture."""
    import numpy as np

    if len(jpeg) > PREVIEW_LIMIT:
        raise FrameRejected(f"a live view frame of {len(jpeg)} bytes is too large")
    try:
        (grey,), _ = decode("pillow", jpeg, most=PREVIEW_LIMIT, mode="L", most_pixels=MOST_PX)
        height, width = grey.shape
        left, top = round(width * (1 - MIDDLE) / 2), round(height * (1 - MIDDLE) / 2)
        pixels = np.asarray(grey[top : height - top, left : width - left], dtype=np.float32)
    except OutOfBounds as error:
        raise FrameRejected(f"a live view frame is too large: {error}") from None
    except (OSError, ValueError) as error:
        raise FrameRejected(f"a live view frame does not decode: {error}") from None
    if min(pixels.shape) < 3:
        raise FrameRejected(f"a live view frame of {width} x {height} pixels is too small")
    inner = pixels[1:-1, 1:-1]
    laplacian = pixels[:-2, 1:-1] + pixels[2:, 1:-1] + pixels[1:-1, :-2] + pixels[1:-1, 2:] - 4 * inner
    mean = max(float(pixels.mean()), 1.0)
    return SCALE * float(laplacian.var()) / mean**2, width, height
