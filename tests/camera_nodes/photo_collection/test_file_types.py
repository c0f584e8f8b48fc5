"""Files are told by content, a JPEG that ends early is not taken for whole, and capture times are read as written."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from camera_nodes.photo_collection.file_types import (
    capture_time,
    jpeg_fault,
    kind_by_name,
    kind_of,
    next_number,
    read_name,
)
from camera_nodes.sim_camera import built_in_photo, built_in_raw


def jpeg(*, progressive=False, exif=None, restart=0):
    out = io.BytesIO()
    picture = Image.linear_gradient("L").resize((96, 64)).convert("RGB")
    picture.save(out, "JPEG", quality=85, progressive=progressive, restart_marker_rows=restart, exif=exif or b"")
    return out.getvalue()


WHOLE = {"baseline": jpeg(), "progressive": jpeg(progressive=True), "restarts": jpeg(restart=1)}


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("IMG_0001.JPG", built_in_photo("x"), "jpeg"),
        ("IMG_0001.CR2", built_in_raw("x"), "raw"),
        ("IMGP0001.PEF", built_in_raw("x"), "raw"),
        ("IMG_0001.xyz", b"MM\0*" + bytes(40), "raw"),
        ("IMG_0001.CR3", bytes(4) + b"ftypcrx " + bytes(40), "raw"),
        ("DSCF0001.RAF", b"FUJIFILMCCD-RAW 0201" + bytes(40), "raw"),
        ("IMG_0001.XMP", b"<x:xmpmeta/>", "other"),
        ("IMG_0001.THM", built_in_photo("x"), "other"),
        ("MVI_0001.MOV", bytes(4) + b"ftypqt  ", "other"),
        ("IMG_0001.JPG", b"", "other"),
        ("SND_0001.WAV", b"RIFF", "other"),
    ],
)
def test_what_the_bytes_are(name, data, kind):
    assert kind_of(name, data) == kind


def test_a_name_says_what_came_in_pieces():
    names = ("IMG_1.JPG", "IMG_1.cr2", "a.PEF", "IMG_1.xmp", "IMG_1.odd")
    assert [kind_by_name(name) for name in names] == ["jpeg", "raw", "raw", "other", None]


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_jpeg_is_whole_and_every_beginning_of_it_is_not(name):
    data = WHOLE[name]
    assert jpeg_fault(data) == ""
    for size in range(len(data)):
        assert jpeg_fault(data[:size]), f"{size} of {len(data)} bytes passed"


@settings(deadline=None)
@given(st.binary(max_size=64))
def test_what_a_maker_adds_after_the_end_does_not_matter(more):
    assert jpeg_fault(WHOLE["baseline"] + more) == ""
    assert jpeg_fault(WHOLE["baseline"] + bytes(5000) + more) == ""


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_upset_it(data):
    for beginning in (b"", b"\xff\xd8", b"\xff\xd8\xff", b"II*\0", b"\xff\xd8\xff\xe1\x00\x40Exif\0\0MM\0*"):
        jpeg_fault(beginning + data)
        capture_time(beginning + data)
        kind_of("IMG_0001.JPG", beginning + data)


def with_exif(fields, order):
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769).update(fields)
    return jpeg(exif=exif)


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_capture_time_is_read_in_both_byte_orders(order):
    data = with_exif({0x9003: "2026:03:01 10:15:02", 0x9291: "25", 0x9011: "+05:30"}, order)
    assert data[data.find(b"Exif\0\0") + 6 :][:2] == (b"II" if order == "<" else b"MM")
    assert capture_time(data) == pytest.approx(1772360102.25)


@pytest.mark.parametrize("order", ["<", ">"])
def test_when_a_file_was_written_is_no_capture_time(order):
    exif = Image.Exif()
    exif.endian = order
    exif[0x0132] = "2026:03:01 10:15:02"
    assert capture_time(jpeg(exif=exif)) is None
    assert capture_time(with_exif({0x9003: "    :  :     :  :  "}, order)) is None
    assert capture_time(jpeg()) is None


@settings(deadline=None)
@given(st.integers(0, 9_999_999))
def test_the_counter_is_the_number_at_the_end_of_the_stem(number):
    found = read_name(f"IMG_{number:04d}.JPG")
    assert (found.number, found.made_up) == (number, False)
    assert read_name(f"IMG_{number:04d}.CR2").stem == found.stem


def test_names_made_up_by_the_host_and_the_end_of_the_count():
    assert read_name("capt0003.jpg").made_up
    assert read_name("MVI").number is None
    assert (next_number(9998), next_number(9999)) == (9999, 1)
