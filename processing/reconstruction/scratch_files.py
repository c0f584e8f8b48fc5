"""Photographs and depth maps that outgrow memory lie in files that nobody else sees."""

import tempfile
import threading
import weakref
from math import prod

import numpy as np

from common.array_types import Gray


class Scratch:
    """Hands out arrays: from memory up to a limit, then from unlinked files in the temporary folder (TMPDIR).

    Arrays that are dropped make room again. A mapped file's pages are the page cache's: the kernel writes them out and
    forgets them when memory is short, so what a scan holds is bounded whatever the size of its photographs.
    """

    def __init__(self, limit_bytes: float) -> None:
        self._free = limit_bytes
        self._lock = threading.Lock()
        self.filed_bytes = 0

    def empty(self, shape: tuple[int, int]) -> Gray:
        """(h, w) float32, of any content."""
        size = 4 * prod(shape)
        with self._lock:
            fits = size <= self._free
            if fits:
                self._free -= size
            else:
                self.filed_bytes += size
        if not fits:
            with tempfile.TemporaryFile(prefix="mien-") as file:  # the map keeps it; its name is gone at once
                file.truncate(max(size, 1))
                return np.asarray(np.memmap(file, np.float32, "r+", shape=shape))
        array = np.empty(shape, np.float32)
        weakref.finalize(array, self._give_back, size)
        return array

    def full(self, shape: tuple[int, int], value: float) -> Gray:
        """(h, w) float32 of one value."""
        array = self.empty(shape)
        array[:] = value
        return array

    def kept(self, values: Gray) -> Gray:
        """The values in an array of ours."""
        array = self.empty((values.shape[0], values.shape[1]))
        array[:] = values
        return array

    def _give_back(self, size: int) -> None:
        with self._lock:
            self._free += size
