"""Whatever is put into a JPEG beside its picture stays here, and the picture leaves as it is."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from processing.release.formats.assets.icc_profile import clean_profile
from processing.release.formats.assets.jpeg_strip import JFIF, strip_jpeg
from processing.release.formats.errors import ReleaseError

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 56, 3)).astype(np.uint8)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PLANTED = b"Planted Name"


def jpeg(mode: str = "RGB", **more: object) -> bytes:
    out = io.BytesIO()
    Image.fromarray(PIXELS).convert(mode).save(out, format="JPEG", **more)
    return out.getvalue()


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.array(picture)


def segments(data: bytes) -> list[tuple[int, bytes]]:
    """(marker, content) of all segments before the end; a scan's codes are passed over."""
    found, at = [], 2
    while data[at + 1] != 0xD9:
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        found.append((data[at + 1], data[at + 4 : end]))
        at = end
        if found[-1][0] == 0xDA:
            while data[at] != 0xFF or data[at + 1] == 0 or 0xD0 <= data[at + 1] <= 0xD7:
                at += 1
    assert data[at:] == b"\xff\xd9"
    return found


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


PICTURES = {
    "baseline": jpeg(quality=80),
    "progressive": jpeg(progressive=True, quality=80),
    "grey": jpeg("L"),
    "restarts": jpeg(restart_marker_rows=1),
    "fine": jpeg(subsampling=0, quality=95),
    "cmyk": jpeg("CMYK"),
    "rgb": jpeg(keep_rgb=True),
}
KNOWN = st.sampled_from(
    [
        (0xE0, b"JFXX\0\x10" + PLANTED),
        (0xE0, b"JFIF\0\x01\x02\x01\x01\x2c\x01\x2c\x02\x02" + PLANTED),
        (0xE0, b"AVI1" + PLANTED),
        (0xE0, PLANTED),
        (0xE1, b"Exif\0\0" + PLANTED),
        (0xE2, b"MPF\0" + PLANTED),
        (0xE2, b"ICC_PROFILE\0\x01\x01" + PLANTED),
        (0xED, b"Photoshop 3.0\0" + PLANTED),
        (0xFE, PLANTED),
        (0xF5, PLANTED),
        (0xEF, PLANTED + bytes(60_000)),
    ]
)
SOUP = st.lists(
    st.one_of(KNOWN, st.tuples(st.sampled_from([*range(0xE1, 0xEE), 0xEF, 0xFE]), st.binary(max_size=40))), max_size=6
)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(sorted(PICTURES)),
    soup=SOUP,
    fill=st.integers(0, 3),
    after=st.binary(max_size=60),
    data=st.data(),
)
def test_only_the_picture_leaves(
    kind: str, soup: list[tuple[int, bytes]], fill: int, after: bytes, data: st.DataObject
) -> None:
    whole = PICTURES[kind]
    places = [2]
    while whole[places[-1] + 1] != 0xDA:
        places.append(places[-1] + 2 + struct.unpack_from(">H", whole, places[-1] + 2)[0])
    spoilt = whole
    for place in sorted(
        data.draw(st.lists(st.sampled_from(places), min_size=len(soup), max_size=len(soup))), reverse=True
    ):
        extra = soup.pop()
        if kind in ("rgb", "cmyk") and extra[1].startswith(b"JFIF"):
            continue  # says that the picture is another
        spoilt = spoilt[:place] + b"\xff" * fill + segment(*extra) + spoilt[place:]
    left = strip_jpeg(spoilt + after)
    np.testing.assert_array_equal(pixels(left), pixels(whole))
    notes = [(marker, content) for marker, content in segments(left) if marker >= 0xE0]
    allowed = {0xE0: JFIF[4:]} if kind not in ("rgb", "cmyk") else {0xEE: b"Adobe\0\x64\0\0\0\0" + left[17:18]}
    assert all(allowed.get(marker) == content for marker, content in notes)
    assert len(notes) == 1
    assert PLANTED not in left
    assert strip_jpeg(left) == left


@pytest.mark.parametrize("kind", ["baseline", "rgb", "grey"])
def test_frames_and_tables_hold_nothing_more(kind: str) -> None:
    whole = PICTURES[kind]
    for marker in (0xDB, 0xC4, 0xC0, 0xDA):
        at = whole.index(bytes([0xFF, marker]))
        length = struct.unpack_from(">H", whole, at + 2)[0]
        longer = whole[: at + 2] + struct.pack(">H", length + 12) + whole[at + 4 : at + 2 + length] + PLANTED
        with pytest.raises(ReleaseError, match="damaged"):
            strip_jpeg(longer + whole[at + 2 + length :])


def test_a_profile_leaves_as_its_colours_alone() -> None:
    named = SRGB.replace(b"sRGB built-in", PLANTED.ljust(13))
    left = strip_jpeg(jpeg(icc_profile=named, exif=b"Exif\0\0" + PLANTED))
    assert PLANTED not in left
    with Image.open(io.BytesIO(left)) as picture:
        profile = picture.info["icc_profile"]
    assert {marker for marker, _ in segments(left) if marker >= 0xE0} == {0xE0, 0xE2}
    patches = Image.fromarray(PIXELS)
    lab = ImageCms.createProfile("LAB")
    seen = [
        np.array(ImageCms.applyTransform(patches, ImageCms.buildTransform(io.BytesIO(one), lab, "RGB", "LAB")), int)
        for one in (SRGB, profile)
    ]
    assert np.abs(seen[0] - seen[1]).max() <= 1
    assert clean_profile(profile) == profile


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_rubbish_for_a_profile(data: st.DataObject) -> None:
    spoilt = bytearray(SRGB)
    for at in data.draw(st.lists(st.integers(0, len(SRGB) - 1), max_size=8)):
        spoilt[at] = data.draw(st.integers(0, 255))
    for one in (bytes(spoilt), bytes(spoilt[: data.draw(st.integers(0, len(spoilt)))])):
        found = clean_profile(one)
        assert found is None or found == clean_profile(found)
