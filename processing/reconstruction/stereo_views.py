"""What depth maps are made from: the views, and which of them are compared."""

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
    """What the depth maps are made from.

    depth_views: the views that get one.  neighbours: view -> others it is compared with.  near: view -> others that may
    confirm its depth.  parallax: view -> tangent of the median angle to its neighbours.  scratch: where depth maps are
    kept.
    """

    pyramids: Sequence[Pyramid]
    volume: Volume
    depth_views: Sequence[int]
    neighbours: Sequence[Sequence[int]]
    near: Sequence[Sequence[int]]
    parallax: Sequence[float]
    settings: ReconstructionSettings
    kernels: Kernels
    scratch: Scratch

    def seen(self, i: int, footprint_mm: float) -> tuple[Gray, Camera]:
        """View i with about such pixels."""
        return self.pyramids[i].near(footprint_mm)

    def others(self, i: int, footprint_mm: float) -> list[tuple[Gray, Camera]]:
        """What view i is compared with."""
        return [self.seen(j, footprint_mm) for j in self.neighbours[i]]
