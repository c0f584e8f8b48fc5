"""Vertex colours do not show which camera they came from."""

from typing import Any

import numpy as np

from processing.geometry.mesh import Surface
from processing.reconstruction.multi_view_stereo import reconstruct
from processing.reconstruction.settings import Scan


def test_unequal_exposures_and_colours_leave_no_seams(scene: Any, scan: Scan, tools: Any) -> None:
    rng = np.random.default_rng(6)
    factors = rng.uniform(0.65, 1.25, (len(scene.images), 3))
    uneven = [
        np.clip(image * factor + 0.5, 0, 255).astype(np.uint8)
        for image, factor in zip(scene.images, factors, strict=True)
    ]
    found = reconstruct(uneven, scene.cameras, settings=tools.quick)
    assert found.mesh.colors is not None
    assert scan.mesh.colors is not None
    nearest = Surface(found.mesh).closest(scan.mesh.vertices_mm[::7])
    close = nearest.distance_mm < 0.3
    corners = found.mesh.triangles[nearest.triangle[close]]
    now = np.einsum("nk,nkc->nc", nearest.barycentric[close], found.mesh.colors[corners].astype(float))
    before = scan.mesh.colors[::7][close].astype(float)
    ratio = np.log((now + 1) / (before + 1))
    ratio -= np.median(ratio, axis=0)
    spread = 1.4826 * np.median(np.abs(ratio), axis=0)
    assert spread.max() < 0.03  # the cameras differ by a fifth
    assert np.abs(np.quantile(ratio, [0.05, 0.95])).max() < 0.08
