"""What the farm costs beside bare Dask, what a second worker brings, and how fast the status is at study size.

overhead_ms: wall time a run of a no-op stage through the farm (records, leases, store, Dask), one worker, warm.
dask_overhead_ms: the same graph of no-op functions, as many and as linked, through bare Dask on such a cluster.
two_worker_speedup: a stage that computes (one second of hashing), 8 takes, one worker's time over two workers'.
status_seconds: `farm status` on a database of --status-jobs runs.

    python benchmarks/bench_farm.py --json [--runs 200] [--status-jobs 150000] [--database postgresql://…]
"""

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster
from sqlalchemy import Engine, insert

from db import captures, subjects
from db.engine import open_database, transaction
from db.migrations import upgrade
from db.models import CameraTier, Job, JobInput, JobState
from db.protocols import FACESCAPE, install_protocol
from db.store import Store
from processing.farm.cluster import environment, executor
from processing.farm.daemon import Farm, Silent
from processing.farm.settings import FarmSettings
from processing.farm.status import farm_report

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
    "work.py": """
import hashlib
class Work(Stage):
    name, version, needs, makes = "work", 1, {"take": TAKE}, {"digest": "txt"}
    class Params(StageParams):
        megabytes: int = 400
    def run(self, inputs, params, out):
        digest, block = hashlib.blake2b(inputs["take"].name.encode()), bytes(1 << 20)
        for _ in range(params.megabytes):
            digest.update(block)
        (out / "digest.txt").write_text(digest.hexdigest())
""",
}
HEAD = "from processing.stages.base import TAKE, Stage, StageParams\n"
A_SESSION = 10  # takes


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def studio(folder: Path, stages: dict[str, str], takes: int, database: str | None) -> Iterator[tuple[Engine, str, str]]:
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
            rig = captures.ensure_rig(tx, "bench", [captures.CameraPlace(0, "cam-00", "sim:", CameraTier.FRONTAL)])
            calibration = captures.add_calibration(tx, rig, "bench", {"0_K": [[1.0]]})
            protocol = install_protocol(tx, FACESCAPE)
            session = captures.start_session(tx, subjects.add_subject(tx), protocol, rig, calibration)
            for position in range(1, min(A_SESSION, takes - first) + 1):
                data = f"{session.code} {position}".encode()
                take = captures.plan_take(tx, session, position)
                captures.fire_take(tx, take)
                frame = captures.FrameData(rig.cameras[0].id, store.put_bytes(data), len(data), width=1, height=1)
                captures.add_frames(tx, take, [frame])
                captures.capture_take(tx, take)
                captures.accept_take(tx, take)
            captures.close_session(tx, session, incomplete=True)
    yield engine, place, str(folder / "stages")
    engine.dispose()


class Clock(Silent):
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
    stages: dict[str, str], takes: int, workers: int, database: str | None = None, **params: dict[str, Any]
) -> tuple[float, int]:
    """Seconds from the first hand-out to the last result, and how many runs; the workers were warm."""
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as name:
        folder = Path(name)
        with studio(folder, stages, takes, database) as (engine, place, stage_folder):
            template = folder / "template"
            template.write_text("none")
            settings = FarmSettings(workers=workers, stages=(stage_folder,), params=params, poll_s=60)
            clock = Clock()
            summary = Farm(engine, place, settings, template, clock).run(until_idle=True)
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


def status_seconds(jobs: int) -> float:
    """`mien farm status` in this process on a SQLite database of that many runs in all states."""
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as name:
        home = Path(name)
        engine = open_database(f"sqlite:///{home / 'studio.sqlite'}")
        upgrade(engine)
        stages = ("reconstruct", "landmarks", "register", "texture", "bake", "preview")
        with transaction(engine) as tx:
            from db.engine import utc_now

            now = utc_now()
            for start in range(0, jobs, 5000):
                rows: list[dict[str, Any]] = []
                for k in range(start, min(start + 5000, jobs)):
                    state = JobState.DONE if k % 50 else (JobState.QUEUED if k % 500 else JobState.PARKED)
                    rows.append(
                        {"id": k + 1, "key": f"{k:064x}", "stage": stages[k % 6], "version": 1, "params": {},
                         "priority": 100, "state": state, "attempts": 1, "created_at": now}
                    )  # fmt: skip
                tx.execute(insert(Job), rows)
                tx.execute(
                    insert(JobInput),
                    [{"job_id": r["id"], "name": "x", "from_job_id": max(1, r["id"] - 1), "from_output": "x"}
                     for r in rows],
                )  # fmt: skip
        engine.dispose()
        farm_report(home, None)
        begun = time.perf_counter()
        farm_report(home, None)
        return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="no-op stage runs (2,000 for the figure to compare)")
    parser.add_argument("--status-jobs", type=int, default=150_000)
    parser.add_argument("--database", help="an empty database for the no-op graph; default: SQLite")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; the last line is always JSON")
    given = parser.parse_args()
    takes = max(A_SESSION, given.runs // 2)

    with executor(FarmSettings(workers=1), lambda _event: None):
        say("imports and ports are warm")
    say(f"{2 * takes} no-op runs through the farm, one worker")
    farm_s, runs = run_farm(STAGES, takes, 1, given.database)
    say(f"{2 * takes} no-op runs through bare Dask, one worker")
    dask_s = run_dask(takes, 1)
    say("8 takes of a stage that computes, one worker, then two")
    one_s, _ = run_farm(WORK, 8, 1)
    two_s, _ = run_farm(WORK, 8, 2)
    say(f"status of {given.status_jobs} runs")
    figures = {
        "runs": runs,
        "overhead_ms": round(1000 * farm_s / runs, 2),
        "dask_overhead_ms": round(1000 * dask_s / runs, 2),
        "two_worker_speedup": round(one_s / two_s, 2),
        "one_worker_seconds": round(one_s, 2),
        "two_worker_seconds": round(two_s, 2),
        "status_seconds": round(status_seconds(given.status_jobs), 3),
        "status_jobs": given.status_jobs,
        "database": "sqlite" if given.database is None else given.database.partition(":")[0],
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
