from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from processing.errors import ShapeError
from processing.files.displacement_exr import read_displacement_exr, write_displacement_exr
from processing.files.displacement_map import DisplacementMap, DisplacementMapError
from processing.files.displacement_png import (
    QUANTUM,
    decode_displacement,
    encode_displacement,
    read_displacement_png,
    write_displacement_png,
)


@settings(deadline=None, max_examples=100)
@given(st.floats(-5, 4.9998), st.sampled_from([5.0, 1.0, 12.5]))
def test_a_height_comes_back_within_half_a_step(height: float, scale: float) -> None:
    mm = np.array([[height * scale / 5]], dtype=np.float32)
    again = decode_displacement(encode_displacement(mm, scale), scale)
    assert abs(float(again[0, 0]) - float(mm[0, 0])) <= 0.5 * scale / 32768 + 1e-6


def test_every_value_decodes_to_itself() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(encode_displacement(decode_displacement(values)), values)
    assert decode_displacement(np.array([[32768]], np.uint16))[0, 0] == 0


def test_heights_beyond_the_scale_are_cut_off_and_nan_is_refused() -> None:
    assert encode_displacement(np.array([[-90.0, 90.0]], np.float32)).tolist() == [[0, 65535]]
    with pytest.raises(DisplacementMapError, match="finite"):
        encode_displacement(np.array([[np.nan]], np.float32))


@pytest.fixture
def relief() -> DisplacementMap:
    rng = np.random.default_rng(0)
    return DisplacementMap(rng.uniform(-4, 4, (96, 96)).astype(np.float32), rng.random((96, 96)) < 0.7)


def test_a_file_keeps_heights_mask_and_scale(tmp_path: Path, relief: DisplacementMap) -> None:
    write_displacement_png(tmp_path / "d.png", relief)
    again = read_displacement_png(tmp_path / "d.png")
    assert np.abs(again.height_mm - relief.height_mm).max() <= 0.5 * (QUANTUM + 1) * 5 / 32768 + 1e-6
    write_displacement_png(tmp_path / "flat.png", DisplacementMap(np.zeros((8, 8), np.float32), np.ones((8, 8), bool)))
    assert not read_displacement_png(tmp_path / "flat.png").height_mm.any()
    np.testing.assert_array_equal(again.valid, relief.valid)
    with PillowImage.open(tmp_path / "d.png") as picture:
        assert picture.mode == "I;16"
        assert float(picture.text["scale_mm"]) == 5.0
        assert picture.text["midpoint"] == "32768"


def test_a_file_without_scale_needs_one(tmp_path: Path, relief: DisplacementMap) -> None:
    PillowImage.fromarray(encode_displacement(relief.height_mm, 2.0)).save(tmp_path / "bare.png")
    with pytest.raises(DisplacementMapError, match="--scale-mm"):
        read_displacement_png(tmp_path / "bare.png")
    again = read_displacement_png(tmp_path / "bare.png", scale_mm=2.0)
    assert np.abs(again.height_mm - relief.height_mm.clip(-2, 2)).max() < 1e-4
    assert again.valid.all()
    write_displacement_png(tmp_path / "own.png", relief)
    with pytest.raises(DisplacementMapError, match=r"5\.0 mm, not 2\.0"):
        read_displacement_png(tmp_path / "own.png", scale_mm=2.0)


def test_an_exr_keeps_heights_exactly(tmp_path: Path, relief: DisplacementMap) -> None:
    write_displacement_exr(tmp_path / "d.exr", relief)
    again = read_displacement_exr(tmp_path / "d.exr")
    np.testing.assert_array_equal(again.height_mm, relief.height_mm)
    np.testing.assert_array_equal(again.valid, relief.valid)
    with pytest.raises(DisplacementMapError, match=r"1\.0 mm, not 2\.0"):
        read_displacement_exr(tmp_path / "d.exr", scale_mm=2.0)
    with OpenEXR.File(str(tmp_path / "d.exr")) as file:
        header = dict(file.header())
    assert (header["unit"], header["scale_mm"], header["midpoint"]) == ("mm", 1.0, 0.0)


def test_an_exr_of_another_program_needs_a_scale(tmp_path: Path, relief: DisplacementMap) -> None:
    def write(name: str, **channels: np.ndarray) -> Path:
        with OpenEXR.File({"type": OpenEXR.scanlineimage}, channels) as file:
            file.write(str(tmp_path / name))
        return tmp_path / name

    bare = write("bare.exr", R=relief.height_mm)
    with pytest.raises(DisplacementMapError, match="--scale-mm"):
        read_displacement_exr(bare)
    np.testing.assert_allclose(read_displacement_exr(bare, scale_mm=10.0).height_mm, 10 * relief.height_mm, rtol=1e-6)
    oblong, blank = write("oblong.exr", Y=relief.height_mm[:40]), write("blank.exr", Q=relief.height_mm)
    (tmp_path / "cut.exr").write_bytes(bare.read_bytes()[:400])
    (tmp_path / "text.exr").write_text("no picture")
    for file, why in ((oblong, "square"), (blank, "channels Q"), (tmp_path / "cut.exr", "read as"),
                      (tmp_path / "text.exr", "read as"), (tmp_path / "gone.exr", "not there")):  # fmt: skip
        with pytest.raises(DisplacementMapError, match=why):
            read_displacement_exr(file, scale_mm=1.0)
    with pytest.raises(DisplacementMapError, match="finite"):
        write_displacement_exr(
            tmp_path / "nan.exr", DisplacementMap(np.full((8, 8), np.nan, np.float32), np.ones((8, 8), bool))
        )
    assert not (tmp_path / "nan.exr").exists()


def test_what_is_no_displacement_map_is_refused(tmp_path: Path, relief: DisplacementMap) -> None:
    PillowImage.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "colour.png")
    PillowImage.fromarray(np.zeros((8, 16), np.uint16)).save(tmp_path / "oblong.png")
    write_displacement_png(tmp_path / "whole.png", relief)
    data = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.png").write_text("no picture")
    for name, why in (("colour", "16-bit"), ("oblong", "square"), ("cut", "read"), ("text", "read"), ("gone", "there")):
        with pytest.raises(DisplacementMapError, match=why):
            read_displacement_png(tmp_path / f"{name}.png")
    with pytest.raises(ShapeError):
        DisplacementMap(np.zeros((4, 5), np.float32), np.ones((4, 5), bool))
