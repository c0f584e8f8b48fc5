"""Backups: consistent beside a writer, whole after any crash, found out when damaged; nothing earlier is ever lost."""

import errno
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyrage
import pytest
from sqlalchemy import Engine

from db.backups import backup, backup_repository, backup_verification
from db.backups.age_encryption import Opener, Seal, new_passphrase_key, open_passphrase_key
from db.backups.backup import back_up, copy_to_sqlite, opened_copy
from db.backups.backup_repository import BackupFolder
from db.backups.backup_verification import check_backup, prune_snapshots, surplus_snapshots
from db.engine import open_database, transaction, utc_now
from db.errors import BackupError, BackupKeyError
from db.models import ConsentScope
from db.settings import Settings
from db.store import Store
from db.subjects import add_subject, list_subjects
from db.transfer.table_rows import snapshot, tables

PASSPHRASE = "correct horse battery staple"


@dataclass(frozen=True)
class Studio:
    """A small studio with real files."""

    settings: Settings
    engine: Engine
    store: Store
    photographs: list[str]

    def backed_up(self, folder: BackupFolder) -> backup.BackupReport:
        return back_up(self.settings, self.engine, self.store, folder)


def digests(engine: Engine) -> dict[str, object]:
    with snapshot(engine) as read:
        return {table.name: read.digest(table) for table in tables()}


@pytest.fixture
def studio(tmp_path: Path, sqlite_template: Path, studio_rows) -> Iterator[Studio]:
    settings = Settings.load(tmp_path / "home")
    settings.make_home()
    shutil.copyfile(sqlite_template, settings.home / "studio.sqlite")
    (settings.home / "rig.toml").write_text('name = "booth"\n')
    engine, store = open_database(settings.database), Store(settings.store)
    made = []
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        subject = studio_rows.subject(tx, ConsentScope.RESEARCH_RELEASE)
        session = studio_rows.session(tx, subject, rig)
        for expression in (1, 2):
            data = [f"photograph {expression} {view} ".encode() * 500 for view in range(3)]
            files = [(store.put_bytes(one), len(one)) for one in data]
            studio_rows.accepted(tx, session, rig, expression, files)
            made += [sha256 for sha256, _ in files]
    yield Studio(settings, engine, store, made)
    engine.dispose()


def new_folder(path: Path, sealed: bool = False) -> tuple[BackupFolder, Opener | None]:
    if not sealed:
        return BackupFolder.make(path, None, None, "studio"), None
    identity = pyrage.x25519.Identity.generate()
    seal = Seal((str(identity.to_public()),))
    return BackupFolder.make(path, seal, None, "studio"), Opener([identity])


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("sealed", [False, True])
def test_a_second_backup_copies_only_what_is_new(studio: Studio, tmp_path: Path, sealed: bool) -> None:
    folder, opener = new_folder(tmp_path / "backup", sealed)
    first = studio.backed_up(folder)
    second = studio.backed_up(folder)
    assert (first.files, first.new_files, second.files, second.new_files) == (6, 6, 6, 0)
    assert first.whole
    found = check_backup(folder, opener)
    assert found.sound
    assert found.files == 6
    assert found.snapshots == [first.snapshot, second.snapshot]
    for path in [folder.path, *folder.path.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_sealed_backup_shows_nothing(studio: Studio, tmp_path: Path) -> None:
    folder, _ = new_folder(tmp_path / "backup", sealed=True)
    studio.backed_up(folder)
    for name, data in content(folder.path).items():
        assert b"photograph" not in data, name
        assert b"S001" not in data, name
        assert b"booth" not in data, name
    assert not (studio.settings.home / "backup-tmp").exists()


def test_keys_and_passwords_are_in_no_backup(studio: Studio, tmp_path: Path) -> None:
    settings = studio.settings
    (settings.keys / "secret").write_text("hidden-key")
    (settings.home / "studio.toml").write_text('database = "postgresql://mien:hidden-word@host/mien"\n[studio]\n')
    written = Settings.load(settings.home)
    folder, _ = new_folder(tmp_path / "backup")
    back_up(written, studio.engine, studio.store, folder)
    everything = b"".join(content(folder.path).values())
    assert b"hidden" not in everything
    assert b"postgresql://mien:***@host/mien" in everything


def test_the_copy_is_one_moment_whatever_is_written_meanwhile(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "_PAGES", 1)
    before, written = digests(studio.engine), 0

    def write(_done: int, _all: int) -> None:
        nonlocal written
        if written < 40:  # a commit between any two steps, and the copy neither waits nor begins anew
            with transaction(studio.engine) as tx:
                add_subject(tx)
            written += 1

    copy_to_sqlite(studio.engine, tmp_path / "copy.sqlite", write)
    with opened_copy(tmp_path / "copy.sqlite") as copy:
        assert digests(copy) == before
    assert written == 40
    with transaction(studio.engine) as tx:
        assert len(list_subjects(tx)) == 41


def test_killed_at_any_moment_the_same_command_goes_on(studio: Studio, tmp_path: Path) -> None:
    folder, _ = new_folder(tmp_path / "backup")
    earlier = studio.backed_up(folder).snapshot
    held = content(folder.path / "snapshots" / earlier)
    for number in range(6, 9):
        studio.store.put_bytes(b"more" * number)
    with transaction(studio.engine) as tx:
        add_subject(tx)
    studio.engine.dispose()
    died = 0
    for step in range(1, 200, 3):
        for path in folder.path.joinpath("files").iterdir():  # so that every file is copied again
            shutil.rmtree(path)
        child = os.fork()
        if child == 0:
            _die_at(step, studio, folder)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            break
        died += 1
        assert content(folder.path / "snapshots" / earlier) == held
        assert all(one.manifest() for one in folder.snapshots())  # none is half there
    assert died > 4
    assert studio.backed_up(folder).whole
    assert check_backup(folder).sound
    assert not folder.temporary.exists()


def _die_at(step: int, studio: Studio, folder: BackupFolder) -> None:
    """In a child: the process ends without a word at its `step`th flush to the disk."""
    flush, count = os.fsync, 0

    def dying(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count == step:
            os._exit(9)
        flush(descriptor)

    os.fsync = dying  # type: ignore[assignment]
    with suppress(BaseException):
        studio.backed_up(BackupFolder.open(folder.path))
        os._exit(0)
    os._exit(1)


@pytest.mark.parametrize("sealed", [False, True])
def test_a_full_disk_is_said_and_costs_nothing(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sealed: bool
) -> None:
    folder, opener = new_folder(tmp_path / "backup", sealed)
    studio.backed_up(folder)
    held = content(folder.path)
    for sha256 in studio.photographs[:3]:
        held.pop(str(folder.place(sha256).relative_to(folder.path)))
    real, writes = backup_repository.Hashing.write, 0

    for room_for in range(5):
        for sha256 in studio.photographs[:3]:
            folder.place(sha256).unlink(missing_ok=True)

        def full(self: backup_repository.Hashing, block: bytes, limit: int = room_for) -> int:
            nonlocal writes
            writes += 1
            if writes > limit:
                self.failed = OSError(errno.ENOSPC, "No space left on device")
                raise self.failed
            return real(self, block)

        writes = 0
        with monkeypatch.context() as patch:
            patch.setattr(backup_repository.Hashing, "write", full)
            with pytest.raises(BackupError, match="no room left"):
                studio.backed_up(folder)
        now = content(folder.path)
        assert {name: now[name] for name in held if "index" not in name} == {
            name: data for name, data in held.items() if "index" not in name
        }
    assert studio.backed_up(folder).whole
    assert check_backup(folder, opener).sound


def test_what_the_store_lacks_is_named_and_stops_nothing(studio: Studio, tmp_path: Path) -> None:
    folder, _ = new_folder(tmp_path / "backup")
    rotten, missing = studio.photographs[0], studio.photographs[4]
    good = studio.store.local_path(rotten).read_bytes()
    for sha256, data in ((rotten, b"x" + good[1:]), (missing, None)):
        place = studio.store.local_path(sha256)
        place.chmod(0o644)
        place.write_bytes(data) if data else place.unlink()
    report = studio.backed_up(folder)
    assert {(one.sha256, one.why) for one in report.lacking} == {(rotten, "rotten"), (missing, "missing")}
    assert all("photograph of S001-1-E0" in one.about[0] for one in report.lacking)
    assert (report.files, report.whole) == (4, False)
    assert check_backup(folder).sound  # what is in it is sound
    studio.store.local_path(rotten).write_bytes(good)
    again = studio.backed_up(folder)
    assert (again.new_files, [one.sha256 for one in again.lacking]) == (1, [missing])


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("how", ["a bit", "cut off", "gone", "longer"])
def test_any_damage_is_found_and_mended_from_the_store(studio: Studio, tmp_path: Path, how: str, sealed: bool) -> None:
    folder, opener = new_folder(tmp_path / "backup", sealed)
    studio.backed_up(folder)
    whole = content(folder.path)
    inside = [one for one in whole if one.startswith(("files/", "snapshots/")) and not one.endswith("index.txt")]
    assert len(inside) >= 11
    for one in inside:
        path, data = folder.path / one, whole[one]
        if how == "a bit":
            place = len(data) * 2 // 3
            path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        elif how == "gone":
            path.unlink()
        else:
            path.write_bytes(data[:-1] if how == "cut off" else data + b"x")
        for key in (None, opener):
            found = check_backup(folder, key)
            assert not found.sound, one
            assert any(Path(damage.name).name in one for damage in found.damage), one
        if one.startswith("snapshots/"):
            path.write_bytes(data)
    report = studio.backed_up(folder)
    assert (report.new_files, report.whole) == (6, True)
    assert check_backup(folder, opener).sound


def test_a_lost_index_loses_nothing(studio: Studio, tmp_path: Path) -> None:
    folder, _ = new_folder(tmp_path / "backup")
    studio.backed_up(folder)
    for path in folder.path.rglob("index.txt"):
        path.write_bytes(path.read_bytes()[:-20] + b"\xff junk\n")
    assert check_backup(folder).sound
    assert studio.backed_up(folder).new_files == 6
    assert check_backup(folder).sound


def test_the_last_good_snapshot_never_goes(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = new_folder(tmp_path / "backup")
    good = studio.backed_up(folder).snapshot
    gone = studio.photographs[0]
    folder.place(gone).unlink()
    place = studio.store.local_path(gone)
    place.chmod(0o644)
    data = place.read_bytes()
    place.unlink()
    lame = [studio.backed_up(folder).snapshot for _ in range(2)]
    assert [one.name for one in surplus_snapshots(folder, 1)] == [lame[0]]
    with pytest.raises(BackupError, match="1 or more"):
        surplus_snapshots(folder, 0)
    studio.store.put_bytes(data)
    newest = studio.backed_up(folder).snapshot
    going = surplus_snapshots(folder, 1)
    assert [one.name for one in going] == [good, *lame]
    only_old = studio.photographs[1]
    with transaction(studio.engine) as tx:  # as an erasure leaves it: no row names it any more
        tx.connection().exec_driver_sql("DELETE FROM frame WHERE sha256 = ?", (only_old,))
    last = studio.backed_up(folder).snapshot
    assert prune_snapshots(folder, surplus_snapshots(folder, 1)) == (0, 0)  # moved aside, for a term
    assert folder.place(only_old).exists()
    later = utc_now() + backup_verification.TERM + timedelta(hours=1)
    monkeypatch.setattr(backup_verification, "utc_now", lambda: later)
    assert prune_snapshots(folder, surplus_snapshots(folder, 1))[0] == 1
    assert not folder.place(only_old).exists()
    assert [one.name for one in folder.snapshots()] == [last]
    assert newest != last
    assert check_backup(folder).sound


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(BackupError, match="other things"):
        BackupFolder.make(tmp_path, None, None, "studio")
    with pytest.raises(BackupError, match="no folder of backups"):
        BackupFolder.open(tmp_path)


def test_two_backups_at_once_are_refused(studio: Studio, tmp_path: Path) -> None:
    folder, _ = new_folder(tmp_path / "backup")
    with folder.locked(), pytest.raises(BackupError, match="Another program"):
        studio.backed_up(BackupFolder.open(folder.path))


@pytest.mark.slow  # a passphrase is stretched for a second or more
def test_another_key_does_not_open_it(studio: Studio, tmp_path: Path) -> None:
    seal, key = new_passphrase_key(PASSPHRASE)
    folder = BackupFolder.make(tmp_path / "backup", seal, key, "studio")
    studio.backed_up(folder)  # without the passphrase
    assert BackupFolder.open(folder.path).seal == seal
    assert PASSPHRASE.encode() not in b"".join(content(folder.path).values())
    with pytest.raises(BackupKeyError, match="another"):
        check_backup(folder, Opener([pyrage.x25519.Identity.generate()]))
    with pytest.raises(BackupKeyError, match="does not open"):
        open_passphrase_key((folder.path / "key.age").read_bytes(), "another passphrase")
    assert check_backup(folder, open_passphrase_key(key, PASSPHRASE)).sound


def test_a_bare_copy_of_the_file_has_the_subjects(studio: Studio, tmp_path: Path) -> None:
    keeper = sqlite3.connect(studio.settings.home / "studio.sqlite")  # a studio that has it open all the while
    keeper.execute("SELECT count(*) FROM subject").fetchone()
    for _ in range(3):
        with transaction(studio.engine) as tx:
            add_subject(tx)
    shutil.copyfile(studio.settings.home / "studio.sqlite", tmp_path / "copy.sqlite")
    keeper.close()
    with opened_copy(tmp_path / "copy.sqlite") as copy:
        assert digests(copy) == digests(studio.engine)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_backup_of_postgresql_is_the_same(engine: Engine, tmp_path: Path, studio_rows) -> None:
    settings = Settings.load(tmp_path / "home", engine.url.render_as_string(hide_password=False))
    settings.make_home()
    store = Store(settings.store)
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        session = studio_rows.session(tx, studio_rows.subject(tx), rig)
        files = [(store.put_bytes(f"photograph {view}".encode()), 12) for view in range(3)]
        studio_rows.accepted(tx, session, rig, 1, files)
    folder, _ = new_folder(tmp_path / "backup")
    report = back_up(settings, engine, store, folder)
    assert (report.files, report.whole) == (3, True)
    with opened_copy(folder.snapshots()[0].path / "studio.sqlite") as copy:
        assert digests(copy) == digests(engine)
