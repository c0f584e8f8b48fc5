"""Open3D without its viewers and its learning: they are not used here, and load Dash, pandas and scikit-learn, which
takes longer than all else that a command loads.
"""

import sys
from types import ModuleType

UNUSED = ("open3d.visualization", "open3d.ml")

_missing = [name for name in UNUSED if name not in sys.modules and "open3d" not in sys.modules]
sys.modules.update({name: ModuleType(name) for name in _missing})
try:
    import open3d as o3d
finally:
    for _name in _missing:
        del sys.modules[_name]  # whoever asks for it gets the real one

__all__ = ["o3d"]
