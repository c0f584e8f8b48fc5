import cv2
import numpy as np
import pytest

from processing.errors import DataError, ShapeError
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.uv_rasterization import texels_of
from processing.texture.texture_projection import project_texture, push_pull_fill, split_bands
from processing.texture.view_visibility import keep_best_views, view_weights

SIZE = 128


@pytest.fixture(autouse=True)
def _coarse_visibility(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ball needs no finer mesh than this to know who sees it."""
    monkeypatch.setattr("processing.texture.texture_projection.FINE_VERTICES", 8_000)


def colour(points_mm: np.ndarray) -> np.ndarray:
    """(N, 3) BGR, smooth over a ball of 50 mm."""
    return 128 + 70 * np.stack(
        [np.sin(points_mm[:, 0] / 14), np.cos(points_mm[:, 1] / 17), np.sin(points_mm[:, 2] / 20)], axis=1
    )


def photograph(mesh: Mesh, camera: Camera) -> np.ndarray:
    columns, rows = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = camera.rays(np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float64))
    origin = np.broadcast_to(camera.centre, rays.shape)
    distance, _, _ = Surface(mesh).cast(origin, rays)
    hit = np.isfinite(distance)
    image = np.zeros((len(rays), 3))
    image[hit] = colour(origin[hit] + distance[hit, None] * rays[hit])
    return np.rint(image).clip(0, 255).astype(np.uint8).reshape(camera.height, camera.width, 3)


@pytest.fixture(scope="module")
def ball(uv_sphere) -> Mesh:
    return uv_sphere(32)


@pytest.fixture(scope="module")
def cameras(ring_of_cameras) -> list[Camera]:
    return ring_of_cameras(12)


@pytest.fixture(scope="module")
def photographs(ball: Mesh, cameras: list[Camera]) -> list[np.ndarray]:
    return [photograph(ball, camera) for camera in cameras]


def differences(ball: Mesh, texture) -> np.ndarray:
    """(N,) mean absolute grey levels between the texture and the truth, at seen texels."""
    texels = texels_of(ball, SIZE, margin_px=0)
    truth = colour(texels.interpolate(ball, ball.vertices_mm))
    seen = texture.seen.ravel()[texels.index]
    return np.abs(texture.image.reshape(-1, 3)[texels.index].astype(float) - truth).mean(axis=1)[seen]


def test_colours_come_back(ball: Mesh, cameras: list[Camera], photographs: list[np.ndarray]) -> None:
    texture = project_texture(ball, photographs, cameras, size_px=SIZE)
    off = differences(ball, texture)
    assert texture.seen.mean() > 0.75
    assert off.mean() < 1.2
    assert np.quantile(off, 0.99) < 4
    np.testing.assert_allclose(texture.gains, 1, atol=0.02)


def test_exposures_are_evened_out(ball: Mesh, cameras: list[Camera], photographs: list[np.ndarray]) -> None:
    given = np.exp(np.random.default_rng(0).uniform(-0.2, 0.2, len(cameras)))
    given /= np.exp(np.log(given).mean())
    dimmed = [(p * g).clip(0, 255).astype(np.uint8) for p, g in zip(photographs, given, strict=True)]
    texture = project_texture(ball, dimmed, cameras, size_px=SIZE)
    np.testing.assert_allclose(texture.gains * given[:, None], np.median(given), atol=0.06)
    assert differences(ball, texture).mean() < 4


def test_something_before_one_lens_is_outvoted(
    ball: Mesh, cameras: list[Camera], photographs: list[np.ndarray]
) -> None:
    blocked = [p.copy() for p in photographs]
    cv2.circle(blocked[3], (120, 120), 40, (0, 255, 0), -1)
    clean = differences(ball, project_texture(ball, photographs, cameras, size_px=SIZE))
    off = differences(ball, project_texture(ball, blocked, cameras, size_px=SIZE))
    assert off.mean() < clean.mean() + 6
    assert np.quantile(off, 0.95) < 40


def test_hidden_skin_is_not_seen_and_filled(ball: Mesh, cameras: list[Camera], photographs: list[np.ndarray]) -> None:
    front = [k for k, camera in enumerate(cameras) if camera.viewing_direction[2] < -0.4]
    texture = project_texture(ball, [photographs[k] for k in front], [cameras[k] for k in front], size_px=SIZE)
    texels = texels_of(ball, SIZE, margin_px=0)
    z = texels.interpolate(ball, ball.vertices_mm)[:, 2]
    seen = texture.seen.ravel()[texels.index]
    assert not seen[z < -45].any()
    assert seen[z > 20].mean() > 0.9
    assert texture.image.reshape(-1, 3)[texels.index][~seen].max(axis=1).min() > 20


def test_what_stands_before_the_skin_hides_it(ball: Mesh, cameras: list[Camera]) -> None:
    towards = cameras[0].centre / np.linalg.norm(cameras[0].centre)
    x = np.cross(towards, [0.0, 1, 0])
    y = np.cross(x, towards)
    plate = np.array([80 * towards + 30 * (a * x + b * y) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))])
    count = len(ball.vertices_mm)
    with_plate = Mesh(
        np.concatenate([ball.vertices_mm, plate]),
        np.concatenate([ball.triangles, np.array([[0, 1, 2], [0, 2, 3]]) + count]),
    )
    near = np.argmax(ball.vertices_mm @ towards)
    assert view_weights(ball, cameras[:1])[near, 0] > 0
    assert view_weights(with_plate, cameras[:1])[near, 0] == 0


def test_views_fade_in_and_out(ball: Mesh, cameras: list[Camera]) -> None:
    """Kept weights are continuous: no vertex differs from its neighbours more than the weights did."""
    weights = view_weights(ball, cameras)
    kept = keep_best_views(weights, 3)
    assert ((kept > 0).sum(axis=1) <= 3).all()
    a, b = ball.edges[:, 0], ball.edges[:, 1]
    assert np.abs(kept[a] - kept[b]).max() <= 2 * np.abs(weights[a] - weights[b]).max() + 1e-9


def test_bands_add_up_to_the_photograph(photographs: list[np.ndarray]) -> None:
    bands = split_bands(photographs[0], [1.5, 9.0])
    np.testing.assert_array_equal(sum(b.astype(int) for b in bands), photographs[0])
    assert (
        np.abs(np.diff(bands[-1].astype(int), axis=1)).max() < np.abs(np.diff(photographs[0].astype(int), axis=1)).max()
    )


def test_detail_comes_from_one_view_and_colour_from_all(
    ball: Mesh, cameras: list[Camera], photographs: list[np.ndarray]
) -> None:
    """Stripes that two views show half a period apart would cancel out in a mean."""
    rows = np.arange(photographs[0].shape[0])[:, None, None]
    striped = [
        (p + np.where(p.any(axis=2, keepdims=True), 25.0 * np.cos(np.pi * rows + np.pi * k), 0))
        .clip(0, 255)
        .astype(np.uint8)
        for k, p in enumerate(photographs)
    ]
    plain = project_texture(ball, photographs, cameras, size_px=256)
    fine = project_texture(ball, striped, cameras, size_px=256)
    change = (fine.image.astype(float) - plain.image)[fine.seen & plain.seen]
    assert np.abs(change).mean() > 8
    assert abs(change.mean()) < 2


def test_filling_keeps_what_is_known() -> None:
    values = np.zeros((40, 56, 3), np.float32)
    mask = np.zeros((40, 56), np.float32)
    values[10:20, 10:30], mask[10:20, 10:30] = 90, 1
    filled = push_pull_fill(values, mask)
    np.testing.assert_array_equal(filled[mask > 0], 90)
    np.testing.assert_allclose(filled, 90, atol=1e-3)


def test_wrong_pictures_are_refused(ball: Mesh, cameras: list[Camera], photographs: list[np.ndarray]) -> None:
    with pytest.raises(ShapeError, match="one a camera"):
        project_texture(ball, photographs[:3], cameras, size_px=SIZE)
    with pytest.raises(ShapeError, match="image of camera"):
        project_texture(ball, [p[:100] for p in photographs], cameras, size_px=SIZE)
    far = ball.with_vertices(ball.vertices_mm + 5000)
    with pytest.raises(DataError, match="no camera sees"):
        project_texture(far, photographs, cameras, size_px=SIZE)
