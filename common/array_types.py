"""Types of NumPy arrays by their elements; shapes, units and frames stand in each docstring."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Ints32 = NDArray[np.int32]
Ints64 = NDArray[np.int64]
Bools = NDArray[np.bool_]
#: (H, W, 3) or (H, W); 8 bits a channel.
Image = NDArray[np.uint8]
#: (H, W) luminance.
Gray = NDArray[np.float32]
