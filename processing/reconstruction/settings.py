"""Settings of a reconstruction, and its report."""

from dataclasses import dataclass, field

from common.array_types import Ints32
from common.processors import usable_cpus
from processing.errors import ReconstructionError
from processing.geometry.mesh import Mesh

FEWEST_VERTICES = 1000  # fewer do not make a face


@dataclass(frozen=True)
class ReconstructionSettings:
    """How a take is reconstructed. Pixels are those of the photographs after `scale`."""

    #: Photographs are matched at this share of their size,
    scale: float = 1.0
    #: and at no more than this, which bounds the memory of 8K photographs.
    max_megapixels: float = 6.0
    #: At most so many views get a full depth map (None: all of them); the rest still serve as their neighbours.
    depth_views: int | None = None
    #: Each view is compared with so many others,
    neighbours: int = 5
    #: of which the best so many count,
    best: int = 3
    #: seen from the subject at such an angle.
    angles_deg: tuple[float, float] = (6.0, 30.0)
    #: Side of the correlation window, px.
    window: int = 7
    #: Mean correlation below which a depth is dropped.
    min_score: float = 0.5
    #: Other views whose depth must agree,
    min_consistent: int = 2
    #: within so many pixel footprints.
    tolerance_px: float = 1.0
    #: Side of the cells in which points are merged and the surface is solved, in pixel footprints.
    spacing_px: float = 1.2
    #: Whether the solved surface is subdivided once before detail is put on it, which makes four triangles of one.
    subdivide: bool = True
    #: About so many at most; larger cells keep to it (None: as they come).
    vertices: int | None = 2_000_000
    #: Octree depth of the surface, instead of the cells' size.
    poisson_depth: int | None = None
    #: Surface farther than this from any measured point is cut, in footprints.
    trim_px: float = 6.0
    #: Whether what no other view confirms is sought again farther before and behind the coarse surface, which finds the
    #: inside of cavities.
    wider_search: bool = True
    #: How often the fused surface is moved to where the photographs agree best, which brings out detail smaller than
    #: `window` (0: not at all).
    detail_passes: int = 1
    #: Side of the windows of these passes, px.
    detail_window: int = 5
    #: Photographs and depth maps beyond so much lie in files of the temporary folder (TMPDIR).
    memory_gb: float = 2.0
    #: Threads (None: the processors that this process may use).
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
    """What a reconstruction did."""

    #: Photographs given.
    views: int
    #: Of which so many got a depth map.
    depth_views: int
    #: Camera name -> why it gave nothing.
    unused: dict[str, str]
    #: Merged oriented points.
    points: int
    vertices: int
    triangles: int
    #: A pixel's size on the subject, the median over the views.
    footprint_mm: float
    #: Median correlation.
    score: float
    #: The sphere that was searched.
    centre_mm: tuple[float, float, float]
    radius_mm: float
    #: Step -> wall time.
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Scan:
    """A reconstructed surface."""

    #: Head frame, with vertex colours from the photographs.
    mesh: Mesh
    #: How it came about.
    report: ScanReport
    #: (T, 3) triangles between the first of its vertices, which show the same with a quarter as many; None: its own.
    coarse: Ints32 | None = None

    @property
    def outline(self) -> Mesh:
        """The scan with fewer vertices, for pictures and for measures that are coarser than these."""
        if self.coarse is None:
            return self.mesh
        m, count = self.mesh, int(self.coarse.max()) + 1
        colors = None if m.colors is None else m.colors[:count]
        sure = None if m.confidence is None else m.confidence[:count]
        return Mesh(m.vertices_mm[:count], self.coarse, colors=colors, confidence=sure)
