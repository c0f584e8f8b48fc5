"""Every command that destroys, against every state that store and database may be in: nothing is lost that nobody
confirmed, and whoever is killed goes on."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from db import engine as engine_module
from db import store_identity
from db.engine import open_database, reading, transaction
from db.migrations import upgrade
from db.models import Frame
from db.subjects import get_subject, withdraw_consent

PROGRAM = Path(__file__).with_name("destructive_studio.py")

FSCK = ("db", "fsck", "--repair")
QUICK = ("db", "fsck", "--quick", "--repair", "--older-than", "0")
ERASE = ("subject", "withdraw", "S001", "--erase", "--yes")
EMPTY = ("db", "trash", "empty", "--all")
ADOPT = ("db", "adopt-store")
COMMANDS = {"fsck": FSCK, "quick": QUICK, "erase": ERASE, "empty": EMPTY, "adopt": ADOPT}


def _program() -> Any:
    spec = importlib.util.spec_from_file_location("destructive_studio", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TOOLS = _program()


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> dict[str, Path]:
    """Homes to copy: 'early' with one subject, 'now' the same with a second one, and 'other' of another studio."""
    made = {}
    root = tmp_path_factory.mktemp("bases")
    for name, subjects in (("early", 1), ("other", 2)):
        home = root / name
        home.mkdir()
        shutil.copyfile(sqlite_template, home / "studio.sqlite")
        studio = TOOLS.Studio(home)
        for number in range(subjects):
            studio.add_subject(number + (10 if name == "other" else 0))
        made[name] = home
    made["now"] = root / "now"
    shutil.copytree(made["early"], made["now"])
    TOOLS.Studio(made["now"]).add_subject(1)
    spoilt = root / "spoilt"
    shutil.copytree(made["now"], spoilt)
    TOOLS.Studio(spoilt).spoil()
    made["spoilt"] = spoilt
    return made


@pytest.fixture
def studio(bases: dict[str, Path], tmp_path: Path) -> Any:
    shutil.copytree(bases["now"], tmp_path / "home")
    return TOOLS.Studio(tmp_path / "home")


def _database(source: Path, home: Path) -> None:
    for path in home.glob("studio.sqlite*"):
        path.unlink()
    shutil.copyfile(source / "studio.sqlite", home / "studio.sqlite")


def away_empty(studio: Any, _bases: dict[str, Path]) -> None:
    studio.place.rename(studio.home / "disk")
    studio.place.mkdir()


def away_gone(studio: Any, _bases: dict[str, Path]) -> None:
    studio.place.rename(studio.home / "disk")


def away_dangling(studio: Any, _bases: dict[str, Path]) -> None:
    studio.place.rename(studio.home / "disk")
    studio.place.symlink_to(studio.home / "unmounted")


def away_written_to(studio: Any, _bases: dict[str, Path]) -> None:
    """A photograph came while the disk was away, into the folder underneath."""
    away_empty(studio, _bases)
    studio.store.put_bytes(b"photograph 1 cam-00")


def other_store(studio: Any, bases: dict[str, Path]) -> None:
    shutil.rmtree(studio.place)
    shutil.copytree(bases["other"] / "store", studio.place)


def other_database(studio: Any, bases: dict[str, Path]) -> None:
    _database(bases["other"], studio.home)


def empty_database(studio: Any, _bases: dict[str, Path]) -> None:
    for path in studio.home.glob("studio.sqlite*"):
        path.unlink()
    engine = open_database(studio.url)
    upgrade(engine)
    engine.dispose()


def older_database(studio: Any, bases: dict[str, Path]) -> None:
    _database(bases["early"], studio.home)


def other_line(studio: Any, bases: dict[str, Path]) -> None:
    """An older copy that was worked on for longer than the one that it replaced."""
    older_database(studio, bases)
    aside = studio.home / "aside"
    studio.place.rename(aside)
    shutil.copytree(bases["early"] / "store", studio.place)
    for number in (1, 2, 3):
        studio.add_subject(number)
    shutil.rmtree(studio.place)
    aside.rename(studio.place)


def older_store(studio: Any, bases: dict[str, Path]) -> None:
    shutil.rmtree(studio.place)
    shutil.copytree(bases["early"] / "store", studio.place)


def rows_deleted(studio: Any, _bases: dict[str, Path]) -> None:
    """The same log, and photographs that are in it no more."""
    engine = studio.engine()
    with transaction(engine) as tx:
        for table in ("artefact_parent", "take_review", "frame"):
            tx.connection().exec_driver_sql(f'DELETE FROM "{table}"')
    engine.dispose()


STATES: dict[str, Callable[[Any, dict[str, Path]], None]] = {
    state.__name__: state
    for state in (
        *(away_empty, away_gone, away_dangling, away_written_to, other_store, other_database),
        *(empty_database, older_database, other_line, older_store, rows_deleted),
    )
}


@pytest.mark.parametrize("state", STATES)
def test_nothing_is_destroyed_beside_what_it_does_not_belong_to(
    studio: Any, bases: dict[str, Path], state: str
) -> None:
    STATES[state](studio, bases)
    files, rows = studio.files(), studio.records()
    for name, command in COMMANDS.items():
        code, said = studio.run(*command)
        assert code == 4, (name, said)
        assert studio.files() == files, name
        assert "mien db adopt-store" in said or "Mount it" in said or "Nothing was changed" in said, said
    assert studio.records() == rows


def test_a_part_of_the_store_that_is_away_is_not_taken_for_lost(studio: Any) -> None:
    parts = sorted((studio.place / "sha256").iterdir())[:6]
    for part in parts:
        part.rename(studio.home / part.name)
    files, rows = studio.files(), studio.records()
    code, said = studio.run(*FSCK)
    assert (code, "Nothing was changed" in said) == (4, True), said
    assert (studio.files(), studio.records()) == (files, rows)
    code, said = studio.run(*ERASE)
    assert (code, "run the same command again" in said) == (4, True)
    for part in parts:
        target = studio.place / "sha256" / part.name
        if target.exists():
            shutil.rmtree(target)
        (studio.home / part.name).rename(target)
    assert studio.run(*ERASE)[0] == 0
    assert not studio.file(b"scan 0").exists()
    assert len(studio.files()) == 7 + 1


def test_an_older_database_is_confirmed_then_mended_and_all_can_be_brought_back(
    studio: Any, bases: dict[str, Path]
) -> None:
    older_database(studio, bases)
    files = {path: sha for path, sha in studio.files().items() if path.startswith("sha256/")}
    _, said = studio.run(*ADOPT)
    assert "--confirm 7" in said
    assert studio.run(*ADOPT, "--confirm", "yes")[0] == 4
    code, said = studio.run(*ADOPT, "--confirm", "7")
    assert (code, "belong together" in said) == (0, True), said
    old = ("db", "fsck", "--repair", "--older-than", "0")
    code, said = studio.run(*old)
    assert (code, "7 files that no record names" in said) == (4, True)
    assert studio.run(*old, "--confirm", "7")[0] == 0
    assert len([path for path in studio.files() if path.startswith("sha256/")]) == len(files) - 7
    (batch,) = json.loads(studio.run("db", "trash", "list", "--json")[1])
    assert (len(batch["files"]), batch["command"]) == (7, "mien db fsck --repair")
    assert studio.run("db", "trash", "empty")[0] == 0  # it is within its term
    assert studio.run("db", "trash", "restore", batch["batch"])[0] == 0
    assert {path: sha for path, sha in studio.files().items() if path.startswith("sha256/")} == files
    # and the newer one, set aside for it, is recognised as another line
    _database(bases["now"], studio.home)
    assert studio.run(*FSCK)[0] == 4


def test_two_studios_that_exchanged_their_stores_are_told(bases: dict[str, Path], tmp_path: Path) -> None:
    ours, theirs = TOOLS.Studio(tmp_path / "ours"), TOOLS.Studio(tmp_path / "theirs")
    shutil.copytree(bases["now"], ours.home)
    shutil.copytree(bases["other"], theirs.home)
    ours.place.rename(tmp_path / "between")
    theirs.place.rename(ours.place)
    (tmp_path / "between").rename(theirs.place)
    for studio in (ours, theirs):
        code, said = studio.run(*FSCK)
        assert (code, "another studio's" in said) == (4, True)
    assert ours.run(*ERASE)[0] == 4


def test_the_weekly_mending_goes_on_unasked(bases: dict[str, Path], tmp_path: Path) -> None:
    studio = TOOLS.Studio(tmp_path / "home")
    shutil.copytree(bases["spoilt"], studio.home)
    code, said = studio.run(*FSCK)
    assert (code, "The store is sound" in said) == (0, True), said
    assert studio.run("db", "fsck")[0] == 0


def test_an_erasure_reaches_the_trash_and_what_was_set_aside(studio: Any) -> None:
    """Files that were thrown away by mistake, and a rotten copy, before the person asked to be erased."""
    scan, photograph = studio.file(b"scan 0"), studio.file(b"photograph 0 cam-01")
    thrown = studio.place / "trash" / "20261101T000000Z-0123abcd" / scan.relative_to(studio.place)
    thrown.parent.mkdir(parents=True)
    scan.rename(thrown)
    (studio.place / "rotten").mkdir()
    (studio.place / "rotten" / photograph.name).write_bytes(b"photograph 0 cam-O1")
    code, said = studio.run(*ERASE)
    assert (code, "gone for good" in said) == (0, True), said
    everything = b"".join(path.read_bytes() for path in studio.home.rglob("*") if path.is_file())
    for trace in (b"photograph 0", b"scan 0", scan.name.encode(), photograph.name.encode()):
        assert trace not in everything


def test_a_reader_keeps_an_erasure_open_until_the_log_is_empty(studio: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.erasure.secure_delete.PATIENCE_MS", 50)
    engine = studio.engine()
    name = studio.file(b"photograph 0 cam-00").name.encode()
    with reading(engine) as reader:
        reader.scalar(select(func.count()).select_from(Frame))  # and holds its snapshot
        code, said = studio.run(*ERASE)
        assert (code, "write-ahead log" in said, "run the same command again" in said) == (4, True, True), said
    engine.dispose()
    assert json.loads(studio.run("db", "fsck", "--json")[1])["unfinished_erasures"] == ["S001"]
    assert studio.run(*ERASE)[0] == 0
    assert not any(name in path.read_bytes() for path in studio.home.glob("studio.sqlite*"))


def test_pages_from_before_they_were_overwritten_go_too(studio: Any) -> None:
    engine = studio.engine()
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA secure_delete = OFF")
        driver.execute("CREATE TABLE scrap (words TEXT)")
        driver.executemany("INSERT INTO scrap VALUES (?)", [("a word of S001 " * 200,)] * 50)
        driver.execute("DROP TABLE scrap")
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    assert b"a word of S001" in (studio.home / "studio.sqlite").read_bytes()
    assert studio.run(*ERASE)[0] == 0
    assert b"a word of S001" not in (studio.home / "studio.sqlite").read_bytes()


@pytest.mark.parametrize("command", ["fsck", "erase"])
@pytest.mark.parametrize("room", [0, 3])
def test_a_full_disk_under_the_database_loses_nothing(
    bases: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, room: int
) -> None:
    """No more than `room` pages can be added to it."""
    studio = TOOLS.Studio(tmp_path / "home")
    shutil.copytree(bases["spoilt" if command == "fsck" else "now"], studio.home)
    before = set(studio.files().values())
    others = {studio.file(data).name for data in (b"photograph 1 cam-00", b"scan 1", b"template")}
    real = engine_module._set_pragmas

    def full(connection: Any, record: Any) -> None:
        real(connection, record)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + room}")

    with monkeypatch.context() as patch:
        patch.setattr(engine_module, "_set_pragmas", full)
        code, said = studio.run(*COMMANDS[command])
    assert code in (0, 4), said
    assert (before if command == "fsck" else others) <= set(studio.files().values())
    assert studio.run(*COMMANDS[command])[0] == 0
    assert (before if command == "fsck" else others) <= set(studio.files().values())
    assert (command == "fsck") == studio.file(b"scan 0").exists()


def _disturbed(base: Path, mode: str, first: int, stride: int, command: tuple[str, ...]) -> list[dict[str, Any]]:
    arguments = [sys.executable, str(PROGRAM), str(base), mode, str(first), str(stride), *command]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def _judge(found: list[dict[str, Any]], mode: str) -> None:
    assert len(found) > 1
    for run in found:
        assert not run["lost"], run
        assert not run["left"], run
        assert not run["unfinished"], run
        assert not run["unsound"], run
        assert run["codes"][-1] == 0, run
        assert mode == "kill" or run["codes"][0] in (0, 4), run
    assert any(run["killed"] for run in found) == (mode == "kill")


def test_whoever_is_killed_goes_on(bases: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(bases["now"], tmp_path / "base")
    _judge(_disturbed(tmp_path / "base", "kill", 5, 29, ERASE), "kill")


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", ["kill", "full"])
@pytest.mark.parametrize("command", ["fsck", "erase"])
def test_whoever_is_disturbed_at_any_step_goes_on(
    bases: dict[str, Path], tmp_path: Path, mode: str, command: str
) -> None:
    shutil.copytree(bases["spoilt" if command == "fsck" else "now"], tmp_path / "base")
    _judge(_disturbed(tmp_path / "base", mode, 1, 1, COMMANDS[command]), mode)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_postgresql_is_known_by_its_store_too(database_url: str, tmp_path: Path, bases: dict[str, Path]) -> None:
    studio = TOOLS.Studio(tmp_path / "home", database_url)
    studio.home.mkdir()
    for number in (0, 1):
        studio.add_subject(number)
    shutil.rmtree(studio.place)
    shutil.copytree(bases["other"] / "store", studio.place)
    rows = studio.records()
    for command in (FSCK, ERASE):
        assert studio.run(*command)[0] == 4
    assert studio.records() == rows


def test_a_study_from_before_identities_is_taken_up_where_both_agree(bases: dict[str, Path], tmp_path: Path) -> None:
    for state, adopted in (("whole", True), ("empty", False), ("another", False), ("half", False)):
        studio = TOOLS.Studio(tmp_path / state)
        shutil.copytree(bases["now"], studio.home)
        if state == "another":
            other_store(studio, bases)
        if state == "empty":
            away_empty(studio, bases)
        if state == "half":
            for path in sorted((studio.place / "sha256").glob("*/*"))[::2]:
                path.unlink()
        shutil.rmtree(studio.place / "identity", ignore_errors=True)
        engine = studio.engine()
        with transaction(engine) as tx:
            tx.connection().exec_driver_sql("DELETE FROM studio_identity")
        code, said = studio.run("db", "upgrade")
        assert code == 0
        assert ("adopt-store" in said) == (not adopted), said
        assert store_identity.check(engine, studio.store).same == adopted
        engine.dispose()


def test_an_erasure_is_refused_before_a_consent_closes(studio: Any) -> None:
    away_empty(studio, {})
    rows = studio.records()
    assert studio.run(*ERASE)[0] == 4
    assert studio.records() == rows
    engine = studio.engine()
    with transaction(engine) as tx:  # without the files it goes on
        withdraw_consent(tx, get_subject(tx, "S001"))
    engine.dispose()
