"""A relief as a normal map: slopes in millimetres a millimetre, whatever the UVs stretch."""

import numpy as np
import pytest

from processing.avatars.normal_map import normal_map
from processing.errors import ShapeError
from processing.geometry.mesh import Mesh
from processing.geometry.uv_rasterization import texels_of

SIZE = 128


def board() -> Mesh:
    """100 mm wide, 50 mm high, over the whole unit square."""
    uvs = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    return Mesh(np.c_[uvs * [100, 50], np.zeros(4)], triangles, uvs, triangles)


def normals(picture: np.ndarray) -> np.ndarray:
    return picture[..., ::-1] / 127.5 - 1


@pytest.mark.parametrize(("right", "up"), [(0.0, 0.0), (0.3, 0.0), (0.0, -0.4), (0.2, 0.5)])
def test_a_slope_is_a_slope(right: float, up: float) -> None:
    mesh = board()
    row, column = np.mgrid[:SIZE, :SIZE]
    height = (right * 100 * column - up * 50 * row) / SIZE
    picture = normal_map(mesh, texels_of(mesh, SIZE), height.astype(np.float32), np.ones((SIZE, SIZE), bool))
    wanted = np.array([-right, -up, 1]) / np.linalg.norm([right, up, 1])
    assert np.abs(normals(picture)[4:-4, 4:-4] - wanted).max() < 0.012


def test_what_is_not_valid_is_flat() -> None:
    mesh = board()
    height = np.random.default_rng(0).normal(0, 1, (SIZE, SIZE)).astype(np.float32)
    valid = np.ones((SIZE, SIZE), bool)
    valid[:, 60:] = False
    picture = normal_map(mesh, texels_of(mesh, SIZE), height, valid)
    assert (picture[:, 60:] == [255, 128, 128]).all()
    with pytest.raises(ShapeError):
        normal_map(mesh, texels_of(mesh, SIZE), height[:-1], valid)
