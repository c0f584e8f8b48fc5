import numpy as np

from processing.geometry.mesh import Mesh
from processing.geometry.vertex_rings import dilated


def test_each_ring_adds_the_neighbours(uv_sphere) -> None:
    ball: Mesh = uv_sphere(8, 50.0)
    adjacency = ball.adjacency()
    pole = np.arange(len(ball.vertices_mm)) == 0
    assert dilated(adjacency, pole, 0).sum() == 1
    one, two = dilated(adjacency, pole, 1), dilated(adjacency, pole, 2)
    assert set(np.flatnonzero(one)) == {0, *adjacency[[0]].indices.tolist()}
    np.testing.assert_array_equal(two, dilated(adjacency, one, 1))
    assert one[pole].all()
    assert (two & ~one).any()
