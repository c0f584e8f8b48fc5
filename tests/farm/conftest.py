"""A studio with three takes to process, and a farm of several processes that stand for several machines."""

import ctypes
import gc
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from patience import until
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from db import captures
from db.engine import reading, transaction
from db.models import Artefact, ConsentScope, Job, JobState
from db.rigs import rig_records
from db.stage_runs.ready_takes import ready_takes
from db.store import Store
from processing.farm.daemon import FarmDaemon
from processing.farm.farm_listener import Summary
from processing.farm.settings import FarmSettings
from processing.farm.tls import issue

TOYS = Path(__file__).parent / "toy_stages"
EXPRESSIONS = ("neutral", "smile", "mouth_stretch")
NAMES = ("1_neutral", "2_smile", "3_mouth_stretch")
STAGES = 3


@dataclass
class Studio:
    """A closed session of three takes, its store, and the toys' control folder."""

    engine: Engine
    url: str
    home: Path
    store: str
    template: Path
    control: Path
    takes: list[int]

    def settings(self, **changed: Any) -> FarmSettings:
        given: dict[str, Any] = {
            "workers": 1, "poll_s": 0.2, "backoff_s": 0.0, "lease_s": 20.0, "disk_floor_gb": 0.0,
            "stages": (str(TOYS),),
            "params": {"measure": {"control": str(self.control)}},
        }  # fmt: skip
        return FarmSettings(**(given | changed))

    def farm(self, **changed: Any) -> FarmDaemon:
        return FarmDaemon(self.engine, self.store, self.settings(**changed), self.template)

    def run(self, **changed: Any) -> Summary:
        return self.farm(**changed).run(until_idle=True)

    def order(self, what: str) -> Path:
        path = self.control / what
        path.touch()
        return path

    def runs(self, log: str = "runs.log") -> Counter[str]:
        """How often measuring each take was begun, or, by ends.log, ended."""
        path = self.control / log
        return Counter(path.read_text().split() if path.exists() else [])

    @contextmanager
    def farming(self, **changed: Any) -> Iterator[FarmDaemon]:
        """A daemon in a thread of its own; the block ends when it has nothing left to do."""
        farm = self.farm(**changed)
        failed: list[BaseException] = []

        def work() -> None:
            try:
                farm.run(until_idle=True)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield farm
            thread.join(timeout=600)
            assert not thread.is_alive(), "the daemon does not end"
        finally:
            farm.stop()
            thread.join(timeout=600)
        if failed:
            raise failed[0]

    def whole(self) -> None:
        """No run is lost, none was recorded twice, no half file is to be seen, nothing is left over."""
        assert self.all_done()
        store = Store(self.store)
        with reading(self.engine) as tx:
            jobs = tx.scalar(select(func.count()).select_from(Job))
            assert jobs == len(NAMES) * STAGES
            artefacts = list(tx.scalars(select(Artefact)))
        assert len({(a.job_id, a.output) for a in artefacts}) == len(artefacts) == len(NAMES) * 4
        for artefact in artefacts:
            assert store.size(artefact.sha256) == artefact.bytes
        for sha256 in store:
            store.verify(sha256)
        assert set(self.runs()) == set(NAMES)
        left = [p.name for p in (Path(self.store) / "runs").glob("*") if p.suffix != ".done"]
        assert not left, f"left beside the store: {left}"

    def states(self) -> dict[tuple[str, str], JobState]:
        with reading(self.engine) as tx:
            labels = {t.take_id: t.label for t in ready_takes(tx)}
            return {(labels[j.take_id or 0], j.stage): j.state for j in tx.scalars(select(Job))}

    def all_done(self) -> bool:
        states = self.states()
        return len(states) == len(NAMES) * STAGES and set(states.values()) == {JobState.DONE}


def close_session_of(tx: Session, rows: Any, store: Store, cameras: int = 3) -> list[int]:
    """A subject's closed session with a take of each expression; photographs are a few bytes, all different."""
    rig = rows.rig(tx, cameras=cameras)
    cameras_data = {f"{v}_K": [[1.0, 0.0], [0.0, 1.0]] for v in range(cameras)}
    session = rows.session(tx, rows.subject(tx, ConsentScope.RESEARCH_RELEASE), rig)
    session.calibration = rig_records.add_calibration(tx, rig, "made up", cameras_data)
    takes = []
    for e, expression in enumerate(EXPRESSIONS):
        photographs = []
        for view in range(cameras):
            data = f"{session.code} {expression} {view}".encode() * (e + 1)
            photographs.append((store.put_bytes(data), len(data)))
        takes.append(rows.accepted(tx, session, rig, expression, photographs).id)
    captures.close_session(tx, session, incomplete=True)
    return takes


def wait_for(what: Path | Callable[[], Any], seconds: float = 60) -> None:
    """Until a file exists, or a question is answered by yes."""
    asked = what.exists if isinstance(what, Path) else what
    until(asked, lambda: f"waited {seconds} s in vain for {what}", seconds)


@pytest.fixture
def waiting() -> Callable[..., None]:
    return wait_for


@pytest.fixture
def another_session(studio_rows: Any) -> Callable[[Session, str], list[int]]:
    """Puts another subject's closed session into the records: its takes."""
    return lambda tx, store: close_session_of(tx, studio_rows, Store(store))


@pytest.fixture(autouse=True, scope="module")
def _drop_module_sockets_here() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.collect()


@pytest.fixture(autouse=True)
def _drop_sockets_here(_drop_module_sockets_here: None) -> Iterator[None]:
    """What the test left is looked for among its own objects: all that is imported takes more than a second."""
    gc.freeze()
    yield
    gc.collect()


@pytest.fixture
def studio(engine: Engine, database_url: str, tmp_path: Path, studio_rows: Any) -> Iterator[Studio]:
    home = tmp_path / "home"
    place = home / "store"
    control = tmp_path / "control"
    control.mkdir()
    template = tmp_path / "template.txt"
    template.write_text("a template\n")
    with transaction(engine) as tx:
        takes = close_session_of(tx, studio_rows, Store(place))
    yield Studio(engine, database_url, home, str(place), template, control, takes)
    for hold in control.glob("hold-*"):  # of a test that failed: the workers are those of the next one too
        hold.unlink()


@pytest.fixture
def begin_process() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts processes that end with the test at the latest."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin(*command: Any, **more: Any) -> subprocess.Popen[bytes]:
        begun.append(subprocess.Popen(list(map(str, command)), preexec_fn=dies_with_us(), **more))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.wait()


_libc = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def dies_with_us(limit: int = 0) -> Callable[[], None]:
    """For preexec_fn: the process is killed when this one ends, however that comes. limit: bytes of its files."""

    def prepare() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return prepare


@dataclass
class LentFarm:
    """`mien farm scheduler` and `mien farm worker` in processes of their own, over TLS."""

    folder: Path
    port: int
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        return {"scheduler": f"tcp://127.0.0.1:{self.port}", "tls": str(self.folder / "keys" / "daemon")}

    def start(
        self,
        name: str,
        *command: str,
        environment: dict[str, str] | None = None,
        limit: int = 0,
        under: tuple[str, ...] = (),
    ) -> None:
        """limit: bytes that a file of this process may have at most.  under: a command that starts it."""
        tls = str(self.folder / "keys" / ("scheduler" if name == "scheduler" else "worker"))
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*under, sys.executable, "-m", "mien", "farm", *command, "--tls", tls],
                stderr=log, start_new_session=True, env=os.environ | (environment or {}),
                preexec_fn=dies_with_us(limit),
            )  # fmt: skip

    def start_scheduler(self) -> None:
        self.start("scheduler", "scheduler", "--port", str(self.port))

    def start_worker(self, name: str, *options: str, **more: Any) -> None:
        self.start(name, "worker", f"127.0.0.1:{self.port}", "--name", name, *options, **more)

    def said(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def times_ready(self, name: str) -> int:
        return self.said(name).count("runs at a time")

    def kill(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGKILL)
        self.processes[name].wait(timeout=600)

    def terminate(self, name: str) -> int:
        self.processes[name].send_signal(signal.SIGTERM)
        return self.processes[name].wait(timeout=600)


@pytest.fixture(scope="module")
def lent_scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LentFarm]:
    """A scheduler that has no worker yet. It ends with the module: idle ones compute too, by their clocks."""
    folder = tmp_path_factory.mktemp("lent")
    for machine in ("scheduler", "worker", "daemon"):
        issue(folder / "keys", machine)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        farm = LentFarm(folder, free.getsockname()[1])
    farm.start_scheduler()
    try:
        wait_for(lambda: "scheduler at" in farm.said("scheduler"))
        yield farm
    finally:
        for process in farm.processes.values():
            process.kill()
            process.wait(timeout=600)


@pytest.fixture(scope="module")
def lent(lent_scheduler: LentFarm) -> LentFarm:
    """A scheduler and two workers of one run at a time."""
    farm = lent_scheduler
    for name in ("one", "two"):
        farm.start_worker(name)
    wait_for(lambda: farm.times_ready("one") and farm.times_ready("two"))
    return farm


@pytest.fixture(scope="module")
def odd_worker(lent: LentFarm) -> Iterator[LentFarm]:
    """The same with a third worker that is asked first, has 1 MB of disk and an older version of a stage."""
    scratch = lent.folder / "tiny"
    scratch.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(scratch)], capture_output=True)
    tiny = mounted.returncode == 0
    lent.start_worker(
        "odd", "--threads", "4", "--scratch", str(scratch),
        environment={"MIEN_TOY_VERSION": "1"}, limit=0 if tiny else 1 << 20,
    )  # fmt: skip
    try:
        wait_for(lambda: lent.times_ready("odd"))
        yield lent
    finally:
        lent.kill("odd")
        if tiny:
            subprocess.run(["umount", "--lazy", str(scratch)], check=False)
