"""Store and rows held against each other: each kind of trouble is found, named, and mended where it can be."""

import json
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from typer.testing import CliRunner

from db import captures
from db.commands import database
from db.engine import reading, transaction, utc_now
from db.fsck import FsckReport, Trouble, fsck
from db.models import Artefact, ConsentScope, Job, JobState, TakeReview
from db.stage_runs.artefacts import OutputFile
from db.stage_runs.job_queue import InputFile, InputMade, JobSpec, claim, enqueue_all, finish, states_of
from db.store import Store
from db.subjects import get_subject, withdraw_consent

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the statements are few and the same
NOW, DAY = timedelta(0), timedelta(hours=24)


class Kept:
    """A take with photographs and a sheet, and two runs of it: a scan, and a mesh that is made of the scan."""

    def __init__(self, engine: Engine, store: Store, rows: Any) -> None:
        self.engine, self.store = engine, store
        self.scan, self.mesh, self.sheet = (f"{name} of the take".encode() for name in ("scan", "mesh", "sheet"))
        with transaction(engine) as tx:
            rig, subject = rows.rig(tx), rows.subject(tx, ConsentScope.RESEARCH_RELEASE)
            session = rows.session(tx, subject, rig)
            data = [f"photograph {camera.name}".encode() for camera in rig.cameras]
            self.photographs = [store.put_bytes(d) for d in data]
            photographs = [(sha256, len(d)) for sha256, d in zip(self.photographs, data, strict=True)]
            take = rows.accepted(tx, session, rig, 1, photographs)
            captures.close_session(tx, session, incomplete=True)
            review = TakeReview(take_id=take.id, reviewed_at=utc_now(), seconds=1, sheet=store.put_bytes(self.sheet))
            review.scores = {}
            tx.add(review)
            self.keys = [rows.sha("scan"), rows.sha("mesh")]
            of = {"subject_id": subject.id, "take_id": take.id}
            listing = InputFile("take", rows.sha("listing"))
            template = InputFile("template", store.put_bytes(b"template"))
            made = InputMade("scan", self.keys[0], "scan")
            scan = JobSpec(self.keys[0], "reconstruct", 1, {}, [listing], **of)
            enqueue_all(tx, [scan, JobSpec(self.keys[1], "register", 1, {}, [made, template], **of)])
        self.work()

    def work(self) -> None:
        for output, data in (("scan", self.scan), ("mesh", self.mesh)):
            with transaction(self.engine) as tx:
                lease = claim(tx, "worker")
                assert lease is not None
                finish(tx, lease, [OutputFile(output, self.store.put_bytes(data), len(data), "text/plain")])

    def sha(self, output: str) -> str:
        with reading(self.engine) as tx:
            return str(tx.scalar(select(Artefact.sha256).where(Artefact.output == output)))

    def look(self, **given: Any) -> FsckReport:
        return fsck(self.engine, self.store, workers=2, **given)

    def troubles(self, **given: Any) -> list[tuple[str, str]]:
        return [(str(finding.trouble), finding.name) for finding in self.look(**given).findings]


def lose(store: Store, sha256: str) -> None:
    assert store.remove(sha256, untouched_since=utc_now() + DAY)


def spoil(store: Store, sha256: str, change: Callable[[bytes], bytes]) -> None:
    """Change the file behind the store's back."""
    with store.open(sha256) as file:
        data = file.read()
    key = store._key(sha256)
    if store.is_local:
        Path(key).chmod(0o644)
    store._fs.pipe_file(key, change(data))


def flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.fixture(params=["folder", "remote"])
def kept(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path, studio_rows: Any) -> Kept:
    remote = Store(f"memory://fsck-{tmp_path.name}", cache=tmp_path / "cache")
    return Kept(engine, Store(tmp_path / "store") if request.param == "folder" else remote, studio_rows)


@pytest.fixture
def local(engine: Engine, tmp_path: Path, studio_rows: Any) -> Kept:
    return Kept(engine, Store(tmp_path / "store"), studio_rows)


@sqlite
def test_a_sound_store_is_sound(kept: Kept) -> None:
    report = kept.look(older_than=NOW)
    assert (report.findings, report.sound) == ([], True)
    assert (report.files, report.named) == (3 + 1 + 2 + 1, 3 + 1 + 2)  # the template is kept and not demanded


@sqlite
def test_missing_photographs_are_named_and_cannot_be_mended(kept: Kept) -> None:
    lose(kept.store, kept.photographs[1])
    for repair in (False, True):
        (finding,) = kept.look(repair=repair).findings
        assert (finding.trouble, finding.name, finding.mended) == (Trouble.MISSING, kept.photographs[1], "")
        assert finding.about == ("photograph of S001-1-E01-1 by cam-01",)


def test_a_missing_artefact_and_what_was_made_of_it_are_made_anew(kept: Kept) -> None:
    scan = kept.sha("scan")
    lose(kept.store, scan)
    (finding,) = kept.look().findings
    assert (finding.trouble, finding.about, finding.mended) == (
        Trouble.MISSING,
        ("reconstruct's scan of S001-1-E01-1",),
        "",
    )
    (finding,) = kept.look(repair=True).findings
    assert finding.mended == "2 stage runs are queued again"
    with reading(kept.engine) as tx:
        assert set(states_of(tx, kept.keys).values()) == {JobState.QUEUED}
    kept.work()
    assert (kept.sha("scan"), kept.troubles(older_than=NOW)) == (scan, [])


@sqlite
def test_a_missing_mesh_leaves_the_scan_alone(local: Kept) -> None:
    lose(local.store, local.sha("mesh"))
    assert local.look(repair=True).findings[0].mended == "1 stage runs are queued again"
    with reading(local.engine) as tx:
        assert list(states_of(tx, local.keys).values()).count(JobState.DONE) == 1


def test_nothing_is_made_anew_of_somebody_who_withdrew(local: Kept) -> None:
    with transaction(local.engine) as tx:
        withdraw_consent(tx, get_subject(tx, "S001"))
    lose(local.store, local.sha("scan"))
    report = local.look(repair=True)
    assert (report.sound, [f.mended for f in report.findings]) == (False, [""])
    with reading(local.engine) as tx:
        assert set(states_of(tx, local.keys).values()) == {JobState.DONE}


@sqlite
def test_a_missing_sheet_is_forgotten(kept: Kept) -> None:
    with reading(kept.engine) as tx:
        sheet = tx.scalar(select(TakeReview.sheet))
    assert sheet is not None
    lose(kept.store, sheet)
    report = kept.look(repair=True)
    assert report.sound
    assert "--again" in report.findings[0].mended
    assert kept.troubles() == []


@sqlite
@pytest.mark.parametrize("change", [flip, lambda data: data[:-3], lambda data: data + b"more"])
def test_rotten_files_are_found_and_set_aside(kept: Kept, change: Callable[[bytes], bytes]) -> None:
    scan = kept.sha("scan")
    spoil(kept.store, scan, change)
    assert kept.troubles() == [("rotten", scan)]
    report = kept.look(repair=True)
    assert report.sound
    assert f"rotten/{scan}" in report.findings[0].mended
    assert not kept.store.exists(scan)
    kept.work()
    kept.store.verify(kept.sha("scan"))


@sqlite
def test_a_quick_look_sees_sizes_alone(kept: Kept) -> None:
    spoil(kept.store, kept.photographs[0], flip)
    assert kept.troubles(read=False) == []
    spoil(kept.store, kept.photographs[0], lambda data: data[:-1])
    assert kept.troubles(read=False) == [("rotten", kept.photographs[0])]


@sqlite
def test_a_rotten_photograph_stays_told_of(local: Kept) -> None:
    spoil(local.store, local.photographs[0], flip)
    assert not local.look(repair=True).sound
    (finding,) = local.look(repair=True).findings
    assert (finding.trouble, finding.about) == (Trouble.MISSING, ("photograph of S001-1-E01-1 by cam-00",))


@sqlite
def test_a_copy_on_this_machine_puts_a_remote_file_back(engine: Engine, tmp_path: Path, studio_rows: Any) -> None:
    kept = Kept(engine, Store(f"memory://copy-{tmp_path.name}", cache=tmp_path / "cache"), studio_rows)
    first, second = kept.photographs[:2]
    for sha256 in (first, second):
        kept.store.local_path(sha256)
    spoil(kept.store, first, flip)
    kept.store._fs.rm_file(kept.store._key(second))
    report = kept.look(repair=True)
    assert report.sound
    assert sorted(str(finding.trouble) for finding in report.findings) == ["missing", "rotten"]
    for sha256 in (first, second):
        kept.store.verify(sha256)


def test_orphans_go_when_they_are_old_enough(kept: Kept) -> None:
    orphan = kept.store.put_bytes(b"nobody's")
    assert kept.troubles() == []  # its row may be on the way
    assert kept.troubles(older_than=NOW) == [("orphan", orphan)]
    report = kept.look(older_than=NOW, repair=True)
    assert (report.sound, kept.store.exists(orphan)) == (True, False)
    assert kept.troubles(older_than=NOW) == []


@sqlite
def test_an_orphan_that_is_put_again_stays(local: Kept) -> None:
    orphan = local.store.put_bytes(b"nobody's yet")
    os.utime(local.store.local_path(orphan), (1, 1))
    assert local.troubles() == [("orphan", orphan)]
    local.store.put_bytes(b"nobody's yet")
    assert local.troubles(repair=True) == []
    assert local.store.exists(orphan)


@sqlite
def test_what_lies_about_is_told_of(local: Kept) -> None:
    folder = local.store.folder
    assert folder is not None
    old = time.time() - 2 * DAY.total_seconds()
    done, unknown = local.keys[0], "e" * 64
    (folder / "runs").mkdir()
    (folder / "tmp" / "mien-bake-x").mkdir(parents=True)
    (folder / "tmp" / "mien-bake-x" / "half.png").write_bytes(b"half")
    lying = [folder / "tmp" / "mien-bake-x", folder / "tmp" / "tmpabc", folder / "runs" / f"{unknown}.json"]
    lying.append(folder / "runs" / f"{done}.json")
    for path in lying:
        if not path.is_dir():
            path.write_text("[]")
        os.utime(path, (old, old))
    (folder / "tmp" / "young").write_bytes(b"being written")
    stray = folder / "sha256" / "ab" / "IMG_0001.JPG"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"somebody put it here")
    found = local.look(repair=True)
    assert sorted(f.name for f in found.findings if f.trouble is Trouble.LEFTOVER) == sorted(map(str, lying))
    assert [f.name for f in found.findings if f.trouble is Trouble.STRAY] == ["sha256/ab/IMG_0001.JPG"]
    assert not any(path.exists() for path in lying)
    assert (folder / "tmp" / "young").exists()
    assert (found.sound, stray.exists()) == (False, True)  # nothing that is not ours is removed


@sqlite
def test_a_waiting_runs_note_is_kept(local: Kept) -> None:
    folder = local.store.folder
    assert folder is not None
    with transaction(local.engine) as tx:
        job = tx.scalars(select(Job)).first()
        assert job is not None
        job.state = JobState.QUEUED
        key = job.key
    note = folder / "runs" / f"{key}.json"
    note.parent.mkdir()
    note.write_text("[]")
    os.utime(note, (1, 1))
    assert local.troubles(repair=True) == []
    assert note.exists()


@sqlite
def test_a_photograph_that_comes_in_meanwhile_is_no_trouble(local: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listed before it was filed, named before it is looked for."""
    sha256 = local.photographs[0]
    real = Store.shard

    def late(self: Store, shard: str) -> Any:
        files, strays = real(self, shard)
        return [filed for filed in files if filed.sha256 != sha256], strays

    with monkeypatch.context() as patch:
        patch.setattr(Store, "shard", late)
        assert local.troubles() == []


@sqlite
def test_mien_db_fsck(local: Kept, tmp_path: Path) -> None:
    url = local.engine.url.render_as_string(hide_password=False)

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(database.app, ["fsck", "--home", str(tmp_path), "--database", url, *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout

    code, said = run()
    assert (code, "The store is sound" in said, "read and hashed" in said) == (0, True, True)
    spoil(local.store, local.sha("mesh"), flip)
    code, said = run()
    assert (code, "rotten" in said, "--repair" in said) == (4, True, True)
    assert run("--quick")[0] == 0
    report = json.loads(run("--repair", "--json")[1])
    assert (report["sound"], report["findings"][0]["trouble"]) == (True, "rotten")
