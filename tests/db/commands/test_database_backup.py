"""`mien db backup`, `restore` and `copy` as a person, a timer and a script meet them."""

import json
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest
import typer
from typer.testing import CliRunner

from db.backups.restore_replay import CodesUnknown
from db.commands import database, subject
from db.errors import AlreadyThere, BackupError, BackupKeyError, SettingsError


def run(*arguments: str, app: typer.Typer = database.app, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_HOME", str(tmp_path / "studio"))
    monkeypatch.delenv("MIEN_DATABASE", raising=False)
    run("upgrade")
    run("add", "--age", "31", app=subject.app)
    return tmp_path / "studio"


@pytest.mark.usefixtures("home")
def test_a_night_and_a_morning_after(tmp_path: Path) -> None:
    folder = str(tmp_path / "backup")
    said = run("backup", "--to", folder)
    assert "keys/ and MIEN_PERSONAL_KEY" in said
    assert "on the disk of the store" in said
    assert "The backup is sound" in run("backup", "--check", folder)
    run("add", app=subject.app)
    old = str(tmp_path / "studio")
    with pytest.raises(AlreadyThere):
        run("restore", folder)
    with pytest.raises(CodesUnknown, match="--codes-from"):
        run("restore", folder, "--home", str(tmp_path / "new"))
    said = run("restore", folder, "--home", str(tmp_path / "new"), "--old", old)
    assert "subject S002" in said
    assert "next subject: S003" in said
    assert run("add", "--home", str(tmp_path / "new"), app=subject.app) == "S003\n"
    with pytest.raises(BackupError, match="restore over studio"):
        run("restore", folder, "--over")
    report = json.loads(run("restore", folder, "--over", "--confirm", "restore over studio", "--json"))
    assert report["next_code"] == "S003"


@pytest.mark.usefixtures("home")
def test_old_snapshots_go_when_told_and_never_unasked(tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    for _ in range(3):
        run("backup", "--to", str(folder))
    with pytest.raises(BackupError, match="let 2 go"):
        run("backup", "--to", str(folder), "--keep", "2")
    assert len(list((folder / "snapshots").iterdir())) == 4
    assert "2 snapshots were moved" in run("backup", "--to", str(folder), "--keep", "3", "--yes")
    assert len(list((folder / "snapshots").iterdir())) == 3
    assert len(list((folder / "dropped").iterdir())) == 2


@pytest.mark.usefixtures("home")
def test_sealed_for_a_recipient(tmp_path: Path) -> None:
    identity, folder = pyrage.x25519.Identity.generate(), str(tmp_path / "backup")
    key = tmp_path / "key.txt"
    key.write_text(f"# made today\n{identity}\n")
    assert ", sealed" in run("backup", "--to", folder, "--encrypt-to", str(identity.to_public()))
    assert ", sealed" in run("backup", "--to", folder)  # each night after that, without any key
    with pytest.raises(BackupKeyError, match="sealed otherwise"):
        run("backup", "--to", folder, "--encrypt-to", str(pyrage.x25519.Identity.generate().to_public()))
    with pytest.raises(BackupKeyError) as mixed_up:
        run("backup", "--to", str(tmp_path / "other"), "--encrypt-to", str(key))
    assert str(identity) not in str(mixed_up.value)
    assert "sealed bytes compared" in run("backup", "--check", folder)
    assert "read and compared" in run("backup", "--check", folder, "--identity", str(key))
    new = ("--home", str(tmp_path / "new"), "--codes-from", "S100")
    with pytest.raises(BackupError, match="--identity"):
        run("restore", folder, *new)
    assert "next subject: S100" in run("restore", folder, *new, "--identity", str(key))


@pytest.mark.usefixtures("home")
def test_a_passphrase_is_asked_for_and_has_a_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(tmp_path / "backup")
    with pytest.raises(BackupKeyError, match="--passphrase-file"):
        run("backup", "--to", folder, "--passphrase")
    monkeypatch.setenv("MIEN_BACKUP_PASSPHRASE", "short")
    with pytest.raises(BackupKeyError, match="12 characters") as told:
        run("backup", "--to", folder, "--passphrase")
    assert "short" not in str(told.value)
    assert not Path(folder).exists()


@pytest.mark.usefixtures("home")
def test_a_file_that_is_missing_makes_the_night_fail_and_names_it(tmp_path: Path, home: Path) -> None:
    assert run("backup", "--to", str(tmp_path / "backup"), "--check", "x", code=2)
    import sqlite3

    with sqlite3.connect(home / "studio.sqlite") as raw:
        raw.execute("PRAGMA foreign_keys = OFF")
        values = "(1, 'reconstruct', 2, '{}', 'queued', 0, 0, '2026-01-01 00:00:00')"
        raw.execute(f"INSERT INTO job (id, stage, version, params, state, priority, attempts, created_at, key) VALUES"
                    f" {values[:-1]}, '{'a' * 64}')")  # fmt: skip
        raw.execute(
            "INSERT INTO artefact (job_id, output, sha256, bytes, media, made_at) VALUES"
            f" (1, 'scan', '{'b' * 64}', 5, 'x/y', '2026-01-01 00:00:00')"
        )
    said = run("backup", "--to", str(tmp_path / "backup"), code=4)
    assert "is it mounted?" in said
    assert "reconstruct's" in said


@pytest.mark.usefixtures("home")
def test_copy_says_how_to_go_on_and_never_the_password(tmp_path: Path) -> None:
    said = run("copy", "--to", f"sqlite:///{tmp_path / 'new.sqlite'}")
    assert "subject" in said
    assert f'database = "sqlite:///{tmp_path / "new.sqlite"}"' in said
    for url in ("postgresql://mien:hidden-word@127.0.0.1:1/mien", "mysql://mien:hidden-word@host/x", "hidden-word"):
        command = [sys.executable, "-m", "mien", "db", "copy", "--to", url]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[3])
        assert ended.returncode in (2, 4)
        assert "Traceback" not in ended.stderr
        assert "hidden-word" not in ended.stdout + ended.stderr
    with pytest.raises(SettingsError, match="--to is no database URL"):
        run("copy", "--to", "nonsense")
