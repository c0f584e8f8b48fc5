"""How much of the damage inside a JPEG is found, and what that costs: our proof beside Pillow's decoder at an eighth.

Photographs of photographic grain, baseline as cameras write them, with restart markers, and progressive, are damaged as
cards, cables and disks do it, each time at another place. Every file that was not damaged must be passed by both.
"""

import argparse
import io
import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from PIL import Image

from common.bounded.jpeg_integrity import examine

SECTOR = 512
KINDS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "restarts": {"restart_marker_rows": 1},
    "progressive": {"progressive": True},
}


def photograph(size: tuple[int, int], seed: int, **options: Any) -> bytes:
    coarse = Image.effect_noise((size[0] // 8, size[1] // 8), 40 + 8 * seed).resize(size, Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image = Image.blend(coarse, Image.effect_noise(size, 18), 0.3)
    Image.merge("RGB", [image] * 3).save(stream, "JPEG", quality=90, **options)
    return stream.getvalue()


def put(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def flipped(data: bytes, at: int, draw: random.Random) -> bytes:
    return put(data, at, bytes([data[at] ^ (1 << draw.randrange(8))]))


DAMAGE: dict[str, Callable[[bytes, int, random.Random], bytes]] = {
    "cut off": lambda data, at, _: data[:at],
    "cut off, end marker added": lambda data, at, _: data[:at] + b"\xff\xd9",
    "zeros to the end marker": lambda data, at, _: data[:at] + bytes(len(data) - at - 2) + data[-2:],
    "512 zeros": lambda data, at, _: put(data, at, bytes(SECTOR)),
    "512 erased (ff)": lambda data, at, _: put(data, at, b"\xff" * SECTOR),
    "512 random": lambda data, at, draw: put(data, at, draw.randbytes(SECTOR)),
    "512 lost": lambda data, at, _: data[:at] + data[at + SECTOR :],
    "512 twice": lambda data, at, _: data[: at + SECTOR] + data[at:],
    "two of 512 exchanged": lambda data, at, _: put(
        data, at, data[at + SECTOR : at + 2 * SECTOR] + data[at : at + SECTOR]
    ),
    "one byte lost": lambda data, at, _: data[:at] + data[at + 1 :],
    "one bit flipped": flipped,
}


def forgiving(data: bytes) -> bool:
    """Whether Pillow refuses it."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            image.draft("L", (max(1, image.width // 8), max(1, image.height // 8)))
            image.load()
    except (OSError, SyntaxError, ValueError):
        return True
    return False


def seconds(work: Callable[[], object]) -> float:
    """Processor time, the best of five."""
    found = []
    for _ in range(5):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", type=int, default=200, help="damaged, of each kind of file and damage")
    parser.add_argument("--json", action="store_true", help="figures as one JSON object on the last line")
    options = parser.parse_args()
    draw = random.Random(1)
    figures: dict[str, Any] = {
        "found_percent": {},
        "pillow_found_percent": {},
        "wrongly_refused": 0,
        "places": options.places,
    }
    for kind, how in KINDS.items():
        print(f"damaging {kind} files", file=sys.stderr, flush=True)
        files = [photograph((1200, 800), seed, **how) for seed in range(4)]
        figures["wrongly_refused"] += sum(bool(examine(data).flaw) or forgiving(data) for data in files)
        for name, damage in DAMAGE.items():
            ours = theirs = 0
            for number in range(options.places):
                data = files[number % len(files)]
                at = draw.randrange(len(data) // 20, len(data) - 2 * SECTOR - 2)
                spoilt = damage(data, at, draw)
                ours += bool(examine(spoilt).flaw)
                theirs += forgiving(spoilt)
            figures["found_percent"][f"{kind}, {name}"] = round(100 * ours / options.places, 1)
            figures["pillow_found_percent"][f"{kind}, {name}"] = round(100 * theirs / options.places, 1)
    large = photograph((6000, 4000), 0)
    figures["megabytes"] = round(len(large) / 1e6, 1)
    figures["proof_seconds"] = round(seconds(lambda: examine(large)), 4)
    figures["pillow_seconds"] = round(seconds(lambda: forgiving(large)), 4)
    if options.json:
        print(json.dumps(figures))
        return
    for name, found in figures.pop("found_percent").items():
        print(f"{name:<45} {found:5.1f} %   Pillow {figures['pillow_found_percent'][name]:5.1f} %")
    del figures["pillow_found_percent"]
    for name, found in figures.items():
        print(f"{name:<45} {found}")


if __name__ == "__main__":
    main()
