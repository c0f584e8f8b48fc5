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

# The landmark on the other side of the face.
MIRROR_68: NDArray[np.int32] = np.array(
    [
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        *(45, 44, 43, 42, 47, 46),
        *(39, 38, 37, 36, 41, 40),
        *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
        *(64, 63, 62, 61, 60, 67, 66, 65),
    ],
    dtype=np.int32,
)
