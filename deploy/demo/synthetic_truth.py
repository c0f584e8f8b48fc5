"""How far the farm's results are from a synthetic subject's truth."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from processing.geometry.mesh import Mesh, Surface
from processing.template.template import SKIN, Template

COMPLETE_WITHIN_MM = 0.5


@dataclass(frozen=True)
class TruthError:
    """How far a take's results are from the true face."""

    scan_mean_mm: float  # true skin to the scan's surface
    scan_p95_mm: float
    scan_complete: float  # share of the true skin that has the scan within 0.5 mm
    tu_median_mm: float  # registered vertex to its true place, over the measured skin
    tu_p95_mm: float
    tu_surface_mean_mm: float  # registered skin to the true skin


def compare_to_truth(
    truth_file: Path, scan: Mesh, registered_mm: NDArray[np.float64], template: Template
) -> TruthError:
    """registered_mm: (V, 3) in the template's topology, which is that of the truth file (see synthetic.write_truth)."""
    with np.load(truth_file) as truth:
        skin = Mesh(truth["vertices"].astype(np.float64), truth["triangles"])
        true_mm = truth["base_vertices"].astype(np.float64)
    to_scan = Surface(scan).closest(skin.vertices_mm).distance_mm
    surface = Surface(skin)
    # A registered vertex counts where the studio measured: its true place lies on the measured skin (relief aside).
    measured = (template.parts == SKIN) & (surface.closest(true_mm).distance_mm < 1.0)
    apart = np.linalg.norm(registered_mm - true_mm, axis=1)[measured]
    to_skin = surface.closest(registered_mm[measured]).distance_mm
    return TruthError(
        scan_mean_mm=float(to_scan.mean()),
        scan_p95_mm=float(np.percentile(to_scan, 95)),
        scan_complete=float((to_scan < COMPLETE_WITHIN_MM).mean()),
        tu_median_mm=float(np.median(apart)),
        tu_p95_mm=float(np.percentile(apart, 95)),
        tu_surface_mean_mm=float(to_skin.mean()),
    )
