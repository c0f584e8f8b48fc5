"""Photographs from anywhere: turned upright, of any kind of pixel, and the focal length that EXIF tells."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import IFDRational

from processing.errors import DataError
from processing.single_view.photograph_files import focal_by_exif, read_photograph

WIDTH, HEIGHT = 60, 40
SCENE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
SCENE[:20, :30] = (200, 40, 40)  # RGB: the upper left is red
SCENE[20:] = (40, 160, 40)


def saved(path: Path, image: Image.Image, orientation: int = 1, **inner: float | int) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769).update({int(key[1:], 16): IFDRational(value) for key, value in inner.items()})
    image.save(path, exif=exif)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_exif_says(tmp_path: Path, orientation: int) -> None:
    for ending in (".jpg", ".png"):
        path = saved(tmp_path / f"p{ending}", Image.fromarray(SCENE), orientation)
        with Image.open(path) as stored:
            upright = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
        image = read_photograph(path).image
        assert image.shape == upright.shape
        assert np.abs(image[..., ::-1].astype(int) - upright).max() < 12


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "I;16", "P"])
def test_any_kind_of_pixel_becomes_bgr(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("p.jpg" if mode == "CMYK" else "p.png")
    if mode == "I;16":
        cv2.imwrite(str(path), SCENE[..., ::-1].astype(np.uint16) * 257)
    else:
        Image.fromarray(SCENE).convert(mode).save(path)
    image = read_photograph(path).image
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert image.dtype == np.uint8
    if mode in ("RGBA", "I;16"):
        np.testing.assert_array_equal(image[..., ::-1], SCENE)
    assert image[5, 50].max() < 30, "what is black stays black"


def test_a_photograph_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    big = Image.fromarray(rng.integers(0, 255, (200, 300, 3), dtype=np.uint8))
    for ending in (".jpg", ".png"):
        path = tmp_path / f"cut{ending}"
        big.save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(DataError, match="cut"):
            read_photograph(path)
    (tmp_path / "no.jpg").write_text("words")
    with pytest.raises(DataError, match=r"no\.jpg"):
        read_photograph(tmp_path / "no.jpg")
    with pytest.raises(DataError, match=r"none\.jpg"):
        read_photograph(tmp_path / "none.jpg")


def test_the_focal_length_is_read(tmp_path: Path) -> None:
    stored = Image.fromarray(SCENE)
    film = read_photograph(saved(tmp_path / "a.jpg", stored, x920a=4.2, xa405=26)).focal_px
    assert film == pytest.approx(26 / np.hypot(36, 24) * np.hypot(WIDTH, HEIGHT), rel=1e-3)
    upright = read_photograph(saved(tmp_path / "b.jpg", stored, 6, xa405=26)).focal_px
    assert upright == pytest.approx(film)
    assert read_photograph(tmp_path / "a.jpg", focal_px=77.0).focal_px == 77
    assert read_photograph(saved(tmp_path / "c.jpg", stored)).focal_px is None


def test_the_sensors_pixels_come_first_and_a_crop_is_not_believed() -> None:
    lens = {"focal_mm": 50.0, "plane_x": 5000.0, "plane_unit": 2, "taken_width": 6000.0, "taken_height": 4000.0}
    whole = 50 * 5000 / 25.4
    assert focal_by_exif(lens, 6000, 4000) == pytest.approx(whole)
    assert focal_by_exif(lens, 1000, 1500) == pytest.approx(whole / 4), "made smaller, and turned"
    assert focal_by_exif(lens, 1000, 1000) is None
    assert focal_by_exif({"focal_35mm": 35.0}, 1000, 900) is None
    assert focal_by_exif({"focal_35mm": 35.0}, 1600, 1200) == pytest.approx(35 / np.hypot(36, 24) * 2000)
    assert focal_by_exif({"focal_35mm": 1e6}, 1600, 1200) is None
    assert focal_by_exif({}, 1600, 1200) is None
