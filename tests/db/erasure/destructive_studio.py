"""A small studio for what destroys, and commands on it that are killed, or run out of room, at every step.

As a program: `destructive_studio.py HOME MODE FIRST STRIDE COMMAND…` runs the command on copies of HOME, in processes
of their own that die (kill) or get ENOSPC (full) at their step FIRST, FIRST + STRIDE, …; then again, undisturbed.
Prints a line of JSON for each: what was lost, right after the fault and in the end.
"""

import errno
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import Engine, event, select
from typer.testing import CliRunner

from db import captures, store_identity
from db.commands import database, subject
from db.engine import open_database, reading, transaction, utc_now
from db.erasure.erasures import unfinished_erasures
from db.errors import RecordError
from db.fsck import fsck
from db.models import Base, ConsentScope, TakeReview
from db.protocols import FACESCAPE, install_protocol
from db.stage_runs.artefacts import OutputFile
from db.stage_runs.job_queue import InputFile, InputMade, JobSpec, claim, enqueue_all, finish
from db.store import Store

STEPS = {"os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.chmod", "os.utime"}
GROWING = {"os.rename", "os.link", "os.mkdir"}
MOST = 500  # steps: more than any of the commands takes
OLD = (1_700_000_000, 1_700_000_000)


def fixtures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("rows_of_a_studio", Path(__file__).parents[2] / "db_fixtures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Studio:
    """Subjects with a take each: three photographs, a sheet, a scan and a mesh."""

    def __init__(self, home: Path, url: str = "", rows: Any = None) -> None:
        self.home, self.rows = home, rows or fixtures().StudioRows()
        self.url = url or f"sqlite:///{home / 'studio.sqlite'}"
        self.place = home / "store"

    @property
    def store(self) -> Store:
        return Store(self.place)

    def engine(self) -> Engine:
        return open_database(self.url)

    def add_subject(self, number: int) -> str:
        engine, store = self.engine(), self.store
        with transaction(engine) as tx:
            install_protocol(tx, FACESCAPE)
            rig = self.rows.rig(tx, 4)
            who = self.rows.subject(tx, ConsentScope.RESEARCH_RELEASE)
            session = self.rows.session(tx, who, rig)
            data = [f"photograph {number} {camera.name}".encode() for camera in rig.cameras]
            take = self.rows.accepted(tx, session, rig, 1, [(store.put_bytes(d), len(d)) for d in data])
            captures.close_session(tx, session, incomplete=True)
            sheet = store.put_bytes(f"sheet {number}".encode())
            tx.add(TakeReview(take_id=take.id, reviewed_at=utc_now(), seconds=1.0, sheet=sheet, scores={}))
            keys = [self.rows.sha(f"{stage} {number}") for stage in ("scan", "mesh")]
            of = {"subject_id": who.id, "take_id": take.id}
            template = InputFile("template", store.put_bytes(b"template"))
            scan = JobSpec(keys[0], "reconstruct", 1, {}, [InputFile("take", self.rows.sha(f"take {number}"))], **of)
            made = InputMade("scan", keys[0], "scan")
            enqueue_all(tx, [scan, JobSpec(keys[1], "register", 1, {}, [made, template], **of)])
            code = str(who.code)
        for output in ("scan", "mesh"):
            with transaction(engine) as tx:
                lease = claim(tx, "worker")
                assert lease is not None
                made_of = f"{output} {number}".encode()
                finish(tx, lease, [OutputFile(output, store.put_bytes(made_of), len(made_of), "text/plain")])
        assert store_identity.note(engine, store).same
        engine.dispose()
        return code

    def spoil(self) -> None:
        """What the weekly mending finds: a file of nobody, one rotten mesh, a sheet that is gone, a stale note."""
        os.utime(self.store.local_path(self.store.put_bytes(b"nobody's")), OLD)
        mesh = self.file(b"mesh 1")
        mesh.chmod(0o644)
        mesh.write_bytes(b"mush 1")
        self.file(b"sheet 1").unlink()
        (self.place / "runs").mkdir(exist_ok=True)
        note = self.place / "runs" / f"{'e' * 64}.json"
        note.write_text("[]")
        os.utime(note, OLD)

    def file(self, data: bytes) -> Path:
        sha256 = hashlib.sha256(data).hexdigest()
        return self.place / "sha256" / sha256[:2] / sha256

    def files(self) -> dict[str, str]:
        """SHA-256 of every file of the store's place but its notes (identity, journal), by path."""
        found = (path for path in self.place.rglob("*") if path.is_file() and not path.is_symlink())
        kept = (path for path in found if path.relative_to(self.place).parts[0] not in ("identity", "journal.jsonl"))
        return {str(p.relative_to(self.place)): hashlib.sha256(p.read_bytes()).hexdigest() for p in kept}

    def records(self) -> str:
        """Every row, but of the audit log and the identity."""
        engine = self.engine()
        apart = {"audit_event", "studio_identity"}
        with reading(engine) as tx:
            tables = [table for table in Base.metadata.sorted_tables if table.name not in apart]
            said = json.dumps([sorted(str(tuple(row)) for row in tx.execute(select(table))) for table in tables])
        engine.dispose()
        return said

    def run(self, *command: str) -> tuple[int, str]:
        """A command as from a script: nobody at a terminal. Its exit code, and all that it said."""
        app, *arguments = command
        where = ["--home", str(self.home), "--database", self.url]
        done = CliRunner().invoke({"db": database.app, "subject": subject.app}[app], [*arguments, *where])
        if isinstance(done.exception, RecordError):
            return done.exception.exit_code, str(done.exception)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output


def disturb(mode: str, at: int, place: Path) -> Callable[[], int]:
    """From now on this process dies, or its disk is full, at its step `at`: changes of files, and commits."""
    counted = [0]

    def step(kind: str) -> None:
        if mode == "full" and kind not in GROWING:
            return
        counted[0] += 1
        if counted[0] == at and mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if counted[0] >= at and mode == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def hook(kind: str, given: tuple[Any, ...]) -> None:
        if kind in STEPS and str(given[0] if isinstance(given[0], str | os.PathLike) else "").startswith(str(place)):
            step(kind)

    sys.addaudithook(hook)
    if mode == "kill":
        event.listen(Engine, "commit", lambda _connection: step("commit"))
    return lambda: counted[0]


def apart(studio: Studio, mode: str, at: int, command: list[str]) -> tuple[bool, int]:
    """The command in a process of its own; whether it was killed, and its exit code."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            if mode != "none":
                disturb(mode, at, studio.place)
            code, _ = studio.run(*command)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status), os.waitstatus_to_exitcode(status)


def main(base: Path, mode: str, first: int, stride: int, command: list[str]) -> None:
    erasing = "--erase" in command
    before = Studio(base).files()
    gone = {hashlib.sha256(f"{what} 0".encode()).hexdigest() for what in ("sheet", "scan", "mesh")}
    gone |= {hashlib.sha256(f"photograph 0 cam-0{view}".encode()).hexdigest() for view in range(4)}
    at, ended = first, False
    while not ended:
        studio = Studio(base.with_name(f"{base.name}-{mode}-{at}"))
        shutil.copytree(base, studio.home)
        killed, code = apart(studio, mode, at, command)
        kept = set(before.values()) - (gone if erasing else set())
        lost = sorted(kept - set(studio.files().values()))
        codes = [code]
        for _ in range(3):
            again = apart(studio, "none", 0, command)[1]
            codes.append(again)
            if again == 0:
                break
        lost += sorted(kept - set(studio.files().values()))
        engine = studio.engine()
        with reading(engine) as tx:
            unfinished = unfinished_erasures(tx)
        report = fsck(engine, studio.store)
        unsound = [f"{found.trouble} {found.name}" for found in report.findings if not erasing]
        engine.dispose()
        left: list[str] = []
        if erasing:
            raw = b"".join(path.read_bytes() for path in studio.home.rglob("*") if path.is_file())
            left = [sha256 for sha256 in gone if sha256.encode() in raw]
            left += [f"bytes of {what} 0" for what in ("photograph", "sheet", "scan") if f"{what} 0".encode() in raw]
            left += sorted(gone & set(studio.files().values()))
        said = {"at": at, "killed": killed, "codes": codes, "lost": lost, "left": left}
        print(json.dumps(said | {"unfinished": unfinished, "unsound": unsound}), flush=True)
        shutil.rmtree(studio.home)
        ended = at > MOST or ((not killed) if mode == "kill" else code == 0)
        at += stride


if __name__ == "__main__":
    started = time.monotonic()
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
