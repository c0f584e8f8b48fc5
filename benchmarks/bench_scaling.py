"""How the time and the memory of a scan grow with the pixels and the number of its photographs.

    python benchmarks/bench_scaling.py --json [--megapixels 0.06,0.24,0.96] [--views 9,17,34] [--memory-gb 2]
        [--keep DIR]

Mien's own synthetic head, of a mesh about as fine as the pixels, is photographed at each size: true detail in each.
Sizes are compared with the fewest views (of the whole rig, spread evenly), numbers of views at the smallest size; each
scan is a process of its own. Exponents: slope of the logarithm of processor seconds over that of pixels or views (1:
linear). bytes_per_pixel: what the peak of memory, beyond what the process held before the scan (the photographs among
it), gains by a pixel of all photographs together (least squares); mapped files, where photographs and depth maps beyond
--memory-gb lie, are not counted. What --keep holds is not done again.
"""

import argparse
import json
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from measured import spend
from one_scan import spread

from processing.geometry.cameras import Camera
from processing.reconstruction.settings import ReconstructionSettings
from processing.synthetic.studio_rig import studio_rig
from processing.synthetic.subject import PosedHead, synthetic_subject
from processing.synthetic.takes import write_take

HERE = Path(__file__).resolve().parent
FINE_VERTICES = 1_000_000


@cache
def head() -> PosedHead:
    return synthetic_subject(7, vertices=FINE_VERTICES).pose("neutral")


def photograph(folder: Path, cameras: list[Camera]) -> Path:
    """A take of the synthetic head; done.json marks it whole."""
    if not (folder / "done.json").is_file():
        camera = cameras[0]
        print(f"photographing {len(cameras)} views of {camera.width} x {camera.height}", file=sys.stderr)
        write_take(folder, head(), cameras, truth=False)
        (folder / "done.json").write_text("{}")
    return folder


def rig(views: int, megapixels: float) -> list[Camera]:
    width = round(float(np.sqrt(megapixels * 1e6 / 1.5)))
    return studio_rig(views, width, round(1.5 * width))


def measure(take: Path, views: int, record: Path, memory_gb: float) -> dict[str, Any]:
    if not record.is_file():
        told = record.with_suffix(".log")
        settings = json.dumps({"memory_gb": memory_gb})
        spent = spend([sys.executable, HERE / "one_scan.py", take, "--views", str(views), "--settings", settings], told)
        made = json.loads(told.read_text().splitlines()[-1])
        record.write_text(json.dumps({**made, "beside": spent.beside}))
    made = json.loads(record.read_text())
    report = made.pop("report")
    figures = {**made, "vertices": report["vertices"], "points": report["points"], "steps": report["seconds"]}
    print(figures, file=sys.stderr)
    return figures


def exponent(cases: list[dict[str, Any]], by: str) -> float | None:
    """Slope of log(processor seconds) over log(`by`), least squares."""
    if len({case[by] for case in cases}) < 2:
        return None
    x, y = (np.log([case[key] for case in cases]) for key in (by, "cpu_seconds"))
    return round(float(np.polyfit(x, y, 1)[0]), 3)


def bytes_per_pixel(cases: list[dict[str, Any]]) -> float | None:
    if len(cases) < 2:
        return None
    pixels = [case["megapixels"] * case["views"] / 1e3 for case in cases]
    return round(float(np.polyfit(pixels, [c["peak_own_gb"] - c["before_gb"] for c in cases], 1)[0]), 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", default="0.06,0.24,0.96", help="sizes of a photograph, each 4 times the last")
    parser.add_argument("--views", default="9,17,34")
    parser.add_argument("--memory-gb", type=float, default=ReconstructionSettings.memory_gb)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="scratch folder that stays, and is gone on with")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: the last line is always JSON")
    asked = parser.parse_args()
    sizes = sorted(float(x) for x in asked.megapixels.split(","))
    views = sorted(int(x) for x in asked.views.split(","))
    with tempfile.TemporaryDirectory() as temporary:
        scratch = (asked.keep or Path(temporary)).resolve()
        takes = {}
        for size in sizes:
            cameras = rig(views[-1], size)
            chosen = range(views[-1]) if size == sizes[0] else spread(cameras, views[0])
            takes[size] = photograph(scratch / f"{size}" / "1_neutral", [cameras[i] for i in chosen])
        cases = {(size, views[0]) for size in sizes} | {(sizes[0], count) for count in views}
        made = {
            (s, n): measure(takes[s], n, scratch / f"{s}-{n}-{asked.memory_gb}.json", asked.memory_gb)
            for s, n in sorted(cases)
        }
    of_sizes = [made[size, views[0]] for size in sizes]
    of_views = [made[sizes[0], count] for count in views]
    print(
        json.dumps(
            {
                "pixels_exponent": exponent(of_sizes, "megapixels"),
                "views_exponent": exponent(of_views, "views"),
                "bytes_per_pixel": bytes_per_pixel(of_sizes),
                "bytes_per_pixel_by_views": bytes_per_pixel(of_views),
                "cpu_seconds_per_megapixel": round(
                    of_sizes[-1]["cpu_seconds"] / (of_sizes[-1]["megapixels"] * of_sizes[-1]["views"]), 2
                ),
                "cases": list(made.values()),
            }
        )
    )


if __name__ == "__main__":
    main()
