"""Restoring: bit by bit, never over anything, never with a code that somebody has, and no withdrawal forgotten."""

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from db import captures
from db.audit import restore_journal
from db.backups.backup import back_up, opened_copy
from db.backups.backup_repository import BackupFolder, Snapshot, json_hash
from db.backups.restore import choose, restore
from db.backups.restore_replay import CodesUnknown, RestoreReport
from db.captures import close_session, get_session
from db.consents.withdrawals import withdrawn_takes
from db.engine import open_database, reading, transaction
from db.erasure.erasures import erase_subject
from db.erasure.take_withdrawals import withdraw_take
from db.errors import AlreadyThere, BackupError
from db.migrations import downgrade
from db.models import ConsentScope, Subject, Take
from db.protocols import FACESCAPE, install_protocol
from db.release_records.releases import begin_release, complete_release
from db.rigs import rig_records
from db.settings import Settings
from db.store import Store
from db.studio import open_studio
from db.subjects import add_subject, get_subject, give_consent, list_subjects, withdraw_consent
from db.transfer.table_rows import snapshot, tables

RESEARCH, PUBLICATION = ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION


@dataclass
class Studio:
    settings: Settings
    engine: Engine
    store: Store
    folder: BackupFolder

    def backed_up(self) -> Snapshot:
        report = back_up(self.settings, self.engine, self.store, self.folder)
        return choose(self.folder, report.snapshot)


def digests(engine: Engine) -> dict[str, object]:
    with snapshot(engine) as read:
        return {table.name: read.digest(table) for table in tables()}


@pytest.fixture
def studio(tmp_path: Path, sqlite_template: Path, studio_rows) -> Iterator[Studio]:
    """S001 with a closed session of one take, S002 with an open one; both consent."""
    home = tmp_path / "old"
    settings = Settings.load(home)
    settings.make_home()
    shutil.copyfile(sqlite_template, home / "studio.sqlite")
    (home / "studio.toml").write_text('store = "store"\n[studio]\nconsole_port = 5780\n')
    with open_studio(home) as opened:
        engine, store = opened.engine, opened.store
        with transaction(engine) as tx:
            rig = studio_rows.rig(tx)
            for number in (1, 2):
                subject = studio_rows.subject(tx, RESEARCH, PUBLICATION)
                session = studio_rows.session(tx, subject, rig)
                files = [f"S00{number} photograph {view} ".encode() * 300 for view in range(3)]
                photographs = [(store.put_bytes(data), len(data)) for data in files]
                studio_rows.accepted(tx, session, rig, 1, photographs)
                if number == 1:
                    close_session(tx, session, incomplete=True)
        yield Studio(settings, engine, store, BackupFolder.make(tmp_path / "backup", None, None, "studio"))


def restored(tmp_path: Path, chosen: Snapshot, name: str = "new", **given) -> RestoreReport:
    return restore(chosen, Settings.load(tmp_path / name), None, **given)


def next_subject(home: Path) -> str:
    with open_studio(home) as opened, transaction(opened.engine) as tx:
        return add_subject(tx).code


def test_rows_and_files_come_back_as_they_were(studio: Studio, tmp_path: Path) -> None:
    chosen = studio.backed_up()
    before = digests(studio.engine)
    seen: dict[str, object] = {}

    def look(engine: Engine, _store: Store, _settings: Settings) -> None:
        seen.update(digests(engine))

    report = restored(tmp_path, chosen, old=[studio.settings], adopt=look)
    assert {name for name in before if before[name] != seen[name]} == {"audit_event"}  # what the restoring itself says
    assert report.rows_equal
    assert (report.files, report.missing, report.exact) == (6, [], True)
    with open_studio(tmp_path / "new") as opened:
        assert set(opened.store) == set(studio.store)
        for sha256 in opened.store:
            opened.store.verify(sha256)
    with opened_copy(chosen.path / "studio.sqlite") as copy:
        assert digests(copy) == before
    written = (tmp_path / "new" / "studio.toml").read_text()
    assert '# of the studio as it was: store = "store"' in written
    assert "console_port" in written
    assert not list((tmp_path / "new").glob("restor*"))
    assert (tmp_path / "new" / "studio.sqlite").stat().st_mode & 0o077 == 0


def test_a_code_that_was_given_after_the_copy_is_never_given_again(studio: Studio, tmp_path: Path) -> None:
    chosen = studio.backed_up()
    with transaction(studio.engine) as tx:
        given = [add_subject(tx).code for _ in range(5)]
    assert given[-1] == "S007"
    report = restored(tmp_path, chosen, old=[studio.settings])
    assert (report.exact, report.next_code) == (True, "S008")
    assert "subjects S003 to S007" in report.newer
    assert next_subject(tmp_path / "new") == "S008"
    # The database is gone: the journal beside the store knows.
    studio.engine.dispose()
    for path in studio.settings.home.glob("studio.sqlite*"):
        path.unlink()
    assert restored(tmp_path, chosen, "second", old=[studio.settings]).next_code == "S008"
    # All is gone but a later snapshot: what came after that is for a person to say, and not below what is known.
    shutil.rmtree(studio.settings.home)
    with pytest.raises(CodesUnknown, match="S002"):
        restored(tmp_path, chosen, "third")
    with pytest.raises(BackupError, match="S003 or later"):
        restored(tmp_path, chosen, "third", codes_from="S002")
    with pytest.raises(CodesUnknown, match="no subject code"):
        restored(tmp_path, chosen, "third", codes_from="12; drop")
    assert not (tmp_path / "third" / "studio.sqlite").exists()
    assert restored(tmp_path, chosen, "third", codes_from="S123").next_code == "S123"
    assert [next_subject(tmp_path / "third") for _ in range(2)] == ["S123", "S124"]
    # And a restored studio's own backups know it, when an earlier snapshot is restored again.
    with open_studio(tmp_path / "third") as opened:
        back_up(opened.settings, opened.engine, opened.store, studio.folder)
    with pytest.raises(CodesUnknown, match="S124"):
        restored(tmp_path, chosen, "fourth")


def test_a_database_put_back_by_hand_is_not_believed_to_know_all(studio: Studio, tmp_path: Path) -> None:
    chosen = studio.backed_up()
    old_file = (studio.settings.home / "studio.sqlite").read_bytes()
    with transaction(studio.engine) as tx:
        add_subject(tx)
    studio.backed_up()
    studio.engine.dispose()
    for path in studio.settings.home.glob("studio.sqlite*"):
        path.unlink()
    (studio.settings.home / "studio.sqlite").write_bytes(old_file)
    (studio.settings.home / "store" / restore_journal.NAME).unlink()
    with pytest.raises(CodesUnknown, match="S003"):
        restored(tmp_path, chosen, old=[studio.settings])


@pytest.mark.parametrize("known", [True, False])
def test_session_take_and_release_numbers_go_on_too(studio: Studio, tmp_path: Path, known: bool) -> None:
    chosen = studio.backed_up()
    with transaction(studio.engine) as tx:
        close_session(tx, get_session(tx, "S002-1"), incomplete=True)
        rig = rig_records.get_rig(tx, "booth")
        session = captures.start_session(tx, get_subject(tx, "S001"), install_protocol(tx, FACESCAPE), rig)
        close_session(tx, session, incomplete=True)
        release = begin_release(tx, "faces", schema_version=2, consent_day=date(2026, 2, 1), criteria={})
        complete_release(tx, release, "0" * 64, [])
    report = restored(tmp_path, chosen, old=[studio.settings] if known else [], codes_from=None if known else "S003")
    assert ("session S001-2" in report.newer) == known
    assert ("release faces 1" in report.newer) == known
    with open_studio(tmp_path / "new") as opened, transaction(opened.engine) as tx:
        take = captures.plan_take(tx, get_session(tx, "S002-1"), 1)
        assert take.attempt == 12  # attempts at the open session's expressions that the copy may not know
        close_session(tx, get_session(tx, "S002-1"), incomplete=True)
        rig, protocol = rig_records.get_rig(tx, "booth"), install_protocol(tx, FACESCAPE)
        numbers = []
        for _ in range(2):
            session = captures.start_session(tx, get_subject(tx, "S001"), protocol, rig)
            numbers.append(session.code)
            close_session(tx, session, incomplete=True)
        assert numbers == (["S001-3", "S001-4"] if known else ["S001-12", "S001-13"])
        if known:
            release = begin_release(tx, "faces", schema_version=2, consent_day=date(2026, 2, 1), criteria={})
            assert release.version == 2


@pytest.mark.parametrize("source", ["database", "journal", "snapshot"])
def test_withdrawals_and_erasures_since_are_done_again(studio: Studio, tmp_path: Path, source: str) -> None:
    chosen = studio.backed_up()
    with transaction(studio.engine) as tx:
        close_session(tx, get_session(tx, "S002-1"), incomplete=True)
        taken = tx.scalars(select(Take.code).where(Take.code.startswith("S001-")).order_by(Take.id)).first()
        assert taken is not None
        withdraw_take(tx, "S001", taken)
        withdraw_consent(tx, get_subject(tx, "S001"), [PUBLICATION])
        withdraw_consent(tx, get_subject(tx, "S002"))
    erase_subject(studio.engine, studio.store, "S002")
    with transaction(studio.engine) as tx:
        again = give_consent(tx, get_subject(tx, "S001"), PUBLICATION, date(2026, 3, 1))
        assert again.id
    given: dict[str, object] = {"old": [studio.settings]}
    if source == "snapshot":
        studio.backed_up()
        given = {"codes_from": "S050"}
    elif source == "journal":
        studio.engine.dispose()
        for path in studio.settings.home.glob("studio.sqlite*"):
            path.unlink()
    report = restored(tmp_path, chosen, **given)
    assert any("S001 withdrew publication" in line for line in report.repeated)
    assert any("S002 was erased" in line for line in report.repeated)
    assert any(f"{taken} was withdrawn" in line for line in report.repeated)
    assert any("enter the consent of S001 for publication" in line for line in report.to_do)
    with open_studio(tmp_path / "new") as opened, reading(opened.engine) as tx:
        assert _open_scopes(tx, "S001") == {RESEARCH}
        assert get_subject(tx, "S002").erased_at is not None
        assert len(withdrawn_takes(tx)) == 1
        assert len(set(opened.store)) == 3  # S001's alone
    blob = b"".join(path.read_bytes() for path in (tmp_path / "new").rglob("*") if path.is_file())
    assert b"S002 photograph" not in blob


def _open_scopes(tx: Session, code: str) -> set[ConsentScope]:
    return {one.scope for one in get_subject(tx, code).consents if one.withdrawn_at is None}


def test_never_over_anything_unless_told(studio: Studio, tmp_path: Path) -> None:
    chosen = studio.backed_up()
    with transaction(studio.engine) as tx:
        add_subject(tx)
    held = digests(studio.engine)
    with pytest.raises(AlreadyThere, match="is there"):
        restored(tmp_path, chosen, "old")
    with pytest.raises(BackupError, match="stop the studio first"):
        restored(tmp_path, chosen, "old", over=True)
    assert digests(studio.engine) == held
    other = Settings.load(tmp_path / "other")
    other.make_home()
    Store(other.store).put_bytes(b"somebody's")
    with pytest.raises(AlreadyThere, match="has files in it"):
        restored(tmp_path, chosen, "other", codes_from="S009")
    studio.engine.dispose()
    report = restored(tmp_path, chosen, "old", over=True)
    assert report.next_code == "S004"
    (aside,) = studio.settings.home.glob("studio.sqlite.before-restore-*")  # with no log beside it
    with opened_copy(aside) as copy:
        assert digests(copy) == held
    assert next_subject(studio.settings.home) == "S004"


def test_what_is_not_in_the_backup_is_named_and_stops_nothing(studio: Studio, tmp_path: Path) -> None:
    chosen = studio.backed_up()
    gone, changed = sorted(studio.store)[:2]
    studio.folder.place(gone).unlink()
    studio.folder.place(changed).write_bytes(b"changed")
    report = restored(tmp_path, chosen, old=[studio.settings])
    assert {one["sha256"] for one in report.missing} == {gone, changed}
    assert report.files == 4
    with open_studio(tmp_path / "new") as opened:
        assert len(set(opened.store)) == 4


@pytest.mark.parametrize("part", ["manifest.json", "studio.sqlite", "about.json", "files.txt"])
def test_a_damaged_snapshot_is_refused_and_nothing_is_made(studio: Studio, tmp_path: Path, part: str) -> None:
    chosen = studio.backed_up()
    path = chosen.path / part
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :])
    with pytest.raises((BackupError, ValueError)):
        restored(tmp_path, chosen, old=[studio.settings])
    assert not (tmp_path / "new" / "studio.sqlite").exists()


def test_killed_at_any_moment_the_same_restore_goes_on(studio: Studio, tmp_path: Path) -> None:
    chosen = studio.backed_up()
    with transaction(studio.engine) as tx:
        add_subject(tx)
    studio.engine.dispose()
    died, final = 0, tmp_path / "new" / "studio.sqlite"
    for step in range(1, 60, 2):
        child = os.fork()
        if child == 0:
            _die_at(step, studio, tmp_path, chosen)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            break
        died += 1
        assert not final.exists()  # no database before all is done: nobody can take half a studio for one
    assert died > 2
    assert next_subject(tmp_path / "new") == "S004"


def _die_at(step: int, studio: Studio, tmp_path: Path, chosen: Snapshot) -> None:
    rename, count = os.fsync, 0

    def dying(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count == step:
            os._exit(9)
        rename(descriptor)

    os.fsync = dying  # type: ignore[assignment]
    with suppress(BaseException):
        restored(tmp_path, chosen, old=[studio.settings])
        os._exit(0)
    os._exit(1)


def test_a_copy_of_an_older_schema_is_brought_up(studio: Studio, tmp_path: Path) -> None:
    chosen = studio.backed_up()
    older = open_database(f"sqlite:///{chosen.path / 'studio.sqlite'}")
    downgrade(older, "-1")
    older.dispose()
    manifest = chosen.manifest()
    with sqlite3.connect(chosen.path / "studio.sqlite") as raw:
        raw.execute("PRAGMA journal_mode = DELETE")
    data = (chosen.path / "studio.sqlite").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    manifest["parts"]["studio.sqlite"] |= {
        "sha256": digest, "stored_sha256": digest, "bytes": len(data), "stored_bytes": len(data)
    }  # fmt: skip
    manifest["revision"] = "older"
    written = {**manifest, "sha256": json_hash(manifest)}
    (chosen.path / "manifest.json").write_text(json.dumps(written))
    report = restored(tmp_path, chosen, old=[studio.settings])
    assert any("its schema is now" in line for line in report.to_do)
    assert next_subject(tmp_path / "new") == "S003"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_into_postgresql(studio: Studio, tmp_path: Path, database_url: str) -> None:
    chosen = studio.backed_up()
    settings = Settings.load(tmp_path / "new", database_url)
    report = restore(chosen, settings, None, old=[studio.settings])
    assert report.next_code == "S003"
    engine = open_database(database_url)
    with transaction(engine) as tx:
        assert [line.code for line in list_subjects(tx)] == ["S001", "S002"]
        assert add_subject(tx).code == "S003"
    with pytest.raises(AlreadyThere, match="not empty"):
        restore(chosen, settings, None, old=[studio.settings])
    engine.dispose()


def test_the_journal_says_what_happened_and_no_more(studio: Studio) -> None:
    with transaction(studio.engine) as tx:
        subject = add_subject(tx, age=44)
        give_consent(tx, subject, RESEARCH, date(2026, 1, 3), document_sha256="a" * 64)
    with transaction(studio.engine) as tx:
        withdraw_consent(tx, get_subject(tx, "S003"))
    path = restore_journal.place(studio.settings.store, studio.settings.home)
    text = path.read_text()
    assert "44" not in [str(value) for line in text.splitlines() for value in json.loads(line).values()]
    assert "a" * 64 not in text
    assert path.stat().st_mode & 0o077 == 0
    with path.open("a") as file:
        file.write('{"at": "cut o')  # a crash
    with transaction(studio.engine) as tx:
        add_subject(tx)
    found = restore_journal.read_journal(path)
    assert found is not None
    assert found.subjects == 4
    assert set(found.withdrawn) == {"S003 research_release"}


def test_a_journal_that_cannot_be_written_stops_nobody(
    studio: Studio, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    restore_journal.keep_journal(studio.engine, tmp_path / "away" / restore_journal.NAME)
    with transaction(studio.engine) as tx:
        assert add_subject(tx).code == "S003"
    assert "cannot be written" in caplog.text
    with reading(studio.engine) as tx:
        assert tx.get(Subject, 3) is not None
