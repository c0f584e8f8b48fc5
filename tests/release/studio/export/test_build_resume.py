"""A build that was interrupted goes on; however it was built, the bytes are the same."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from db.engine import open_database, transaction, utc_now
from db.errors import StateConflict
from db.models import ConsentScope
from db.release_records.releases import begin_release
from db.store import Store
from db.studio import StudioRecords
from db.subjects import get_subject, withdraw_consent
from processing.release.formats.errors import ReleaseError
from processing.release.holder.verify import verify
from processing.release.studio.export import build as build_module
from processing.release.studio.export import export as export_module
from processing.release.studio.export.build import build_release

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
RELEASE, PUBLICATION = ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION


def copy_of(records: StudioRecords, tmp_path: Path, name: str) -> StudioRecords:
    """The same studio again, as it is now."""
    path = tmp_path / f"{name}.sqlite"
    with sqlite3.connect(records.settings.database.removeprefix("sqlite:///")) as source, sqlite3.connect(path) as to:
        source.backup(to)
    return StudioRecords(records.settings, open_database(f"sqlite:///{path}"), Store(records.settings.store))


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class Interrupted(Exception):
    pass


def after(takes: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The next builds break after so many takes; the labels of the takes that are written."""
    written: list[str] = []
    real = export_module.export_take

    def export_take(job: Any, *arguments: Any) -> Any:
        if len(written) == takes:
            raise Interrupted
        written.append(f"{job.subject.index}/{job.take.label}")
        return real(job, *arguments)

    monkeypatch.setattr(export_module, "export_take", export_take)
    return written


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_how_it_was_built(
    studio: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # other processes draw at full size
    studio.subject(RELEASE, PUBLICATION)
    studio.subject(RELEASE)
    straight, again, parallel = (copy_of(studio.records, tmp_path, name) for name in ("a", "b", "c"))
    wanted = build_release(straight, "faces", tmp_path / "a", workers=1)
    with monkeypatch.context() as patch:
        after(2, patch)
        with pytest.raises(Interrupted):
            build_release(again, "faces", tmp_path / "b", workers=1)
    assert [p.name for p in (tmp_path / "b").iterdir()] == [".faces-1.building"]
    with monkeypatch.context() as patch:
        written = after(99, patch)
        resumed = build_release(again, "faces", tmp_path / "b", workers=1)
        assert written == ["2/1_neutral", "2/2_smile"]
    assert contents(resumed.folder) == contents(wanted.folder)
    assert resumed.manifest_sha256 == wanted.manifest_sha256
    assert [p.name for p in (tmp_path / "b").iterdir()] == ["faces-1"]
    two = build_release(parallel, "faces", tmp_path / "c", workers=2)
    assert contents(two.folder) == contents(wanted.folder)


def test_what_does_not_hold_any_more_is_written_anew(
    studio: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that the crash spoiled, one that nobody knows, and a subject that has withdrawn meanwhile."""
    kept, leaves = studio.subject(RELEASE, PUBLICATION), studio.subject(RELEASE, PUBLICATION)
    with monkeypatch.context() as patch:
        after(4, patch)
        patch.setattr(export_module, "_write_shared", lambda *_: (_ for _ in ()).throw(Interrupted()))
        with pytest.raises(Interrupted):
            build_release(studio.records, "faces", tmp_path / "out", workers=1)
    half = tmp_path / "out" / ".faces-1.building" / "release"
    (half / "1/models_reg/2_smile.obj").write_bytes(b"")
    (half / "mesh/1/.1_neutral-abc.ply").write_bytes(b"half a file")
    with transaction(studio.records.engine) as tx:
        withdraw_consent(tx, get_subject(tx, leaves))
    with monkeypatch.context() as patch:
        written = after(99, patch)
        built = build_release(studio.records, "faces", tmp_path / "out", workers=1)
        assert written == ["1/2_smile"]
    assert built.manifest.subjects == (kept,)
    assert not [path for path in contents(built.folder) if "/2/" in f"/{path}" or ".1_neutral" in path]
    assert verify(built.folder, recorded_sha256=built.manifest_sha256).intact


def test_killed_and_started_again(studio: Any, tmp_path: Path) -> None:
    """kill -9 in the middle: the row stays building, and the same command takes it up without --abandon."""
    for _ in range(3):
        studio.subject(RELEASE)
    script = f"""
import sys, time
sys.path.insert(0, {str(Path.cwd())!r})
from pathlib import Path
from db.engine import open_database
from db.settings import Settings
from db.store import Store
from db.studio import StudioRecords
from processing.release.studio.export import export
from processing.release.studio.export.build import build_release
real, done = export.export_take, []
def export_take(*arguments):
    if len(done) == 3:
        Path({str(tmp_path / "reached")!r}).touch()
        time.sleep(600)
    done.append(1)
    return real(*arguments)
export.export_take = export_take
home = Path({str(studio.records.settings.home)!r})
settings = Settings(home, {studio.records.settings.database!r}, {studio.records.settings.store!r})
build_release(StudioRecords(settings, open_database(settings.database), Store(settings.store)), "faces",
              Path({str(tmp_path / "out")!r}), workers=1)
"""
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", script])
    try:
        while not (tmp_path / "reached").exists():
            assert process.poll() is None
            time.sleep(0.05)
        with pytest.raises(StateConflict, match="another process"):
            build_release(studio.records, "faces", tmp_path / "out")
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with pytest.raises(StateConflict, match="--abandon"):
        build_release(studio.records, "faces", tmp_path / "elsewhere")
    built = build_release(studio.records, "faces", tmp_path / "out", workers=1)
    assert built.version == 1
    assert verify(built.folder, recorded_sha256=built.manifest_sha256).intact


def test_killed_between_the_rename_and_the_records(
    studio: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.subject(RELEASE, expressions=("neutral",))
    out = tmp_path / "out"

    def broken(*_: Any) -> None:
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(build_module, "complete_release", broken)
        with pytest.raises(Interrupted):
            build_release(studio.records, "faces", out)
    (out / ".faces-1.building" / "release").rename(out / "faces-1")  # as a build does that has no time to turn back
    with transaction(studio.records.engine) as tx:
        row = begin_release(tx, "faces", schema_version=2, consent_day=utc_now().date(), criteria={})
    (out / ".faces-1.building" / "build.json").write_text(json.dumps({"release": row.id}))
    with monkeypatch.context() as patch:
        written = after(99, patch)
        built = build_release(studio.records, "faces", out, workers=1)
        assert written == []
    assert verify(built.folder, recorded_sha256=built.manifest_sha256).intact
    assert [p.name for p in out.iterdir()] == ["faces-1"]


def test_a_byte_that_changes_between_writing_and_hashing_is_named(
    studio: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.subject(RELEASE, expressions=("neutral",))
    real = export_module._write_shared

    def spoil(plan: Any, records: Any, entries: Any) -> Any:
        (plan.folder / "1/models_reg/1_neutral.jpg").write_bytes(b"rot")
        return real(plan, records, entries)

    monkeypatch.setattr(export_module, "_write_shared", spoil)
    with pytest.raises(ReleaseError, match=r"1/models_reg/1_neutral\.jpg changed on the disk"):
        build_release(studio.records, "faces", tmp_path / "out", workers=1)
    monkeypatch.undo()
    assert build_release(studio.records, "faces", tmp_path / "out", workers=1).version == 1


def test_a_build_that_died_elsewhere_is_abandoned_by_hand(studio: Any, tmp_path: Path) -> None:
    studio.subject(RELEASE, expressions=("neutral",))
    with transaction(studio.records.engine) as tx:
        begin_release(tx, "faces", schema_version=2, consent_day=utc_now().date(), criteria={})
    with pytest.raises(StateConflict, match="--abandon"):
        build_release(studio.records, "faces", tmp_path / "out")
    assert build_release(studio.records, "faces", tmp_path / "out", abandon=True).version == 1
    shutil.rmtree(tmp_path / "out")
