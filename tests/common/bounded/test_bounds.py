"""Small files that would take gigabytes, hours or the process: each costs an error, and the next file is read."""

import io
import os
import socket
import struct
import subprocess
import threading
import time
import tomllib
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from common.bounded import decoder_pool
from common.bounded.decoder_pool import DecoderFailed, decode
from common.bounded.decoder_tasks import check_exr
from common.bounded.files import read_bytes
from common.bounded.jpeg_integrity import check_size, examine, is_progressive
from common.bounded.json_toml import parse_json, parse_toml
from common.bounded.limits import MAX_DEPTH, MAX_PIXELS, OutOfBounds
from common.bounded.npz_files import read_npz
from common.guarding.safe_text import is_plain, shown

PIXELS = np.random.default_rng(0).integers(0, 255, (30, 40, 3)).astype(np.uint8)


def jpeg(**more: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(PIXELS).save(out, "JPEG", **more)
    return out.getvalue()


def with_size(data: bytes, width: int, height: int) -> bytes:
    """The same JPEG, saying that it has another size."""
    at = next(at for at in range(len(data)) if data[at : at + 2] in (b"\xff\xc0", b"\xff\xc2"))
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def test_pixels_have_one_limit() -> None:
    assert check_size(with_size(jpeg(), 20_000, 20_000)) == (20_000, 20_000)
    with pytest.raises(OutOfBounds, match="at most 400 are read"):
        check_size(with_size(jpeg(), 20_000, 20_001))
    assert MAX_PIXELS == 400_000_000


def test_a_progressive_picture_has_a_budget_of_memory() -> None:
    small = jpeg(progressive=True)
    assert is_progressive(small)
    assert not examine(small).flaw
    with pytest.raises(OutOfBounds, match="write it as baseline"):
        check_size(with_size(small, 13_000, 13_700))
    assert check_size(with_size(jpeg(), 13_000, 13_700)) == (13_000, 13_700)


def test_a_baseline_picture_in_several_passes_counts_as_progressive() -> None:
    data = jpeg(subsampling=0)
    at = data.index(b"\xff\xda")
    alone = data[:at] + b"\xff\xda" + struct.pack(">HB", 8, 1) + data[at + 5 : at + 7] + data[at + 11 :]
    assert is_progressive(alone)
    with pytest.raises(OutOfBounds):
        check_size(with_size(alone, 13_000, 13_700))


def test_a_million_segments_and_a_gap_without_end_take_no_time() -> None:
    started = time.process_time()
    with pytest.raises(OutOfBounds):
        check_size(b"\xff\xd8" + b"\xff\xfe\0\2" * 1_000_000)
    check_size(jpeg()[:2] + b"\xff" * 20_000_000 + jpeg()[2:])
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "text",
    ["a=" + "[" * 100_000, "a=" + "{a=" * 5_000, ".".join("a" * 50_000) + "=1", "[" + ".".join("a" * 500) + "]"],
)
def test_deep_toml(text: str) -> None:
    with pytest.raises(ValueError, match=r"deeper|parts|TOML|Expected"):
        parse_toml(text)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)])
def test_deep_json(text: str) -> None:
    with pytest.raises(OutOfBounds, match="deeper"):
        parse_json(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@settings(max_examples=80, deadline=None)
@given(JSON)
def test_json_is_read_as_ever(value: Any) -> None:
    import json

    for ascii_only in (True, False):
        assert parse_json(json.dumps(value, ensure_ascii=ascii_only)) == value


TABLE = st.dictionaries(
    st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs", "Cc"])),
    st.integers(-(2**62), 2**62)
    | st.text(alphabet=st.characters(exclude_categories=["Cs"]))
    | st.lists(st.text("[]{}.'\"#ab")),
    max_size=6,
)  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(TABLE)
def test_toml_is_read_as_ever(value: dict[str, Any]) -> None:
    import tomli_w

    text = tomli_w.dumps({"one": value, "two": [{"three": value}]})
    assert parse_toml(text) == tomllib.loads(text)


def test_an_npz_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    header = b"\x93NUMPY\x01\0" + struct.pack("<H", 118)
    header += b"{'descr': '<f8', 'fortran_order': False, 'shape': (250000000,), }".ljust(117) + b"\n"
    bomb = tmp_path / "bomb.npz"
    with (
        zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w", force_zip64=True) as to,
    ):
        to.write(header)
        for _ in range(700):
            to.write(bytes(1 << 20))
    assert bomb.stat().st_size < 1_000_000
    with pytest.raises(OutOfBounds, match="unpacked"):
        read_npz(bomb)


@pytest.mark.parametrize("shape", ["(-1,)", "(4611686018427387904, 4)", "(1,) * 99", "3", "(2.0,)", "(True, 1)"])
@pytest.mark.parametrize("descr", ["<f8", "|O", "<U999999999"])
def test_arrays_whose_headers_lie(tmp_path: Path, shape: str, descr: str) -> None:
    body = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\0" + struct.pack("<H", 118) + body + bytes(24))
    with pytest.raises(ValueError):  # noqa: PT011
        read_npz(tmp_path / "a.npz")


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["<f8", "<f4", "<i4", "|u1", "|i1", "<U5", "|b1"]),
    st.lists(st.integers(0, 4), max_size=3),
    st.booleans(),
)
def test_arrays_are_read_as_ever(dtype: str, shape: list[int], fortran: bool) -> None:
    import tempfile

    given_array = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    given_array = np.asfortranarray(given_array) if fortran else given_array
    with tempfile.TemporaryDirectory() as folder:
        np.savez_compressed(Path(folder) / "a.npz", a=given_array, b=np.eye(2))
        found = read_npz(Path(folder) / "a.npz")
        np.testing.assert_array_equal(found["a"], given_array)
        assert found["a"].dtype == given_array.dtype
        assert read_npz(Path(folder) / "a.npz", ("b", "c")).keys() == {"b"}


def test_a_png_that_unpacks_to_gigabytes() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = zlib.compress(bytes(1 << 20), 9)
    for width, height in ((60_000, 60_000), (1, 2**31 - 1)):
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        bomb = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", row) + chunk(b"IEND", b"")
        for task in ("picture", "pillow"):
            with pytest.raises(OutOfBounds, match="megapixels"):
                decode(task, bomb)


def test_an_exr_that_says_it_is_endless() -> None:
    head = b"\x76\x2f\x31\x01\x02\0\0\0"
    head += (
        b"channels\0chlist\0" + struct.pack("<i", 19) + b"Y\0" + struct.pack("<iBBBBii", 2, 0, 0, 0, 0, 1, 1) + b"\0"
    )
    head += b"dataWindow\0box2i\0" + struct.pack("<i4i", 16, 0, 0, 200_000, 200_000) + b"\0"
    with pytest.raises(OutOfBounds):
        decode("exr", head)
    for cut in range(len(head)):
        with pytest.raises(ValueError):  # noqa: PT011
            check_exr(head[:cut])


def test_a_pipe_a_device_and_a_folder_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(OSError, match=r"pipe|folder"):
            read_bytes(path, 100)
        with pytest.raises(OSError, match=r"pipe|folder"):
            decode("picture", path)
    (tmp_path / "long").write_bytes(bytes(101))
    with pytest.raises(OutOfBounds):
        read_bytes(tmp_path / "long", 100)
    assert len(read_bytes(tmp_path / "long", 101)) == 101


def test_pixels_come_back_as_they_are(tmp_path: Path) -> None:
    data = jpeg(quality=95)
    (tmp_path / "0.jpg").write_bytes(data)
    (bgr,), about = decode("photograph", tmp_path / "0.jpg")
    (rgb,), _ = decode("pillow", data, mode="RGB")
    assert about == {"flaw": "", "orientation": 1}
    np.testing.assert_array_equal(bgr[..., ::-1], rgb)
    bgr[0, 0] = 0  # they may be changed
    (grey,), _ = decode("picture", data, colours="GRAY")
    assert grey.shape == (30, 40)


def test_a_decoder_that_dies_or_never_ends_costs_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    decode("proof", jpeg())
    process = decoder_pool._pool.take()
    os.kill(process.number, 9)
    decoder_pool._pool.give(process)
    assert decode("proof", jpeg())[1]["flaw"] == ""
    mute = object.__new__(decoder_pool._Process)
    mute.channel, other = socket.socketpair()
    sleeper = subprocess.Popen(["sleep", "60"])
    mute.number, mute.used = sleeper.pid, True
    monkeypatch.setattr(decoder_pool._pool, "take", lambda: mute)
    with pytest.raises(DecoderFailed, match="not decoded in"):
        decode("proof", jpeg(), seconds=0.1)
    sleeper.returncode = -9  # it was ended, and waited for
    other.close()
    monkeypatch.undo()
    assert decode("proof", jpeg())[1]["flaw"] == ""


def test_a_machine_without_a_decoder_blames_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "simplejpeg.py").write_text("raise ImportError('libturbojpeg.so.0: cannot open shared object file')\n")
    pool = decoder_pool._Pool()
    monkeypatch.setattr(decoder_pool, "_pool", pool)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for task in ("proof", "photograph"):
        with pytest.raises(ImportError, match=r"libturbojpeg\.so\.0"):
            decode(task, jpeg())
    pool.close()


def test_a_disk_that_does_not_read_blames_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "0.jpg"
    file.write_bytes(jpeg())
    for unreadable in (os.O_WRONLY, os.O_PATH):  # the system refuses to read, as it does on a disk that fails
        monkeypatch.setattr(decoder_pool, "_opened", lambda *_, how=unreadable: os.open(file, how))
        with pytest.raises(OSError, match="Bad file descriptor"):
            decode("proof", file)
    monkeypatch.undo()
    assert decode("proof", file)[1]["flaw"] == ""


def test_what_a_decoder_says_is_not_believed() -> None:
    handle = os.memfd_create("few")
    os.ftruncate(handle, 10)
    for reply in (
        {},
        {"about": {}, "arrays": [{"shape": [1000], "dtype": "|u1"}]},
        {"about": {}, "arrays": [{"shape": [-1], "dtype": "|u1"}]},
        {"about": {}, "arrays": [{"shape": [1], "dtype": "|O"}]},
        {"about": {}, "arrays": [{"shape": [1]}]},
        {"about": [], "arrays": []},
        {"about": {}, "arrays": 3},
    ):
        with pytest.raises(DecoderFailed):
            decoder_pool._result(reply, [os.dup(handle)])
    with pytest.raises(ValueError, match=r"\\x1b"):
        decoder_pool._result({"error": "\x1b[2J"}, [])
    os.close(handle)


def test_many_threads_at_once() -> None:
    data, seen = jpeg(), []

    def work() -> None:
        seen.extend(decode("photograph", data)[0][0].shape for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [(30, 40, 3)] * 20


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=300))
def test_what_is_shown_is_plain(text: str) -> None:
    said = shown(text)
    assert is_plain(said)
    assert len(said) <= 200 * 10 + 1
    said.encode("utf-8")
    if is_plain(text) and len(text) <= 200:
        assert said == text
