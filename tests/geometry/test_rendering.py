"""Pictures show what is there: a known surface projects where its camera says, colours land on their triangles."""

import numpy as np
import pytest

from processing.errors import MeshError, ShapeError
from processing.geometry.mesh import Mesh, subdivide
from processing.geometry.rendering import (
    BACKGROUND,
    bounds,
    contact_sheet,
    draw_points,
    heat_colors,
    portrait_camera,
    relief_picture,
    render,
    text,
    with_color_bar,
)

QUAD = Mesh(
    np.array([[-50.0, -80, 0], [50, -80, 0], [50, 80, 0], [-50, 80, 0]]),
    np.array([[0, 1, 2], [0, 2, 3]], np.int32),
    np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]),
    np.array([[0, 1, 2], [0, 2, 3]], np.int32),
)


@pytest.mark.parametrize("yaw", [0, 40, -75])
def test_a_portrait_camera_sees_all_of_the_box(yaw: float) -> None:
    low, high = np.array([-70.0, -120, -90]), np.array([80.0, 130, 100])
    camera = portrait_camera(np.stack([low, high]), yaw_deg=yaw, height_px=300)
    corners = np.array([[a, b, c] for a in (low[0], high[0]) for b in (low[1], high[1]) for c in (low[2], high[2])])
    pixels = camera.project(corners)
    assert pixels.min() >= -0.5
    assert (pixels <= [camera.width - 0.5, camera.height - 0.5]).all()
    assert camera.project(np.array([[0.0, 200, 0]]))[0, 1] < camera.project(np.array([[0.0, -200, 0]]))[0, 1]


def test_the_picture_covers_exactly_the_projected_surface() -> None:
    camera = portrait_camera(np.array([[-80.0, -120, -40], [80, 120, 40]]), height_px=240)
    picture = render(QUAD, camera, supersample=1)
    covered = (picture != BACKGROUND).any(axis=2)
    rows, columns = np.nonzero(covered)
    corners = camera.project(QUAD.vertices_mm)
    assert abs(columns.min() - corners[:, 0].min()) <= 1
    assert abs(columns.max() - corners[:, 0].max()) <= 1
    assert abs(rows.min() - corners[:, 1].min()) <= 1
    assert abs(rows.max() - corners[:, 1].max()) <= 1


def test_texture_is_the_right_way_up_and_round() -> None:
    texture = np.zeros((64, 64, 3), np.uint8)
    texture[:32, :32], texture[:32, 32:], texture[32:, :32] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    camera = portrait_camera(bounds(QUAD), height_px=120)
    picture = render(QUAD, camera, texture=texture, shaded=False)

    def at(x: float, y: float) -> tuple[int, ...]:
        column, row = camera.project(np.array([[x, y, 0.0]]))[0].round().astype(int)
        return tuple(picture[row, column].tolist())

    assert at(-25, 40) == (255, 0, 0)  # top left of the texture: OBJ's v is up
    assert at(25, 40) == (0, 255, 0)
    assert at(-25, -40) == (0, 0, 255)


def test_colours_stay_on_their_vertices() -> None:
    mesh = subdivide(QUAD, 4)
    values = mesh.vertices_mm[:, 0] / 50
    colors = heat_colors(values, 1.0)
    camera = portrait_camera(bounds(QUAD), height_px=120)
    picture = render(mesh, camera, vertex_colors=colors, shaded=False)
    pixels = camera.project(np.array([[40.0, 0, 0]]))[0].round().astype(int)
    assert np.abs(picture[pixels[1], pixels[0]].astype(int) - heat_colors(np.array([0.8]), 1.0)[0]).max() <= 12


def test_heat_is_monotonous_in_redness_and_marks_the_unknown() -> None:
    colors = heat_colors(np.array([0.0, 0.5, 1.0, 7.0, np.nan]), 1.0)
    assert (colors[2] == colors[3]).all()
    assert len({tuple(c) for c in colors.tolist()}) == 4
    assert with_color_bar(np.zeros((200, 100, 3), np.uint8), 0.5).shape == (200, 192, 3)


def test_a_contact_sheet_holds_every_photograph() -> None:
    images = [np.full((30, 20, 3), 10 * k, np.uint8) for k in range(7)]
    sheet = contact_sheet(images, columns=3, tile_width=20)
    for k in range(7):
        assert (sheet == 10 * k).all(axis=2).sum() >= 20 * 30 * 0.9
    with pytest.raises(ShapeError):
        contact_sheet([], columns=3)


def test_points_that_are_not_finite_are_left_out() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    drawn = draw_points(image, np.array([[10.0, 20.0], [np.nan, np.nan]]))
    assert drawn[20, 10].any()
    assert not image.any()
    rows, _ = np.nonzero(drawn.any(axis=2))
    assert np.ptp(rows) < 12


def test_relief_without_any_known_texel_is_still_a_picture() -> None:
    nothing = relief_picture(np.zeros((16, 16), np.float32), np.zeros((16, 16), np.bool_), size_px=8)
    assert (nothing == BACKGROUND).all()


def test_what_cannot_be_pictured_is_refused() -> None:
    with pytest.raises(MeshError, match="without extent"):
        portrait_camera(np.zeros((2, 3)))
    plain = Mesh(QUAD.vertices_mm, QUAD.triangles)
    with pytest.raises(MeshError, match="needs a mesh with UVs"):
        render(plain, portrait_camera(bounds(plain), height_px=40), texture=np.zeros((4, 4, 3), np.uint8))


def test_a_name_that_is_no_text_is_written() -> None:
    """A file's name may hold bytes that are no UTF-8: OpenCV ends the process at their surrogates."""
    white = np.full((30, 200, 3), 255, np.uint8)
    text(white, "odd\udcff\x1b[31m\nname", (2, 20))
    assert (white < 255).any()
