"""Fuzz one reader for a while, in this process: python tests/common/bounded/fuzz.py READER SECONDS [FOLDER]

Whole files are mutated by hypothesis's choice (which also makes what fails small). Ends with 0 and a line of figures,
or with what went wrong: an error that is not ours, a hang of 10 s, a death (the file is in FOLDER/READER), 1 GB of
memory.
"""

import faulthandler
import json
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

sys.path[:0] = [str(Path(__file__).resolve().parents[3]), str(Path(__file__).resolve().parent)]

from readers import READERS, Reader  # noqa: E402

HANG_S = 10.0
MOST_KB = 1_000_000
NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1]
WORDS = [
    b"nan", b"inf", b"-1", b"0", b"1e999", b"99999999999", b"-99999999999999999999", b"1" * 5000, b"null", b"true",
    b"{}", b"[]",
    b'""', b"\xff\xfe", b"\x00", b"\x1b[2J", "‮".encode(), b"../../x", b"[" * 300, b"{\"a\":" * 300, b"a." * 100,
    b"'''", b'"""', b"#", b"\n", b"\r", b"/", b"\\", b" " * 300, b"\xed\xa0\x80",
]  # fmt: skip


def mutate(data: bytes, choice: tuple[str, int, int, int]) -> bytes:
    """One change. choice: kind, place, length, what."""
    kind, at, length, what = choice
    at %= len(data) + 1
    end = min(len(data), at + length % 64)
    if kind == "flip" and at < len(data):
        return data[:at] + bytes([data[at] ^ (1 << what % 8)]) + data[at + 1 :]
    if kind == "byte" and at < len(data):
        return data[:at] + bytes([what % 256]) + data[at + 1 :]
    if kind == "number":
        width = (1, 2, 4, 8)[length % 4]
        number = NUMBERS[what % len(NUMBERS)] % (1 << 8 * width)
        return data[:at] + number.to_bytes(width, ("little", "big")[length // 4 % 2]) + data[at + width :]
    if kind == "word":
        return data[:at] + WORDS[what % len(WORDS)] + data[end if length % 2 else at :]
    if kind == "token":  # a number or a word of a text, exchanged
        start = next((k for k in range(at, len(data)) if data[k : k + 1].isdigit()), at)
        stop = next((k for k in range(start, len(data)) if data[k] not in b"0123456789.eE+-"), len(data))
        return data[:start] + WORDS[what % len(WORDS)] + data[stop:]
    if kind == "cut":
        return data[:at]
    if kind == "drop":
        return data[:at] + data[end:]
    if kind == "twice":
        return data[:end] + data[at:end] * (1 + what % 50) + data[end:]
    if kind == "swap":
        other = what % (len(data) + 1)
        return data[:at] + data[other : other + end - at] + data[end:]
    return data


CHOICES = st.tuples(
    st.sampled_from(["flip", "byte", "number", "word", "token", "cut", "drop", "twice", "swap"]),
    st.integers(0, 1 << 20),
    st.integers(0, 1 << 10),
    st.integers(0, 1 << 20),
)


def try_one(reader: Reader, path: Path, data: bytes, hang_s: float = HANG_S) -> bool:
    """Whether it was read; an error that is not ours is raised."""
    path.write_bytes(data)
    faulthandler.dump_traceback_later(hang_s, exit=True)
    try:
        reader.read(path)
    except Exception as error:
        if not isinstance(getattr(error, "exit_code", None), int):
            raise
        return False
    finally:
        faulthandler.cancel_dump_traceback_later()
    return True


def decoders_kb() -> int:
    """The most that a decoding process of this one has held."""
    most = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            said = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except (OSError, ValueError):
            continue
        if int(said.get("PPid", 0)) == os.getpid():
            most = max(most, int(said.get("VmHWM", "0 kB").split()[0]))
    return most


def run(name: str, seconds: float, folder: Path, start: int = 0) -> dict[str, Any]:
    """Raises what was found, made small."""
    reader = READERS[name]
    work = folder / name
    work.mkdir(parents=True, exist_ok=True)
    for beside, content in reader.beside().items():
        (work / beside).write_bytes(content)
    path = work / reader.name
    seeds = reader.files()
    whole = [try_one(reader, path, data, 200.0) for data in seeds]  # what it imports is no hang
    assert all(whole), f"{name}: whole files {[i for i, good in enumerate(whole) if not good]} are not read"
    until, counts = time.monotonic() + seconds, {"inputs": 0, "read": 0}

    @settings(max_examples=500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(seeds), st.lists(CHOICES, min_size=1, max_size=6))
    def one(data: bytes, changes: list[tuple[str, int, int, int]]) -> None:
        if time.monotonic() > until:
            return
        for change in changes:
            data = mutate(data, change)
        counts["inputs"] += 1
        counts["read"] += try_one(reader, path, data)

    rounds = start or random.randrange(1 << 30)
    while time.monotonic() < until:
        seed(rounds)(one)()
        rounds += 1
    kilobytes = max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, decoders_kb())
    assert kilobytes < MOST_KB, f"{name}: {kilobytes} kB of memory"
    return {"reader": name, "seconds": seconds, "mb": kilobytes // 1000, **counts}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        given_folder = Path(sys.argv[3]) if len(sys.argv) > 3 else Path(temporary)
        print(json.dumps(run(sys.argv[1], float(sys.argv[2]), given_folder)))
