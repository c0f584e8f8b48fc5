"""A method for tests: writes a mesh of each photograph, and does to some what [values] say. Standard library alone.

python moody_method.py IMAGES OUT MOOD: MOOD is name=what,name=what; what is crash, crash-late, hang, nothing, fault,
link, half. A file `calls.txt` beside the list's folder gets a line a call.
"""

import csv
import os
import sys
import time
from pathlib import Path

images, out, mood = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
moods = dict(part.split("=") for part in mood.split(",") if part)
if moods.get("all") == "unavailable":
    print("the peer is not installed: pip install peer")
    sys.exit(77)
if moods.get("all") == "crash":
    sys.exit("bad luck")
with images.open(newline="") as file:
    rows = list(csv.DictReader(file))
with (images.parents[1] / "calls.txt").open("a") as calls:
    calls.write(" ".join(row["name"] for row in rows) + "\n")
for row in rows:
    name, what = row["name"], moods.get(row["name"], "")
    mesh = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
    if what == "crash":
        print("first words")
        print(f"no luck with {name}", flush=True)
        os._exit(3)
    if what == "hang":
        time.sleep(600)
    if what in ("nothing", "fault"):
        if what == "fault":
            (out / f"{name}.fault.txt").write_text("no face was found\n")
        continue
    if what == "link":
        (out / f"{name}.obj").symlink_to(__file__)
        continue
    if what == "half":
        (out / f"{name}.obj").write_text(mesh[:20])
        os._exit(1)
    (out / f"{name}.obj").write_text(mesh)
    (out / f"{name}.camera.json").write_text(f'{{"focal": "{row["focal_px"]}"}}')
    if what == "crash-late":
        os._exit(1)
