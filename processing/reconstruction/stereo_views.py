"""Stereo views: what depth maps are made from, and which views are compared."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.array_types import Gray
from processing.geometry.cameras import Camera
from processing.geometry.working_volume import Volume
from processing.reconstruction.depth_fusion import DepthMap
from processing.reconstruction.image_pyramid import Pyramid
from processing.reconstruction.scratch_files import Scratch
from processing.reconstruction.settings import ReconstructionSettings
from processing.reconstruction.stereo_matching import Kernels

Maps = dict[int, DepthMap]  # of the views that have one
TILE_HALO_PX = 20  # around a tile of a view: what windows and smoothing reach


@dataclass(frozen=True, eq=False)
class StereoViews:
    """The views of a scan, and which of them are compared; lists by view."""

    pyramids: Sequence[Pyramid]
    volume: Volume
    #: The views that get a depth map.
    depth_views: Sequence[int]
    #: The others that each is compared with.
    neighbours: Sequence[Sequence[int]]
    #: The others that may confirm its depth.
    near: Sequence[Sequence[int]]
    #: Tangent of the median angle to its neighbours.
    parallax: Sequence[float]
    settings: ReconstructionSettings
    kernels: Kernels
    #: Where depth maps are kept.
    scratch: Scratch

    def seen(self, i: int, footprint_mm: float) -> tuple[Gray, Camera]:
        """View i with about such pixels."""
        return self.pyramids[i].near(footprint_mm)

    def others(self, i: int, footprint_mm: float) -> list[tuple[Gray, Camera]]:
        """What view i is compared with."""
        return [self.seen(j, footprint_mm) for j in self.neighbours[i]]
