"""How soon after its last photograph a take has been looked at: 68 photographs of 24 megapixels, 30 of them of a face.

    python benchmarks/bench_checks.py --json

Two cases: every photograph filed at the same moment (the worst), and one after the other over the time that ingest
takes. The last line is one JSON object.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from controller.rig_file import CameraEntry, CheckLimits, Rig
from controller.take_checks.take_reviewer import TakeReviewer
from db import captures
from db.engine import open_database, transaction
from db.migrations import upgrade
from db.models import CameraTier
from db.protocols import FACESCAPE, install_protocol
from db.rigs import rig_records
from db.store import Store
from db.subjects import add_subject

CAMERAS, FRONTAL, DISTINCT = 68, 30, 4
SIZE_PX = (4000, 6000)


def photographs() -> list[bytes]:
    """Some frontal photographs of a synthetic head, about 8 MB each with a sensor's noise."""
    from processing.synthetic.studio_rig import studio_rig
    from processing.synthetic.subject import synthetic_subject

    posed = synthetic_subject(1, vertices=150_000).pose("neutral")
    made = []
    for view, camera in enumerate(studio_rig(CAMERAS, 1000, 1500)[4 : 4 + DISTINCT]):
        large = cv2.resize(posed.scene.photograph(camera), SIZE_PX, interpolation=cv2.INTER_CUBIC).astype(np.float32)
        noise = np.random.default_rng(view).normal(0, 6, (SIZE_PX[1], SIZE_PX[0], 1))
        done, data = cv2.imencode(".jpg", (large + noise).clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 92])
        assert done
        made.append(data.tobytes())
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="the last line is always JSON; kept for symmetry")
    parser.add_argument("--processes", type=int, default=CheckLimits().processes)
    parser.add_argument("--ingest-seconds", type=float, default=4.0, help="over which the photographs come in")
    chosen = parser.parse_args()
    print("making photographs ...", file=sys.stderr)
    data = photographs()
    with tempfile.TemporaryDirectory() as folder:
        result = bench(Path(folder), data, chosen.processes, chosen.ingest_seconds)
    print(json.dumps(result))


def bench(folder: Path, data: list[bytes], processes: int, ingest_s: float) -> dict[str, object]:
    engine, store = open_database(f"sqlite:///{folder / 'studio.sqlite'}"), Store(folder / "store")
    names = [f"cam-{view:02d}" for view in range(CAMERAS)]
    tiers = ["frontal" if view < FRONTAL else "side" for view in range(CAMERAS)]
    cameras = tuple(CameraEntry(name, view, tier=tiers[view]) for view, name in enumerate(names))
    rig = Rig("bench", cameras, checks=CheckLimits(processes=processes, timeout_s=120.0))
    upgrade(engine)
    with transaction(engine) as tx:
        places = [rig_records.CameraPlace(c.view, c.name, "", CameraTier(c.tier)) for c in cameras]
        ids = {camera.name: camera.id for camera in rig_records.ensure_rig(tx, "bench", places).cameras}
        protocol, where = install_protocol(tx, FACESCAPE), rig_records.get_rig(tx, "bench")
        session = captures.start_session(tx, add_subject(tx), protocol, where).code
    filed = {name: store.put_bytes(data[view % len(data)]) for view, name in enumerate(names)}
    reviewer = TakeReviewer(engine, store, rig, lambda _take: filed)

    def take(expression: str, over_s: float) -> float:
        with transaction(engine) as tx:
            row = captures.plan_take(tx, captures.get_session(tx, session), expression)
            captures.fire_take(tx, row)
            frames = [captures.FrameData(ids[name], sha256, 1, *SIZE_PX) for name, sha256 in filed.items()]
            captures.add_frames(tx, row, frames)
            captures.capture_take(tx, row)
            code = row.code
        begun = time.monotonic()
        for number, (name, sha256) in enumerate(filed.items(), 1):
            reviewer.add(code, name, sha256)
            time.sleep(max(0.0, begun + over_s * number / CAMERAS - time.monotonic()))
        last = time.monotonic()
        reviewer.finish(code)
        review = reviewer.result(code, 120.0)
        seconds = time.monotonic() - last
        assert review is not None, "the take was not looked at"
        told = [f"{check.name} {check.state.value}: {check.reason}" for check in review.checks if not check.camera]
        print(f"{expression}, filed over {over_s:g} s: {seconds:.2f} s\n  " + "\n  ".join(told), file=sys.stderr)
        return seconds

    try:
        take("neutral", 0.0)  # the processes start and load the model: at a session's beginning
        at_once, coming = take("jaw_left", 0.0), take("jaw_right", ingest_s)
    finally:
        reviewer.stop()
        engine.dispose()
    return {
        "photographs": CAMERAS,
        "megapixels": SIZE_PX[0] * SIZE_PX[1] / 1e6,
        "megabytes_each": round(sum(map(len, data)) / len(data) / 1e6, 2),
        "processes": processes,
        "all_at_once_seconds": round(at_once, 2),
        "as_they_come_seconds": round(coming, 2),
        "ingest_seconds": ingest_s,
    }


if __name__ == "__main__":
    main()
