"""Mien's own fit: python mien_fit.py IMAGES OUT MODEL [OPTION...]; options are those of `mien face fit`."""

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

SOME_FAILED = 4  # the exit code of a fit of many photographs, of which some failed

images, out, model, options = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4:]
with images.open(newline="", encoding="utf-8") as file:
    rows = list(csv.DictReader(file))
by_focal: dict[str, list[dict[str, str]]] = {}
for row in rows:
    by_focal.setdefault(row["focal_px"], []).append(row)
ended = 0
with tempfile.TemporaryDirectory() as folder:
    for focal, some in by_focal.items():
        paths = []
        for row in some:  # results go by the photographs' names
            link = Path(folder) / f"{row['name']}{Path(row['path']).suffix}"
            link.symlink_to(row["path"])
            paths.append(str(link))
        told = ["--focal-px", focal] if focal else []
        command = [sys.executable, "-m", "mien", "face", "fit", *paths, "--model", model, "--out", str(out), "--each"]
        done = subprocess.run([*command, *told, *options, "--json"], stdout=subprocess.PIPE, check=False)
        if done.returncode not in (0, SOME_FAILED):
            ended = done.returncode
            continue
        try:
            failed = json.loads(done.stdout)["failed"]
        except (ValueError, KeyError):  # the model itself, or all of it, was refused: the error stream says why
            ended = ended or done.returncode
            continue
        for one in failed:
            (out / f"{Path(one['name']).stem}.fault.txt").write_text(f"{one['reason']}\n", encoding="utf-8")
sys.exit(ended if ended >= 0 else 1)
