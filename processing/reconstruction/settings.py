"""What a reconstruction can be told, and what it tells."""

from dataclasses import dataclass, field

from common.processors import usable_cpus
from processing.errors import ReconstructionError
from processing.geometry.mesh import Mesh

FEWEST_VERTICES = 1000  # fewer do not make a face


@dataclass(frozen=True)
class ReconstructionSettings:
    """How a take is reconstructed. Pixels are those of the photographs after `scale`.

    scale: photographs are matched at this share of their size; max_megapixels: and at no more than this, which bounds
    the memory of 8K photographs.  depth_views: at most so many views get a full depth map (None: all of them); the rest
    still serve as their neighbours.  neighbours, best, angles_deg: each view is compared with that many others seen at
    such an angle, and the `best` that agree count.  window: side of the correlation window, px.
    min_score: mean correlation below which a depth is dropped.  min_consistent: other views whose depth must agree,
    within tolerance_px pixel footprints.  spacing_px: size of the cells in which points are merged and the surface is
    solved, in pixel footprints.  subdivide: the solved surface is subdivided once before detail is put on it, which
    makes four triangles of one.  vertices: about so many at most; larger cells keep to it (None: as they come).
    poisson_depth: octree depth of the surface instead.
    trim_px: surface farther than this from any measured point is cut, in footprints.  wider_search: what no other view
    confirms is sought again farther before and behind the coarse surface, which finds the inside of cavities.
    detail_passes: how often the fused surface is moved to where the photographs agree best, which brings out detail
    smaller than `window` (0: not at all); detail_window: side of its windows, px.  memory_gb: photographs and depth
    maps beyond so much lie in files of the temporary folder (TMPDIR).  workers: threads (None: the processors that this
    process may use).
    """

    scale: float = 1.0
    max_megapixels: float = 6.0
    depth_views: int | None = None
    neighbours: int = 5
    best: int = 3
    angles_deg: tuple[float, float] = (6.0, 30.0)
    window: int = 7
    min_score: float = 0.5
    min_consistent: int = 2
    tolerance_px: float = 1.0
    spacing_px: float = 1.2
    subdivide: bool = True
    vertices: int | None = 2_000_000
    poisson_depth: int | None = None
    trim_px: float = 6.0
    wider_search: bool = True
    detail_passes: int = 1
    detail_window: int = 5
    memory_gb: float = 2.0
    workers: int | None = None

    @property
    def threads(self) -> int:
        return self.workers or usable_cpus()

    def __post_init__(self) -> None:
        wrong = [
            message
            for bad, message in (
                (not 0 < self.scale <= 1, f"scale is {self.scale}; it lies in (0, 1]"),
                (self.max_megapixels <= 0, f"max_megapixels is {self.max_megapixels}; it is positive"),
                (self.depth_views is not None and self.depth_views < 6, "depth_views is at least 6"),
                (not 1 <= self.best <= self.neighbours, "best is at least 1 and at most neighbours"),
                (self.window < 3 or self.window % 2 == 0, f"window is {self.window}; it is odd and at least 3"),
                (not 0 < self.angles_deg[0] < self.angles_deg[1] < 90, "angles_deg rise within (0, 90)"),
                (
                    min(self.spacing_px, self.tolerance_px, self.trim_px) <= 0,
                    "spacing, tolerance and trim are positive",
                ),
                (
                    self.vertices is not None and self.vertices < FEWEST_VERTICES,
                    f"vertices is {self.vertices}; it is at least {FEWEST_VERTICES}",
                ),
                (self.memory_gb < 0, "memory_gb is not negative"),
                (self.detail_passes < 0, "detail_passes is not negative"),
                (
                    self.detail_window < 3 or self.detail_window % 2 == 0,
                    f"detail_window is {self.detail_window}; it is odd and at least 3",
                ),
                (self.workers is not None and self.workers < 1, f"workers is {self.workers}; it is at least 1"),
                (self.poisson_depth is not None and not 4 <= self.poisson_depth <= 13, "poisson_depth is 4 to 13"),
            )
            if bad
        ]
        if wrong:
            raise ReconstructionError("the settings of the reconstruction cannot be used: " + "; ".join(wrong))


FAST = ReconstructionSettings(depth_views=34, spacing_px=1.6, subdivide=False)
"""A scan for a look or a demonstration: half of the views, fewer vertices."""


@dataclass(frozen=True)
class ScanReport:
    """What a reconstruction did.

    views: photographs given; depth_views: of which so many got a depth map; unused: camera name -> why it gave nothing.
    points: merged oriented points.  footprint_mm: a pixel's size on the subject (median).  score: median correlation.
    centre_mm, radius_mm: the sphere that was searched.  seconds: step -> wall time.
    """

    views: int
    depth_views: int
    unused: dict[str, str]
    points: int
    vertices: int
    triangles: int
    footprint_mm: float
    score: float
    centre_mm: tuple[float, float, float]
    radius_mm: float
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Scan:
    """The surface (mm, head frame, vertex colours from the photographs) and how it came about."""

    mesh: Mesh
    report: ScanReport
