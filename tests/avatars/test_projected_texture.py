"""A photograph on a head's UVs: the texture of a known head comes back where it is seen, and nowhere else."""

import numpy as np
import pytest
from egg_person import egg_person, photographed_egg

from processing.avatars.projected_texture import project_photograph
from processing.errors import ShapeError
from processing.geometry.uv_rasterization import texels_of

SIZE = 256


@pytest.mark.parametrize("yaw", [0.0, 40.0])
def test_the_texture_comes_back_where_it_is_seen(yaw: float) -> None:
    egg = photographed_egg(yaw)
    mesh = egg_person().head.mesh(egg.vertices_mm)
    texels = texels_of(mesh, SIZE)
    seen = project_photograph(mesh, egg.camera, egg.image, texels)
    sure = seen.trust > 0.5
    assert 0.15 < sure.mean() < 0.7
    off = np.abs(seen.colours - egg.texture.astype(np.float32))[sure]
    assert off.mean() < 3
    assert np.percentile(off, 99) < 12
    # What looks away from the camera is not believed.
    normals = np.zeros((SIZE * SIZE, 3))
    normals[texels.index] = texels.interpolate(mesh, mesh.vertex_normals)
    towards = egg.camera.centre / np.linalg.norm(egg.camera.centre)
    assert not (seen.trust.ravel() > 0)[normals @ towards < 0].any()


def test_what_is_not_usable_is_not_taken() -> None:
    egg = photographed_egg()
    mesh = egg_person().head.mesh(egg.vertices_mm)
    texels = texels_of(mesh, SIZE)
    usable = np.zeros(egg.image.shape[:2], bool)
    usable[:, : egg.image.shape[1] // 2] = True  # the subject's right half
    seen = project_photograph(mesh, egg.camera, egg.image, texels, usable)
    x = np.zeros(SIZE * SIZE)
    x[texels.index] = texels.interpolate(mesh, mesh.vertices_mm[:, 0])
    trust = seen.trust.ravel()
    assert (trust[x < -10] > 0.5).any()
    assert not (trust[x > 4] > 0).any()


def test_something_before_the_face_hides_it() -> None:
    from processing.geometry.mesh import Mesh

    egg = photographed_egg()
    mesh = egg_person().head.mesh(egg.vertices_mm)
    board = np.array([[-60, -20, 170.0], [60, -20, 170], [60, 20, 170], [-60, 20, 170]])
    count = len(mesh.vertices_mm)
    both = Mesh(
        np.r_[mesh.vertices_mm, board],
        np.r_[mesh.triangles, count + np.array([[0, 1, 2], [0, 2, 3]])].astype(np.int32),
        np.r_[mesh.uvs, np.zeros((1, 2))],
        np.r_[mesh.uv_triangles, np.full((2, 3), len(mesh.uvs))].astype(np.int32),
    )
    texels = texels_of(mesh, SIZE)
    seen = project_photograph(both, egg.camera, egg.image, texels)
    y = np.zeros((SIZE * SIZE, 3))
    y[texels.index] = texels.interpolate(mesh, mesh.vertices_mm)
    hidden = (np.abs(y[:, 1]) < 15) & (np.abs(y[:, 0]) < 45) & (y[:, 2] > 50)
    assert hidden.any()
    assert not (seen.trust.ravel() > 0)[hidden].any()


def test_refusals() -> None:
    egg = photographed_egg()
    mesh = egg_person().head.mesh(egg.vertices_mm)
    texels = texels_of(mesh, 64)
    with pytest.raises(ShapeError, match="image"):
        project_photograph(mesh, egg.camera, egg.image[:-1], texels)
    with pytest.raises(ShapeError, match="usable"):
        project_photograph(mesh, egg.camera, egg.image, texels, np.ones((3, 3), bool))
