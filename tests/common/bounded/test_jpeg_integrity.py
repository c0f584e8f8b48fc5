"""A JPEG is whole or it is not: damage as cards, cables and disks do it is found, a whole one never blamed."""

import io
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from common.bounded.jpeg_integrity import PADDING, JpegVerdict, examine, is_progressive

SIZE = (480, 320)
SECTOR = 512


def encode(mode: str = "RGB", quality: int = 92, **options: object) -> bytes:
    coarse = Image.radial_gradient("L").resize(SIZE)
    grain = Image.frombytes("L", SIZE, random.Random(5).randbytes(SIZE[0] * SIZE[1]))
    stream = io.BytesIO()
    Image.blend(coarse, grain, 0.15).convert(mode).save(stream, "JPEG", quality=quality, **options)
    return stream.getvalue()


WHOLE = {
    "baseline": encode(),
    "optimized": encode(optimize=True),
    "restarts": encode(restart_marker_rows=1),
    "grey": encode("L"),
    "4:4:4": encode(subsampling=0),
}
ALL = WHOLE | {"progressive": encode(progressive=True), "cmyk": encode("CMYK"), "coarse": encode(quality=20)}


def codes(data: bytes) -> range:
    """Where the last scan's codes are."""
    start = data.rfind(b"\xff\xda")
    return range(start + 2 + int.from_bytes(data[start + 2 : start + 4], "big"), len(data) - 2)


def cut(data: bytes, at: int) -> bytes:
    return data[:at]


def cut_and_closed(data: bytes, at: int) -> bytes:
    return data[:at] + b"\xff\xd9"


def cut_and_padded(data: bytes, at: int) -> bytes:
    return data[:at] + bytes(len(data) - at)


def lower_half_zeroed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes(len(data) - 2 - at) + data[-2:]


def sector_zeroed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes(SECTOR) + data[at + SECTOR :]


def sector_erased(data: bytes, at: int) -> bytes:
    return data[:at] + b"\xff" * SECTOR + data[at + SECTOR :]


def sector_lost(data: bytes, at: int) -> bytes:
    return data[:at] + data[at + SECTOR :]


def sector_twice(data: bytes, at: int) -> bytes:
    return data[: at + SECTOR] + data[at:]


ALWAYS = [
    cut, cut_and_closed, cut_and_padded, lower_half_zeroed, sector_zeroed, sector_erased, sector_lost, sector_twice,
]  # fmt: skip


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("damage", ALWAYS)
def test_damage_inside_is_found_wherever_it_is(kind: str, damage: Callable[[bytes, int], bytes]) -> None:
    data = WHOLE[kind]
    inside = codes(data)
    for at in range(inside.start, inside.stop - 2 * SECTOR, max(1, len(inside) // 23)):
        assert examine(damage(data, at)).flaw, f"from byte {at} of {len(data)}"


def passes(data: bytes) -> list[int]:
    """Where each pass has its marker."""
    return [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]


def test_a_progressive_picture_without_its_last_passes_is_cut_short() -> None:
    """Its decoder hears of nothing: it shows the picture coarsely, as it does while a page loads."""
    for mode in ("L", "RGB"):
        data = encode(mode, progressive=True)
        begin = passes(data)
        assert len(begin) > 5
        for at in begin[1:]:
            assert "passes" in examine(data[:at] + b"\xff\xd9").flaw


def test_a_component_whose_pass_is_lost_is_missed() -> None:
    """Components in passes of their own: baseline, as some scanners write it."""
    data = encode("L")
    at = passes(data)[0]
    frame = data.index(b"\xff\xc0")
    one, body = data[frame : frame + 13], data[at:-2]
    three = one[:2] + (17).to_bytes(2, "big") + one[4:9] + b"\x03" + b"".join(bytes([n, 0x11, 0]) for n in (1, 2, 3))
    scans = [body[:5] + bytes([n]) + body[6:] for n in (1, 2, 3)]
    head = data[:frame] + three + data[frame + 13 : at]
    assert examine(head + b"".join(scans) + b"\xff\xd9").flaw == ""
    assert "passes" in examine(head + scans[0] + scans[2] + b"\xff\xd9").flaw


@pytest.mark.parametrize("kind", ALL)
def test_a_whole_photograph_is_never_blamed(kind: str) -> None:
    verdict = examine(ALL[kind])
    assert verdict.flaw == ""
    assert verdict.strict
    assert is_progressive(ALL[kind]) == (kind == "progressive")


@pytest.mark.parametrize("value", [0, 255, 128])
@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}])
def test_a_flat_picture_is_no_loss(value: int, options: dict[str, bool]) -> None:
    """Its codes are nearly all alike, zeros where the encoder made the shortest code so."""
    for mode in ("L", "RGB"):
        stream = io.BytesIO()
        Image.new("RGB", (3000, 2000), (value,) * 3).convert(mode).save(stream, "JPEG", **options)
        assert examine(stream.getvalue()).flaw == ""


@pytest.mark.parametrize("after", [bytes(512), b"\xff" * 100, ALL["grey"], b"SEFT" * 99], ids=lambda b: str(len(b)))
def test_what_follows_the_end_marker_is_none_of_its_business(after: bytes) -> None:
    assert examine(WHOLE["baseline"] + after).flaw == ""


def test_a_body_may_pad_its_codes_and_may_not_leave_rubbish() -> None:
    data = WHOLE["baseline"]
    for count in (1, 9, PADDING):
        assert examine(data[:-2] + b"\x55" * count + data[-2:]).flaw == ""
    assert "extraneous" in examine(data[:-2] + random.Random(1).randbytes(300).replace(b"\xff", b"") + data[-2:]).flaw


ODDITIES = {
    "revision": lambda data: data.replace(b"JFIF\0\1", b"JFIF\0\3"),
    "pass": lambda data: data[: codes(data).start - 3] + b"\0\0\0" + data[codes(data).start :],
    "transform": lambda data: data[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\7" + data[2:],
}


@pytest.mark.parametrize("oddity", ODDITIES)
@pytest.mark.parametrize("kind", ["baseline", "restarts", "grey", "4:4:4"])
def test_an_oddity_of_the_header_hides_no_damage_behind_it(kind: str, oddity: str) -> None:
    """A decoder that stops at its first warning stops at these, which are no sign of damage."""
    data = ODDITIES[oddity](WHOLE[kind])
    assert data != WHOLE[kind]
    assert examine(data) == JpegVerdict()
    inside = codes(data)
    for damage in ALWAYS:
        for at in (inside.start + 900, inside.start + len(inside) // 2):
            assert examine(damage(data, at)).flaw


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(sorted(ALL)), st.integers(0, 700), st.booleans())
def test_rubbish_is_refused_or_passed_and_never_raises(rubbish: bytes, kind: str, at: int, spliced: bool) -> None:
    data = ALL[kind]
    examine(data[:at] + rubbish + data[at + len(rubbish) :] if spliced else rubbish)
    assert spliced or examine(rubbish).flaw
