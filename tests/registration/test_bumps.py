"""What stands out of its surroundings, as an ear's lobe does, is reached by a fit that begins millimetres away."""

import numpy as np
import pytest

from processing.geometry.mesh import Mesh, Surface
from processing.mesh_repair.mesh_defects import find_mesh_defects
from processing.registration.correspondence import TargetSurface
from processing.registration.nonrigid_icp import fit_nonrigid

HALF_WIDTH_MM = 3.5


def sheet(step_mm: float, bumps: list[tuple[float, float, float]]) -> Mesh:
    """A square sheet, gently curved, with round bumps: each at x, y, so high."""
    line = np.arange(-30.0, 30.0 + step_mm / 2, step_mm)
    x, y = np.meshgrid(line, line)
    z = -0.004 * (x**2 + y**2)
    for at_x, at_y, high in bumps:
        z = z + high * np.exp(-(np.square(x - at_x) + np.square(y - at_y)) / HALF_WIDTH_MM**2)
    count = len(line)
    corner = (np.arange(count - 1)[:, None] * count + np.arange(count - 1)).ravel()
    one = np.stack([corner, corner + 1, corner + count], axis=1)
    other = np.stack([corner + 1, corner + count + 1, corner + count], axis=1)
    return Mesh(np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1), np.concatenate([one, other]).astype(np.int32))


@pytest.mark.parametrize("seed", range(4))
def test_bumps_of_another_height_are_reached(seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = [(x + rng.uniform(-2, 2), y + rng.uniform(-2, 2)) for x in (-11, 11) for y in (-11, 11)]
    source = sheet(1.0, [(x, y, 1.0) for x, y in places])
    scan = sheet(0.4, [(x, y, rng.uniform(5.5, 7.0)) for x, y in places])
    found = source.with_vertices(fit_nonrigid(source, TargetSurface(scan)).vertices_mm)
    flat = scan.vertices_mm[:, :2]
    tips = np.any([np.linalg.norm(flat - place, axis=1) < 2.0 for place in places], axis=0)
    off = Surface(found).closest(scan.vertices_mm[tips]).distance_mm
    assert off.mean() < 0.55
    assert np.percentile(off, 95) < 1.1
    assert find_mesh_defects(found, source).flipped.sum() == 0
