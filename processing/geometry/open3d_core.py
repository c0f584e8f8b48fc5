"""Open3D without its viewers and its learning: they are not used here, and load Dash, pandas and scikit-learn, which
takes longer than all else that a command loads. It is loaded when it is first used: `load` does it before.
"""

import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any

UNUSED = ("open3d.visualization", "open3d.ml")

_once = threading.Lock()


def load() -> Any:
    """Open3D itself."""
    with _once:
        missing = [name for name in UNUSED if name not in sys.modules and "open3d" not in sys.modules]
        sys.modules.update({name: ModuleType(name) for name in missing})
        try:
            import open3d
        finally:
            for name in missing:
                del sys.modules[name]  # whoever asks for it gets the real one
    return open3d


class _Later:
    """Stands for Open3D until something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(load(), name)
        self.__dict__[name] = found
        return found


if TYPE_CHECKING:
    import open3d as o3d
else:
    o3d = _Later()

__all__ = ["load", "o3d"]
