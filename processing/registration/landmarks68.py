"""The 68 landmarks of Multi-PIE, and where mediapipe's 478-point face mesh has them."""

import numpy as np
from numpy.typing import NDArray

GROUPS = {
    "jaw": range(0, 17),
    "right_brow": range(17, 22),
    "left_brow": range(22, 27),
    "nose_bridge": range(27, 31),
    "nose_base": range(31, 36),
    "right_eye": range(36, 42),
    "left_eye": range(42, 48),
    "outer_lips": range(48, 60),
    "inner_lips": range(60, 68),
}

MEDIAPIPE_TO_68: NDArray[np.int32] = np.array(
    [
        *(127, 234, 93, 132, 58, 172, 150, 176, 152, 400, 379, 397, 288, 361, 323, 454, 356),
        *(70, 63, 105, 66, 107),
        *(336, 296, 334, 293, 300),
        *(168, 197, 5, 4),
        *(98, 97, 2, 326, 327),
        *(33, 160, 158, 133, 153, 144),
        *(362, 385, 387, 263, 373, 380),
        *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
        *(78, 81, 13, 311, 308, 402, 14, 178),
    ],
    dtype=np.int32,
)

# Contour points slide along the cheek as the head turns: weak evidence of where the skin is.
CONTOUR: NDArray[np.bool_] = np.isin(np.arange(68), list(GROUPS["jaw"]))
