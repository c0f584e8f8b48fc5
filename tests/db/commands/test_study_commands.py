"""`mien db`, `mien subject` and `mien protocol` as a person and as a program meets them."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from db.commands import database, protocol, subject
from db.errors import AlreadyThere, ConsentError, NoStudio, NotFound


def run(app: typer.Typer, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MIEN_HOME", str(tmp_path / "studio"))
    monkeypatch.delenv("MIEN_DATABASE", raising=False)
    run(database.app, "upgrade")
    return tmp_path / "studio"


def test_nothing_works_before_upgrade_and_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_HOME", str(tmp_path / "new"))
    with pytest.raises(NoStudio, match="mien db upgrade"):
        run(subject.app, "list")
    assert not (tmp_path / "new").exists()


def test_upgrade_makes_a_home(home: Path) -> None:
    assert (home / "studio.sqlite").is_file()
    assert (home / "keys").stat().st_mode & 0o777 == 0o700
    report = json.loads(run(database.app, "upgrade", "--json"))
    assert report["before"] == report["revision"]
    assert json.loads(run(protocol.app, "list", "--json"))[0]["name"] == "facescape20"


def test_upgrade_on_postgresql(empty_database_url: str, tmp_path: Path) -> None:
    arguments = ("--home", str(tmp_path / "home"), "--database", empty_database_url)
    assert "revision" in run(database.app, "upgrade", *arguments)
    assert run(subject.app, "add", *arguments) == "S001\n"
    assert "S001" in run(subject.app, "list", *arguments)


@pytest.mark.usefixtures("home")
def test_a_subject_comes_consents_and_withdraws(tmp_path: Path) -> None:
    form = tmp_path / "form.pdf"
    form.write_bytes(b"signed")
    given = ("--consent", "research_release", "--consent", "publication", "--consent-date", "2026-02-03")
    signed = ("--consent-document", str(form), "--consent-version", "2026-01")
    arguments = ("--age", "29", "--gender", "female", "--job", "baker", *given, *signed)
    added: dict[str, Any] = json.loads(run(subject.app, "add", *arguments, "--json"))
    assert (added["code"], added["age"], added["gender"]) == ("S001", 29, "female")
    assert added["valid_today"] == ["research_release", "publication"]
    assert {c["given_on"] for c in added["consents"]} == {"2026-02-03"}
    assert all((len(c["document_sha256"]), c["form_version"]) == (64, "2026-01") for c in added["consents"])
    assert "publication" in run(subject.app, "list")
    assert "S001 no longer consents to publication" in run(subject.app, "withdraw", "S001", "--consent", "publication")
    assert json.loads(run(subject.app, "show", "S001", "--json"))["valid_today"] == ["research_release"]
    assert json.loads(run(subject.app, "withdraw", "S001", "--json"))["withdrawn"] == ["research_release"]
    assert "withdrawn" in run(subject.app, "show", "S001")
    again = ("consent", "S001", "--consent", "publication", "--consent-date", "2026-03-01")
    with pytest.raises(ConsentError, match="withdrew this very form"):
        run(subject.app, *again, *signed)
    form.write_bytes(b"signed anew")
    run(subject.app, *again, *signed)
    assert json.loads(run(subject.app, "list", "--json"))[0]["valid_today"] == ["publication"]


@pytest.mark.usefixtures("home")
def test_bad_subjects_are_refused() -> None:
    for arguments, error, message in (
        (("add", "--consent", "research_release"), ConsentError, "date.*document.*version"),
        (("add", "--consent", "publication", "--consent-date", "2026-01-01"), ConsentError, "--consent-document FILE"),
        (("add", "--consent-date", "2026-01-01"), ConsentError, "need --consent SCOPE"),
        (("show", "S404"), NotFound, "subject list"),
        (("withdraw", "S404"), NotFound, "S404"),
    ):
        with pytest.raises(error, match=message):
            run(subject.app, *arguments)
    run(subject.app, "add", "--consent", "everything", code=2)
    run(subject.app, "add", "--gender", "unknown", code=2)
    run(subject.app, "add", "--consent", "publication", "--consent-date", "yesterday", code=2)
    assert json.loads(run(subject.app, "list", "--json")) == []


@pytest.mark.usefixtures("home")
def test_protocols_are_loaded_shown_and_never_changed(tmp_path: Path) -> None:
    path = tmp_path / "two.toml"
    text = 'name = "two"\nversion = 1\n[[expression]]\nname = "neutral"\ninstruction = "Rest."\n'
    path.write_text(text)
    assert "two version 1: 1 expressions" in run(protocol.app, "load", str(path))
    run(protocol.app, "load", str(path))
    path.write_text(text.replace("Rest.", "Relax."))
    with pytest.raises(AlreadyThere, match="raise the version"):
        run(protocol.app, "load", str(path))
    path.write_text(text.replace("Rest.", "Relax.").replace("version = 1", "version = 2"))
    run(protocol.app, "load", str(path))
    assert "Relax." in run(protocol.app, "show", "two")
    assert "Rest." in run(protocol.app, "show", "two", "--version", "1")
    shown = json.loads(run(protocol.app, "show", "--json"))
    assert [e["position"] for e in shown["expressions"]] == list(range(1, 21))
    with pytest.raises(NotFound, match="protocol list"):
        run(protocol.app, "show", "three")
