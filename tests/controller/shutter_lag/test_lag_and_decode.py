"""Lag statistics, and a photograph that does not decode."""

import io
import math
import random
from pathlib import Path

import pytest
from PIL import Image

from camera_nodes.wire import Stamps
from controller.errors import FrameRejected
from controller.image_files.photograph_reader import read_photo
from controller.rig_file import CameraEntry, Rig
from controller.shutter_lag.lag_statistics import ShutterLagStatistics, expected_range, outlook, with_lags


def jpeg(value: int = 128, size: tuple[int, int] = (64, 48)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (value, value, value)).save(stream, "JPEG")
    return stream.getvalue()


def noisy_jpeg() -> bytes:
    stream = io.BytesIO()
    Image.frombytes("L", (160, 120), random.Random(1).randbytes(160 * 120)).save(stream, "JPEG")
    return stream.getvalue()


def test_the_size_of_a_photograph_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    path.write_bytes(jpeg(255))
    photo = read_photo(path)
    assert (photo.width, photo.height) == (64, 48)


@pytest.mark.parametrize(
    "data", [b"", b"no photograph", b"\xff\xd8\xff", noisy_jpeg()[: len(noisy_jpeg()) // 2], b"\x89PNG\r\n\x1a\n"]
)
def test_what_does_not_decode_is_rejected(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.part"
    path.write_bytes(data)
    with pytest.raises(FrameRejected):
        read_photo(path)


def test_lags_are_learnt_from_stamps() -> None:
    book, draw = ShutterLagStatistics(), random.Random(3)
    for shot in range(400):
        at = shot * 10**9
        book.add(
            Stamps(
                fire_id="f",
                take_id="t",
                camera=camera,
                commanded_at_ns=at,
                clock_uncertainty_ns=0,
                released_at_ns=at,
                exposed_at_ns=at + round(draw.gauss(mean, 0.3) * 1e6),
                exposure_source="simulated",
            )
            for camera, mean in (("a", 45.0), ("b", 65.0))
        )
    table = {lag.camera: lag for lag in book.table()}
    assert table["a"].mean_ms == pytest.approx(45.0, abs=0.1)
    assert table["b"].sigma_ms == pytest.approx(0.3, abs=0.06)
    rig = with_lags(Rig("r", (CameraEntry("a", 0), CameraEntry("b", 1), CameraEntry("c", 2, lag_ms=9.0))), book.table())
    assert rig.camera("b").lag_ms == pytest.approx(65.0, abs=0.1)
    assert rig.camera("c").lag_ms == 9.0
    forecast = outlook(book.table(), limit_ms=5.0)
    assert forecast is not None
    assert forecast.range_ms == pytest.approx(0.3 * expected_range(2), rel=0.15)


def test_the_expected_range_is_tippetts() -> None:
    assert expected_range(2) == pytest.approx(2 / math.sqrt(math.pi), abs=1e-4)
    assert expected_range(68) == pytest.approx(4.7, abs=0.05)
