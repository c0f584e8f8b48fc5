"""A studio is there, or it is said that it is not; and it is closed, or nobody works on it."""

import os
import shutil
import stat
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st

from db.access_guard import close_studio, require_closed
from db.commands import database
from db.engine import open_database, shown
from db.errors import NoStudio, OpenToOthers, RecordError, SettingsError
from db.migrations import current
from db.settings import Settings
from db.store import Store
from db.studio import open_studio


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def home(tmp_path: Path, sqlite_template: Path) -> Path:
    there = Settings.load(tmp_path / "home")
    there.make_home()
    shutil.copyfile(sqlite_template, there.home / "studio.sqlite")
    return there.home


def test_what_upgrade_makes_is_closed_under_any_umask(tmp_path: Path) -> None:
    home = tmp_path / "home"
    before = os.umask(0o022)
    try:
        database.upgrade(home=home, database=None, as_json=True)
    finally:
        os.umask(before)
    made = [home, home / "studio.sqlite", home / "store", home / "keys", home / "ingest"]
    assert [mode(path) & 0o077 for path in made] == [0] * len(made)
    with open_studio(home) as studio:
        assert mode(studio.store.local_path(studio.store.put_bytes(b"a face"))) == 0o400


@pytest.mark.parametrize("what", [".", "studio.sqlite", "store"])
@pytest.mark.parametrize("bits", [0o004, 0o040, 0o002, 0o001])
def test_what_is_open_in_any_way_is_refused_with_what_to_type_and_closed_by_upgrade(
    home: Path, what: str, bits: int
) -> None:
    path = home / what
    path.chmod(mode(path) | bits)
    with pytest.raises(OpenToOthers) as told:
        open_studio(home)
    assert f"chmod go-rwx {path}" in str(told.value)
    assert f"mien db upgrade --home {home}" in str(told.value)
    assert close_studio(Settings.load(home)) == [path]
    open_studio(home).close()


def test_a_store_that_was_open_is_closed_file_by_file(home: Path) -> None:
    store = Store(home / "store")
    file = store.local_path(store.put_bytes(b"a face"))
    file.chmod(0o444)
    (home / "store").chmod(0o755)
    close_studio(Settings.load(home))
    assert mode(file) == 0o400


@pytest.mark.parametrize("there", ["nothing", "a folder", "an empty file"])
def test_reading_makes_nothing_where_no_studio_is(tmp_path: Path, there: str) -> None:
    home = tmp_path / "typo"
    if there != "nothing":
        home.mkdir()
    if there == "an empty file":
        (home / "studio.sqlite").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(NoStudio, match="mien db upgrade"):
        open_studio(home)
    with pytest.raises(NoStudio, match="mien db upgrade"):
        open_studio(home, f"sqlite:///{tmp_path}/other.sqlite")
    assert sorted(tmp_path.rglob("*")) == before
    assert all(path.stat().st_size == 0 for path in before if path.is_file())


def test_what_is_no_database_is_told_without_a_traceback(home: Path) -> None:
    (home / "studio.sqlite").write_bytes(b"a letter to grandmother" * 100)
    with pytest.raises(RecordError, match="does not answer: file is not a database"):
        open_studio(home)


@pytest.mark.parametrize("line", ['database = "postgresql://mien:s3cretpw@h/x"', 'store = "sftp://mien:s3cretpw@h/x"'])
def test_a_password_in_a_file_that_others_may_read_is_told(tmp_path: Path, line: str) -> None:
    file = tmp_path / "studio.toml"
    file.write_text(line + "\n")
    file.chmod(0o644)
    with pytest.raises(OpenToOthers, match=r"chmod 600 .*studio\.toml") as told:
        Settings.load(tmp_path)
    assert "s3cretpw" not in str(told.value)
    file.chmod(0o600)
    assert "s3cretpw" in Settings.load(tmp_path).database + Settings.load(tmp_path).store


def test_keys_do_not_belong_into_the_stores_address(tmp_path: Path) -> None:
    (tmp_path / "studio.toml").write_text('store = "s3://AKIA:s3cretkey@bucket/x"\n')
    with pytest.raises(SettingsError, match="AWS_SECRET_ACCESS_KEY") as told:
        Settings.load(tmp_path)
    assert "s3cretkey" not in str(told.value)


ADDRESSES = st.sampled_from([
    "postgresql://mien:{}@127.0.0.1:notaport/x", "postgres//mien:{}@h", "postgres://mien:{}@h/x", "mien:{}@h",
    "oracle://mien:{}@h/x", "postgresql:mien:{}@h", "{}", "sqlite://mien:{}@h", "postgresql://h:1/x?password={}&x=y",
    "postgresql://mien:{}@[::1/x", "postgresql+nosuch://mien:{}@h/x", "http://mien:{}@h",
])  # fmt: skip


@settings(deadline=None)
@given(ADDRESSES, st.text(st.characters(categories=("Lu", "Ll", "Nd", "Po")), max_size=10))
def test_no_address_gives_a_password_away_nor_a_traceback(address: str, more: str) -> None:
    secret = f"QZsecretQZ{more}"
    told: BaseException | None = None
    try:
        engine = open_database(address.format(secret))
    except RecordError as refusal:
        told = refusal
    if told is not None:
        assert "QZsecretQZ" not in str(told)
        assert told.__context__ is None or told.__suppress_context__
        return
    assert "QZsecretQZ" not in shown(engine)  # an address that can be; whether it answers is another matter
    engine.dispose()


def test_a_server_that_does_not_know_an_option_is_told_of_without_the_password() -> None:
    engine = open_database("postgresql://mien:s3cretpw@127.0.0.1:1/x?nosuch=1&password=s3cretpw")
    with pytest.raises(RecordError) as told:
        current(engine)
    assert "s3cretpw" not in str(told.value)
    engine.dispose()
    assert isinstance(engine, sqlalchemy.Engine)


def test_a_closed_studio_passes(home: Path) -> None:
    require_closed(Settings.load(home))
