"""How fast a release is verified, beside `sha256sum` over the same bytes in the same run.

A folder of the sizes that a release has (meshes, textures, displacement maps, scans, photographs) is made, read once so
that both sides find it in memory, then verified and hashed in turn; the best round of each counts.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common.processors import usable_cpus
from processing.release.formats.manifest import ManifestHead, make_manifest, write_manifest
from processing.release.holder.verify import verify

# One expression: (path, kilobytes), after FaceScape's files at the demo's resolution.
EXPRESSION = (
    ("{s}/models_reg/{e}.obj", 3_400),
    ("{s}/models_reg/{e}.obj.mtl", 1),
    ("{s}/models_reg/{e}.jpg", 1_200),
    ("{s}/dpmap/{e}.png", 5_000),
    ("mesh/{s}/{e}.ply", 24_000),
    *((f"img/{{s}}/{{e}}/{view}.jpg", 240) for view in range(68)),
    ("img/{s}/{e}/params.json", 60),
)


def make_release(folder: Path, megabytes: int) -> list[str]:
    """Files of random bytes under release names, about `megabytes` in all."""
    noise = os.urandom(32_000_000)
    names: list[str] = []
    written, number = 0, 0
    while written < megabytes * 1_000_000:
        for pattern, kilobytes in EXPRESSION:
            path = pattern.format(s=number // 20 + 1, e=f"{number % 20 + 1}_expression")
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            start = hash(path) % 1_000_000
            (folder / path).write_bytes(noise[start : start + kilobytes * 1000])
            names.append(path)
            written += kilobytes * 1000
        number += 1
    return names


def best(rounds: int, *timed: Callable[[], None]) -> list[float]:
    """Seconds of the best round of each, taken in turn."""
    seconds = [float("inf")] * len(timed)
    for _ in range(rounds):
        for k, call in enumerate(timed):
            begun = time.perf_counter()
            call()
            seconds[k] = min(seconds[k], time.perf_counter() - begun)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="only the JSON line on stdout")
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if shutil.which("sha256sum") is None:
        sys.exit("bench_verify compares with sha256sum, which is not here")
    cpus = usable_cpus()
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as temporary:
        folder = Path(temporary) / "release"
        print(f"writing {arguments.megabytes} MB under {temporary}", file=sys.stderr)
        names = make_release(folder, arguments.megabytes)
        manifest = make_manifest(
            folder, names, ManifestHead(name="bench", version=1, consent_day="2026-01-01", subjects=())
        )
        digest = write_manifest(folder, manifest)
        listing = "\0".join(names).encode()

        def ours() -> None:
            assert verify(folder, recorded_sha256=digest).intact

        def peer(processes: int) -> Callable[[], None]:
            command = ["xargs", "-0", "-n", "16", "-P", str(processes), "sha256sum"]
            return lambda: (
                subprocess.run(command, input=listing, cwd=folder, stdout=subprocess.DEVNULL, check=True) and None
            )

        print(f"{len(names)} files, {cpus} processors, {arguments.rounds} rounds in turn", file=sys.stderr)
        seconds, together, alone = best(arguments.rounds, ours, peer(cpus), peer(1))
    result = {
        "seconds": round(seconds, 4),
        "sha256sum_seconds": round(together, 4),
        "sha256sum_one_process_seconds": round(alone, 4),
        "share_of_sha256sum_speed": round(together / seconds, 3),
        "bytes": manifest.bytes,
        "files": len(names),
        "processors": cpus,
    }
    if not arguments.json:
        speed = manifest.bytes / seconds / 1e6
        print(f"verify {speed:.0f} MB/s, {result['share_of_sha256sum_speed']:.0%} of sha256sum on {cpus} processors")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
