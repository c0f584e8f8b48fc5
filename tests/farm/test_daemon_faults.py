"""Everything that can die dies, in the middle of a stage and between the renaming of a file and the commit.

After each fault, on SQLite and on PostgreSQL: no run is lost, none is recorded twice, no half file is to be seen
(`studio.whole`). Scheduler, workers and daemons are processes of their own, over TLS. All of it takes minutes: what
takes seconds runs every day, the rest with -m slow.
"""

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, make_url, select, text, update
from sqlalchemy.orm import Session

from db.engine import open_database, reading, transaction, utc_now
from db.errors import DatabaseUnavailable
from db.models import Job, JobState
from processing.farm import daemon
from processing.farm.daemon import FarmDaemon
from processing.farm.farm_listener import FarmListener

NAMES = ("1_neutral", "2_smile", "3_mouth_stretch")
MORTAL = Path(__file__).with_name("mortal_daemon.py")
ONCE = dict.fromkeys(NAMES, 1)
LONG_S = 3600.0  # of a lease that ends when the test says so

pytestmark = pytest.mark.filterwarnings("ignore:.*socket.socket.*:pytest.PytestUnraisableExceptionWarning")


def attempts(engine: Engine, take: int, stage: str = "measure") -> int:
    with reading(engine) as tx:
        found = tx.scalar(select(Job.attempts).where(Job.stage == stage, Job.take_id == take))
    assert found is not None
    return found


def lapse(engine: Engine, take: int) -> None:
    """The lease on measuring it ran out a second ago."""
    past = utc_now() - timedelta(seconds=1)
    with transaction(engine) as tx:
        tx.execute(update(Job).where(Job.stage == "measure", Job.take_id == take).values(lease_until=past))


def taken_over(engine: Engine, take: int) -> bool:
    """Whether somebody claimed it again, and may have been told since that it is being computed."""
    with reading(engine) as tx:
        tries, error = tx.execute(
            select(Job.attempts, Job.error).where(Job.stage == "measure", Job.take_id == take)
        ).one()
    return tries > 1 or "another process computes this" in (error or "")


class Heard(FarmListener):
    """What a daemon warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warned(self, message: str) -> None:
        self.warnings.append(message)


# A worker.


@pytest.mark.slow
@pytest.mark.parametrize(("where", "begun"), [("crash", 2), ("crash-filed", 2), ("crash-noted", 1)])
def test_a_worker_is_killed(studio: Any, lent: Any, where: str, begun: int) -> None:
    """In the middle of a stage; when its files are in the store; when that is noted and nobody has heard of it."""
    studio.order(f"{where}-2_smile")
    summary = studio.run(**lent.settings)
    studio.whole()
    assert summary.failed_attempts == 1
    assert studio.runs() == ONCE | {"2_smile": begun}
    assert attempts(studio.engine, studio.takes[1]) == 2
    lent.processes["one"].send_signal(0)  # the process above restarts the one that died


# The scheduler.


@pytest.mark.slow
def test_the_scheduler_is_killed_in_the_middle_of_a_stage(studio: Any, lent: Any, waiting: Any) -> None:
    hold = studio.order("hold-2_smile")
    ready = {name: lent.times_ready(name) for name in ("one", "two")}
    with studio.farming(**lent.settings):
        waiting(studio.control / "reached-2_smile")
        lent.kill("scheduler")
        hold.unlink()
        lent.start_scheduler()
    studio.whole()
    assert studio.runs("ends.log") == ONCE  # its worker ended it and noted so, though it could tell nobody
    assert set(studio.states().values()) == {JobState.DONE}
    assert attempts(studio.engine, studio.takes[1]) == 1  # not the run's fault
    waiting(lambda: all(lent.times_ready(name) > times for name, times in ready.items()))  # for the next test


# The daemon.


@pytest.fixture
def mortal(studio: Any, lent: Any, begin_process: Any) -> Any:
    """Starts a daemon that dies at its `fatal` moment and writes its errors to a file."""

    def start(fatal: str, log: Path) -> subprocess.Popen[bytes]:
        settings = asdict(studio.settings(lease_s=2.0, **lent.settings))
        told = {"fatal": fatal, "settings": settings, "url": studio.url, "store": studio.store}
        with log.open("wb") as errors:
            given = json.dumps(told | {"template": str(studio.template)})
            process: subprocess.Popen[bytes] = begin_process(sys.executable, MORTAL, given, stderr=errors)
            return process

    return start


@pytest.mark.slow
def test_the_daemon_is_killed_in_the_middle_of_a_stage_and_before_a_commit(
    studio: Any, lent: Any, waiting: Any, tmp_path: Path, mortal: Any
) -> None:
    hold = studio.order("hold-1_neutral")
    first = mortal("", tmp_path / "first.log")
    waiting(studio.control / "reached-1_neutral")
    first.kill()
    first.wait()
    second = mortal("commit", tmp_path / "second.log")
    assert second.wait(timeout=600) == -signal.SIGKILL, (tmp_path / "second.log").read_text()
    assert JobState.DONE not in studio.states().values()
    with studio.farming(lease_s=2.0, **lent.settings):
        waiting(lambda: attempts(studio.engine, studio.takes[0]) > 1)  # the dead daemon's lease ran out
        hold.unlink()
    studio.whole()
    assert studio.runs() == ONCE  # the first daemon's worker was at it still, and the others came again for its result


def test_two_daemons_when_one_has_been_asleep_past_its_leases(
    studio: Any, lent: Any, waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it held is taken over; what it brings afterwards is refused; nobody computes what is being computed."""
    hold = studio.order("hold-1_neutral")
    sleepy = studio.farm(lease_s=LONG_S, **lent.settings)
    monkeypatch.setattr(sleepy, "_renew_leases", lambda _workers: None)
    monkeypatch.setattr(studio, "farm", lambda **_: sleepy)
    with studio.farming():
        waiting(studio.control / "reached-1_neutral")
        monkeypatch.undo()
        with studio.farming(lease_s=LONG_S, **lent.settings) as other:
            lapse(studio.engine, studio.takes[0])
            waiting(lambda: taken_over(studio.engine, studio.takes[0]))
            hold.unlink()
    studio.whole()
    assert studio.runs() == ONCE
    assert sleepy.summary.done + other.summary.done == 9


# The database's connection.


def kill_connections(engine: Engine) -> None:
    """PostgreSQL's server ends every other connection; SQLite's file is closed under this process's hands."""
    if engine.dialect.name == "postgresql":
        killer = open_database(engine.url.render_as_string(hide_password=False))
        with killer.connect() as connection:
            others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            connection.execute(text(f"SELECT pg_terminate_backend(pid) {others}"))
        killer.dispose()
    else:
        engine.dispose()


def kill_this_connection(tx: Session) -> None:
    """The connection of a transaction under way ends before it is committed."""
    engine = tx.get_bind()
    assert isinstance(engine, Engine)
    if engine.dialect.name == "postgresql":
        pid = tx.scalar(text("SELECT pg_backend_pid()"))
        killer = open_database(engine.url.render_as_string(hide_password=False))
        with killer.connect() as connection:
            connection.execute(text(f"SELECT pg_terminate_backend({pid})"))
        killer.dispose()
    else:
        tx.connection().connection.driver_connection.close()  # type: ignore[union-attr]


def test_the_connection_is_killed_in_the_middle_of_a_stage_and_before_a_commit(
    studio: Any, lent: Any, waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = studio.order("hold-2_smile")
    finish, killed = daemon.finish, []

    def finish_and_lose(tx: Session, *given: Any, **more: Any) -> Any:
        made = finish(tx, *given, **more)
        if len(killed) < 2:
            killed.append(True)
            kill_this_connection(tx)
        return made

    monkeypatch.setattr(daemon, "finish", finish_and_lose)
    with studio.farming(**lent.settings) as farm:
        waiting(studio.control / "reached-2_smile")
        kill_connections(studio.engine)
        hold.unlink()
    studio.whole()
    assert len(killed) == 2
    assert studio.runs() == ONCE
    assert farm.summary.done == 9
    assert farm.summary.failed_attempts == 0


@pytest.mark.slow
def test_the_connection_is_lost_between_a_commit_and_its_answer(
    studio: Any, lent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claims that were committed are given back, results that were committed are known to be."""
    committed: list[str] = []
    real = daemon.transaction

    @contextlib.contextmanager
    def lossy(engine: Engine) -> Iterator[Session]:
        with real(engine) as tx:
            leased = "leased", tx.scalar(select(Job.id).where(Job.state == JobState.LEASED).limit(1)) is not None
            yield tx
            now = tx.scalar(select(Job.id).where(Job.state == JobState.LEASED).limit(1)) is not None
        what = "claim" if now and not leased[1] else "result" if leased[1] and not now else ""
        if what and committed.count(what) < 1:
            committed.append(what)
            raise DatabaseUnavailable(f"the answer to a {what} was lost")

    monkeypatch.setattr(daemon, "transaction", lossy)
    heard = Heard()
    settings = studio.settings(**(lent.settings | {"lease_s": 60.0}))
    FarmDaemon(studio.engine, studio.store, settings, studio.template, heard).run(until_idle=True)
    studio.whole()
    assert set(committed) == {"claim", "result"}
    assert studio.runs() == ONCE
    assert attempts(studio.engine, studio.takes[0]) == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_database_that_is_locked_for_long_is_waited_for(
    studio: Any, lent: Any, waiting: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.engine.BUSY_TIMEOUT_MS", 50)
    studio.engine.dispose()  # the next connections have little patience
    hold = studio.order("hold-2_smile")
    heard = Heard()
    farm = FarmDaemon(studio.engine, studio.store, studio.settings(**lent.settings), studio.template, heard)
    monkeypatch.setattr(studio, "farm", lambda **_: farm)
    with studio.farming():
        waiting(studio.control / "reached-2_smile")
        other = sqlite3.connect(make_url(studio.url).database or "", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        hold.unlink()
        waiting(lambda: heard.warnings)
        other.execute("ROLLBACK")
        other.close()
    studio.whole()
    assert "locked" in heard.warnings[0]
    assert studio.runs() == ONCE


# Workers that are not as they should be.


@pytest.mark.slow
def test_a_worker_whose_disk_fills_is_passed_over(studio: Any, odd_worker: Any) -> None:
    """It is asked first, for it has the most room; what it cannot write is made elsewhere."""
    for name in NAMES:
        studio.order(f"large-{name}")
    heard = Heard()
    farm = FarmDaemon(
        studio.engine, studio.store, studio.settings(**odd_worker.settings, backoff_s=0.2), studio.template, heard
    )
    summary = farm.run(until_idle=True)
    studio.whole()
    assert summary.failed_attempts == 0  # the machine's fault
    assert any("No room is left to write" in warning for warning in heard.warnings)
    assert studio.runs("ends.log") == ONCE


@pytest.mark.slow
def test_a_worker_of_an_older_version_gets_nothing_that_it_cannot_do(studio: Any, odd_worker: Any) -> None:
    heard = Heard()
    farm = FarmDaemon(studio.engine, studio.store, studio.settings(**odd_worker.settings), studio.template, heard)
    summary = farm.run(until_idle=True)
    studio.whole()
    assert summary.failed_attempts == 0
    assert studio.runs() == ONCE
    assert any("has stage conclude in version 1; version 2 is asked for" in warning for warning in heard.warnings)
    with reading(studio.engine) as tx:
        assert set(tx.scalars(select(Job.attempts))) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_worker_that_is_asked_to_stop_ends_what_it_runs(studio: Any, lent: Any, waiting: Any) -> None:
    holds = [studio.order(f"hold-{name}") for name in NAMES]
    lent.start_worker("three")
    waiting(lambda: lent.times_ready("three"))
    with studio.farming(**lent.settings):
        waiting(lambda: all((studio.control / f"reached-{name}").exists() for name in NAMES))
        lent.processes["three"].send_signal(signal.SIGTERM)
        waiting(lambda: "nothing else begins" in lent.said("three"))
        assert lent.processes["three"].poll() is None
        for hold in holds:
            hold.unlink()
        assert lent.processes.pop("three").wait(timeout=600) == 0
    studio.whole()
    assert studio.runs() == ONCE


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_run_that_hangs_is_ended_and_parked_with_its_log(studio: Any, lent: Any) -> None:
    hold = studio.order("hold-3_mouth_stretch")
    studio.run(limit_s=1.0, max_attempts=1, **lent.settings)
    assert studio.states()["3_mouth_stretch", "measure"] == JobState.PARKED
    with reading(studio.engine) as tx:
        error = tx.scalar(select(Job.error).where(Job.state == JobState.PARKED)) or ""
    assert "3_mouth_stretch measure, attempt 1" in error
    assert "ended after 1 s, the limit of a run" in error
    assert error.splitlines()[-1].startswith("the worker's process died")
    hold.unlink()
