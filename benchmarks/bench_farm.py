"""What the farm costs beside bare Dask, what a second worker brings, and how fast the status is at study size.

overhead_ms: wall time a run of a no-op stage through the farm (records, leases, store, Dask), one worker, warm.
dask_overhead_ms: the same graph of no-op functions, as many and as linked, through bare Dask on such a cluster.
..._cpu_ms: processor time a run of either, all processes and the cluster's start included.
two_worker_speedup: reconstruction of small photographs, a processor a run, one worker's time over two workers'.
bare_speedup: the same stage on the same photographs in one process, then in two, without farm, records or store: what
the machine's memory allows.
status_seconds: what `mien farm status` does, on a database of --status-jobs runs; status_command_seconds: the command
from its start to its end; status_fresh_seconds: the same as the first where every run waits still.

    python benchmarks/bench_farm.py --json [--runs 200] [--status-jobs 150000] [--database postgresql://…]
        [--only overhead,speedup,status]
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster
from sqlalchemy import Engine, insert

from db import captures, subjects
from db.engine import open_database, transaction, utc_now
from db.migrations import upgrade
from db.models import CameraTier, ConsentScope, Job, JobInput, JobState
from db.protocols import FACESCAPE, install_protocol
from db.rigs import rig_records
from db.store import Store
from processing.farm.daemon import FarmDaemon
from processing.farm.display.farm_status import farm_report
from processing.farm.execution.dask_cluster import environment, executor
from processing.farm.farm_listener import FarmListener
from processing.farm.settings import FarmSettings

STAGES = {
    "a_noop.py": """
class A(Stage):
    name, version, needs, makes = "a", 1, {"take": TAKE}, {"x": "txt"}
    def run(self, inputs, params, out):
        (out / "x.txt").write_text(inputs["take"].name)
""",
    "b_noop.py": """
class B(Stage):
    name, version, needs, makes = "b", 1, {"x": "a", "neutral": "neutral:a.x"}, {"y": "txt"}
    def run(self, inputs, params, out):
        (out / "y.txt").write_text(inputs["x"].read_text())
""",
}
WORK = {
    "small.py": """
from processing.stages.reconstruct import Reconstruct
class Small(Reconstruct):
    name = "small"
""",
}
SMALL = {"depth_views": 8, "vertices": 50_000, "watch": False}
CAMERAS, WIDTH, HEIGHT = 24, 200, 300
TAKES = 6
HEAD = "from processing.stages.base import TAKE, Stage, StageParams\n"
A_SESSION = 10  # takes


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


Photographs = dict[int, bytes]  # view -> a file


def a_few_bytes(number: int) -> Photographs:
    return {0: f"take {number}".encode()}


@contextlib.contextmanager
def studio(
    folder: Path,
    stages: dict[str, str],
    takes: int,
    database: str | None,
    photographs: Callable[[int], Photographs] = a_few_bytes,
    cameras: dict[str, Any] | None = None,
) -> Iterator[tuple[Engine, str, str]]:
    """A database with closed sessions of `takes` takes in all, a store, a folder of stages."""
    engine = open_database(database or f"sqlite:///{folder / 'studio.sqlite'}")
    upgrade(engine)
    place = str(folder / "store")
    store = Store(place)
    (folder / "stages").mkdir()
    for name, text in stages.items():
        (folder / "stages" / name).write_text(HEAD + text)
    for first in range(0, takes, A_SESSION):
        with transaction(engine) as tx:
            views = photographs(0)
            places = [rig_records.CameraPlace(v, f"cam-{v:02d}", "sim:", CameraTier.FRONTAL) for v in views]
            rig = rig_records.ensure_rig(tx, "bench", places)
            calibration = rig_records.add_calibration(tx, rig, "bench", cameras or {"0_K": [[1.0]]})
            protocol = install_protocol(tx, FACESCAPE)
            subject = subjects.add_subject(tx)
            subjects.give_consent(tx, subject, ConsentScope.RESEARCH_RELEASE, utc_now().date())
            session = captures.start_session(tx, subject, protocol, rig, calibration)
            for position in range(1, min(A_SESSION, takes - first) + 1):
                take = captures.plan_take(tx, session, position)
                captures.fire_take(tx, take)
                files = photographs(first + position)
                captures.add_frames(tx, take, [
                    captures.FrameData(rig.cameras[v].id, store.put_bytes(data), len(data), width=1, height=1)
                    for v, data in files.items()
                ])  # fmt: skip
                captures.capture_take(tx, take)
                captures.accept_take(tx, take)
            captures.close_session(tx, session, incomplete=True)
    yield engine, place, str(folder / "stages")
    engine.dispose()


def small_take(folder: Path) -> tuple[Callable[[int], Photographs], dict[str, Any]]:
    """Photographs of a synthetic face, in as many versions as are asked for, and their cameras."""
    import cv2

    from processing.synthetic.studio_rig import studio_rig
    from processing.synthetic.subject import synthetic_subject
    from processing.synthetic.takes import write_take

    posed = synthetic_subject(1, vertices=60_000).pose("neutral")
    write_take(folder, posed, studio_rig(CAMERAS, WIDTH, HEIGHT), truth=False)
    images = [cv2.imread(str(folder / f"{view}.jpg")) for view in range(CAMERAS)]

    def encoded(number: int) -> Photographs:
        quality = [cv2.IMWRITE_JPEG_QUALITY, 90 + number]
        return {v: cv2.imencode(".jpg", image, quality)[1].tobytes() for v, image in enumerate(images)}

    return encoded, json.loads((folder / "params.json").read_text())


def cpu_seconds() -> float:
    """Processor time of this process and of those that it started and that have ended."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


class Clock(FarmListener):
    """When the first run was handed out, and when the last one ended."""

    def __init__(self) -> None:
        self.first = self.last = 0.0

    def started(self, label: str, stage: str) -> None:  # noqa: ARG002
        self.first = self.first or time.perf_counter()

    def ended(self, label: str, stage: str, state: JobState, error: str, seconds: float) -> None:  # noqa: ARG002
        if state != JobState.DONE:
            raise RuntimeError(error)
        self.last = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self.last - self.first


def run_farm(
    stages: dict[str, str], takes: int, workers: int, database: str | None = None, given: Any = None, **params: Any
) -> tuple[float, int]:
    """Seconds from the first hand-out to the last result, and how many runs; the workers were warm.

    given: photographs and cameras, as of `small_take`.
    """
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as name:
        folder = Path(name)
        with studio(folder, stages, takes, database, *(given or ())) as (engine, place, stage_folder):
            template = folder / "template"
            template.write_text("none")
            settings = FarmSettings(
                workers=workers, processors=1, stages=(stage_folder,), params=params, poll_s=60, disk_floor_gb=0
            )
            clock = Clock()
            summary = FarmDaemon(engine, place, settings, template, clock).run(until_idle=True)
            return clock.seconds, summary.done


def noop(*_: Any) -> str:
    return "done"


def run_dask(takes: int, workers: int) -> float:
    """The same graph on bare Dask: b of a take needs a of the take and a of the neutral."""
    import dask

    with (
        dask.config.set(environment(1)),
        LocalCluster(
            n_workers=workers, threads_per_worker=1, memory_limit=0, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        client.submit(noop, pure=False).result()
        begun = time.perf_counter()
        futures = []
        for first in range(0, takes, A_SESSION):
            made = [client.submit(noop, first + k, pure=False) for k in range(min(A_SESSION, takes - first))]
            futures += [client.submit(noop, one, made[0], pure=False) for one in made]
        client.gather(futures)
        return time.perf_counter() - begun


def fill(home: Path, jobs: int, fresh: bool) -> None:
    """A SQLite database of so many runs: nearly all done, or none of them begun."""
    engine = open_database(f"sqlite:///{home / 'studio.sqlite'}")
    upgrade(engine)
    stages = ("reconstruct", "landmarks", "register", "texture", "bake", "preview")
    with transaction(engine) as tx:
        now = utc_now()
        for start in range(0, jobs, 5000):
            rows: list[dict[str, Any]] = []
            for k in range(start, min(start + 5000, jobs)):
                state = JobState.DONE if k % 50 else (JobState.QUEUED if k % 500 else JobState.PARKED)
                rows.append(
                    {"id": k + 1, "key": f"{k:064x}", "stage": stages[k % 6], "version": 1, "params": {},
                     "priority": 100, "state": JobState.QUEUED if fresh else state, "attempts": 1, "created_at": now}
                )  # fmt: skip
            tx.execute(insert(Job), rows)
            made = [r for r in rows if r["id"] % 6 != 1]  # each take's first run reads photographs
            tx.execute(insert(JobInput), [
                {"job_id": r["id"], "name": "x", "from_job_id": r["id"] - 1, "from_output": "x"} for r in made
            ])  # fmt: skip
    engine.dispose()


def status_figures(jobs: int) -> dict[str, float]:
    """`mien farm status` on databases of that many runs, in this process and as a command."""
    found = {}
    for name, fresh in (("status_seconds", False), ("status_fresh_seconds", True)):
        with tempfile.TemporaryDirectory(prefix="mien-bench-") as folder:
            home = Path(folder)
            fill(home, jobs, fresh)
            found[name] = timed(lambda home=home: farm_report(home, None))  # type: ignore[misc]
            if not fresh:
                command = [sys.executable, "-m", "mien", "farm", "status", "--json", "--home", folder]
                run = lambda command=command: subprocess.run(command, check=True, capture_output=True)  # noqa: E731
                found["status_command_seconds"] = timed(run)
    return found


def timed(call: Callable[[], Any]) -> float:
    """Seconds of the best of three calls."""
    best = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - begun)
    return round(best, 3)


def overhead(runs: int, database: str | None) -> dict[str, float]:
    """No-op runs through the farm and through bare Dask."""
    takes = max(A_SESSION, runs // 2)
    with executor(FarmSettings(workers=1), lambda _event: None):
        say("imports and ports are warm")
    say(f"{2 * takes} no-op runs through the farm, one worker")
    begun = cpu_seconds()
    farm_s, done = run_farm(STAGES, takes, 1, database)
    farm_cpu = cpu_seconds() - begun
    say(f"{2 * takes} no-op runs through bare Dask, one worker")
    begun = cpu_seconds()
    dask_s = run_dask(takes, 1)
    dask_cpu = cpu_seconds() - begun
    return {
        "runs": done,
        "overhead_ms": round(1000 * farm_s / done, 2),
        "overhead_cpu_ms": round(1000 * farm_cpu / done, 2),
        "dask_overhead_ms": round(1000 * dask_s / done, 2),
        "dask_cpu_ms": round(1000 * dask_cpu / done, 2),
    }


def bare_run(folder: Path, number: int) -> None:
    """The stage of WORK on a take folder, in this process."""
    from processing.farm.execution.stage_run import run_stage
    from processing.stages.base import Inputs
    from processing.stages.reconstruct import Reconstruct

    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        run_stage(Reconstruct(), SMALL, Inputs({"take": folder}, threads=1), Path(out) / str(number), durable=False)


def bare_seconds(folder: Path, takes: int, processes: int) -> float:
    """Reconstructions of one take folder in so many processes, warm, with the workers' environment."""
    os.environ |= {k: str(v) for k, v in environment(1)["distributed.nanny.pre-spawn-environ"].items()}
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.starmap(bare_run, [(folder, k) for k in range(processes)], chunksize=1)
        begun = time.perf_counter()
        pool.starmap(bare_run, [(folder, k) for k in range(takes)], chunksize=1)
        return time.perf_counter() - begun


def speedup() -> dict[str, float]:
    """Reconstructions by one worker, then by two; and by bare processes."""
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as folder:
        say("photographs of a synthetic face")
        given = small_take(Path(folder) / "1_neutral")
        seconds = []
        for workers in (1, 2):
            say(f"{TAKES} reconstructions, {workers} workers")
            begun = cpu_seconds()
            seconds.append(run_farm(WORK, TAKES, workers, None, given, small=SMALL)[0])
            say(f"{seconds[-1]:.1f} s, {cpu_seconds() - begun:.1f} s of processors")
        say("the same in bare processes")
        bare = [bare_seconds(Path(folder) / "1_neutral", TAKES, processes) for processes in (1, 2)]
    return {
        "two_worker_speedup": round(seconds[0] / seconds[1], 2),
        "one_worker_seconds": round(seconds[0], 2),
        "two_worker_seconds": round(seconds[1], 2),
        "bare_speedup": round(bare[0] / bare[1], 2),
        "bare_seconds": round(bare[0], 2),
        "bare_two_seconds": round(bare[1], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="no-op stage runs (2,000 for the figure to compare)")
    parser.add_argument("--status-jobs", type=int, default=150_000)
    parser.add_argument("--database", help="an empty database for the no-op graph; default: SQLite")
    parser.add_argument("--only", default="overhead,speedup,status", help="which of them, with commas")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is always JSON")
    given = parser.parse_args()
    wanted = given.only.split(",")
    figures: dict[str, Any] = {}
    if "overhead" in wanted:
        figures |= overhead(given.runs, given.database)
    if "speedup" in wanted:
        figures |= speedup()
    if "status" in wanted:
        say(f"status of {given.status_jobs} runs")
        figures |= status_figures(given.status_jobs) | {"status_jobs": given.status_jobs}
    figures["database"] = "sqlite" if given.database is None else given.database.partition(":")[0]
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
