"""Mien's own fit: python mien_fit.py IMAGES OUT MODEL [OPTION...]; options are those of `mien face fit`."""

import csv
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
codes = []
with tempfile.TemporaryDirectory() as folder:
    for focal, some in by_focal.items():
        paths = []
        for row in some:  # results go by the photographs' names
            link = Path(folder) / f"{row['name']}{Path(row['path']).suffix}"
            link.symlink_to(row["path"])
            paths.append(str(link))
        told = ["--focal-px", focal] if focal else []
        command = [sys.executable, "-m", "mien", "face", "fit", *paths, "--model", model, "--out", str(out), "--each"]
        codes.append(subprocess.run([*command, *told, *options], check=False).returncode)
worst = max(codes, default=0, key=lambda code: code not in (0, SOME_FAILED))
sys.exit(0 if worst in (0, SOME_FAILED) else worst if worst > 0 else 1)
