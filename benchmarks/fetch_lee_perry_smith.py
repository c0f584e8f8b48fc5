"""Fetches the scan of a shaved head for bench_hard_skin.py, 0.5 MB, and holds it to known hashes.

    python benchmarks/fetch_lee_perry_smith.py [--from ADDRESS]

"Infinite, 3D Head Scan" by Lee Perry-Smith (Infinite-Realities, www.triplegangers.com), Creative Commons Attribution
3.0 Unported, as three.js's examples have it: the mesh, its colours and the licence. They go to
../shared/data/lee_perry_smith, or to lee_perry_smith in the folder that HARD_SUBJECTS names, and are no part of the
project. --from: another folder or address that holds the three files.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import httpx
from hard_subjects.lee_perry_smith import FOLDER, SHA256

from common.files.atomic_write import atomic_write

ADDRESS = "https://raw.githubusercontent.com/mrdoob/three.js/r143/examples/models/gltf/LeePerrySmith"
MOST_BYTES = 4_000_000


def brought(name: str, source: str) -> bytes:
    """A file of a folder or an address. Raises OSError or httpx.HTTPError where it cannot be read."""
    if "://" not in source:
        with (Path(source) / name).open("rb") as file:
            return file.read(MOST_BYTES)
    data = b""
    with httpx.stream("GET", f"{source}/{name}", timeout=30.0, follow_redirects=True) as answer:
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            data += piece
            if len(data) > MOST_BYTES:
                break
    return data


def fetch(source: str, folder: Path) -> None:
    """All files of `source` to `folder`. Raises ValueError, with nothing written, if one is another than is known."""
    files = {name: brought(name, source) for name in SHA256}
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != SHA256[name]:
            raise ValueError(
                f"{source}/{name} is not the file whose hash is known ({SHA256[name]}); try another --from"
            )
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        with atomic_write(folder / name) as temporary:
            temporary.write_bytes(data)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", default=ADDRESS, metavar="ADDRESS", help="folder or address")
    source = parser.parse_args().source
    try:
        fetch(source.rstrip("/"), FOLDER)
    except (OSError, ValueError, httpx.HTTPError) as fault:
        print(f"not fetched: {fault}", file=sys.stderr)
        return 1
    print(FOLDER)
    return 0


if __name__ == "__main__":
    sys.exit(main())
