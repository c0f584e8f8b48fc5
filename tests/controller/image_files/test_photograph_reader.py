"""What a photograph says of itself is read before it is acknowledged, and what cannot be read spoils nothing."""

import errno
import io
import random
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from controller.errors import FrameRejected
from controller.image_files.photograph_reader import read_photo


def save(path: Path, exif: Image.Exif | bytes, size: tuple[int, int] = (640, 480), mode: str = "RGB") -> Path:
    stream = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(stream, "JPEG", exif=exif)
    path.write_bytes(stream.getvalue())
    return path


def test_exif_is_read(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[271], exif[272], exif[274] = "NIKON CORPORATION", "NIKON D850\0\0", 6
    inner = exif.get_ifd(0x8769)
    inner[33434], inner[33437], inner[34855] = IFDRational(1, 125), IFDRational(8, 1), 200
    inner[36867], inner[42033], inner[37386] = "2026:03:01 10:15:02", "6123004511", IFDRational(50, 1)
    found = read_photo(save(tmp_path / "0.jpg", exif)).exif
    assert (found.make, found.model, found.serial) == ("NIKON CORPORATION", "NIKON D850", "6123004511")
    assert found.exposure_s == pytest.approx(0.008)
    assert (found.f_number, found.iso, found.focal_length_mm, found.orientation) == (8.0, 200, 50.0, 6)
    assert found.taken_at == "2026:03:01 10:15:02"
    assert found.values() == {k: v for k, v in found.values().items() if v not in ("", None)}


def test_a_photograph_without_exif_says_nothing(tmp_path: Path) -> None:
    photo = read_photo(save(tmp_path / "0.jpg", b""))
    assert photo.exif.values() == {}
    assert (photo.width, photo.height) == (640, 480)


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
        b"Exif\0\0rubbish",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\xff\xff\xff\xf0\0\0\0\0",
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_exif_rejects_nothing(tmp_path: Path, exif: bytes) -> None:
    photo = read_photo(save(tmp_path / "0.jpg", exif))
    assert photo.width == 640
    assert photo.exif.model == ""


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (17, 300), (801, 603)])
def test_any_size_and_colour_decodes(tmp_path: Path, mode: str, size: tuple[int, int]) -> None:
    photo = read_photo(save(tmp_path / "0.jpg", b"", size, mode))
    assert (photo.width, photo.height) == size


@pytest.mark.parametrize("lost", [3, 500, 0.2, 0.9])
def test_a_cut_off_photograph_does_not_decode(tmp_path: Path, lost: float) -> None:
    path = tmp_path / "0.jpg"
    stream = io.BytesIO()
    Image.effect_noise((640, 480), 60).save(stream, "JPEG")
    data = stream.getvalue()
    path.write_bytes(data[: len(data) - round(lost if lost > 1 else lost * len(data))])
    with pytest.raises(FrameRejected, match="cut short"):
        read_photo(path)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"optimize": True}])
def test_a_photograph_that_is_destroyed_inside_is_not_filed(tmp_path: Path, options: dict[str, bool]) -> None:
    """Header and end marker are there, and every viewer shows it; the decoder's warnings say what was lost."""
    grain = Image.frombytes("L", (640, 480), random.Random(3).randbytes(640 * 480))
    stream = io.BytesIO()
    Image.blend(Image.linear_gradient("L").resize((640, 480)), grain, 0.2).save(stream, "JPEG", quality=92, **options)
    data, path = stream.getvalue(), tmp_path / "0.jpg"
    middle = data.find(b"\xff\xda") + (len(data) - data.find(b"\xff\xda")) // 3
    path.write_bytes(data + bytes(4096))  # a maker's padding is no loss
    assert read_photo(path).width == 640
    rubbish = random.Random(4).randbytes(2048)
    for damaged in (
        data[:middle] + bytes(len(data) - 2 - middle) + data[-2:],
        data[:middle] + b"\xff\xd9",
        data[:middle] + rubbish + data[middle + len(rubbish) :],
        data[:middle] + rubbish.replace(b"\xff", b"\xfe") + data[middle:],
        data[:middle] + data[middle + 1024 :],
    ):
        path.write_bytes(damaged)
        with pytest.raises(FrameRejected, match="the JPEG is damaged"):
            read_photo(path)


def test_a_disk_that_fails_rejects_no_photograph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is rejected is taken off its node's spool; what the disk holds back is read again later."""
    path = save(tmp_path / "0.jpg", b"")

    def fails(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Image, "open", fails)
    with pytest.raises(OSError, match="Input/output error"):
        read_photo(path)
