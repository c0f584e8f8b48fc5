"""`mien studio account`, as the home's owner types it, beside a studio or without one."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from controller.accounts.accounts_desk import AccountsDesk
from controller.commands.studio import app
from db.engine import open_database
from db.errors import RecordError
from db.migrations import upgrade


@pytest.fixture
def home(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    engine = open_database(f"sqlite:///{tmp_path / 'studio.sqlite'}")
    upgrade(engine)
    engine.dispose()
    (tmp_path / "studio.toml").write_text("[studio]\nconsole_port = 5999\n")
    return tmp_path


def said(home: Path, *words: str) -> str:
    result = CliRunner().invoke(app, ["account", *words, "--home", str(home)])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def desk(home: Path) -> AccountsDesk:
    return AccountsDesk(open_database(f"sqlite:///{home / 'studio.sqlite'}"))


def test_people_are_let_in_and_out(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert "Nobody has an account" in said(home, "list")
    first = said(home, "link").strip()
    assert first.startswith("http://localhost:5999/link#")
    link = said(home, "add", "Anna", "--role", "manager").strip()
    opened = desk(home).sign_in.by_link(link.partition("#")[2], "", "rope tango seven lamp", "127.0.0.1")
    assert (opened.person, opened.role.value) == ("anna", "manager")
    said(home, "add", "bert")
    assert said(home, "role", "bert", "viewer") == "bert is viewer now.\n"
    assert "may come in no more" in said(home, "disable", "bert")
    table = said(home, "list")
    assert [word in table for word in ("anna", "password", "bert", "disabled", "nothing yet")] == [True] * 5
    assert "may come in again" in said(home, "disable", "bert", "--undo")
    assert said(home, "link", "bert").startswith("http://localhost:5999/link#")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("add", "no/name"), "no account's name"),
        (("add", "bert", "--role", "screen"), "viewer, operator or manager"),
        (("role", "nobody", "viewer"), "no account 'nobody'"),
        (("role", "anna", "viewer"), "only manager"),
        (("disable", "anna"), "only manager"),
        (("add", "ANNA"), "account anna already"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(home: Path, words: tuple[str, ...], why: str) -> None:
    said(home, "add", "anna", "--role", "manager")
    with pytest.raises(RecordError, match=why):
        said(home, *words)


def test_a_manager_makes_no_first_link(home: Path) -> None:
    said(home, "add", "anna", "--role", "manager")
    with pytest.raises(Exception, match="Say whom the link is for") as refusal:
        said(home, "link")
    assert getattr(refusal.value, "exit_code", None) == 2


def test_the_certificate_is_told(home: Path, rig_of: Any) -> None:
    from controller.errors import ConfigurationError
    from controller.rig_file import format_rig

    (home / "rig.toml").write_text(format_rig(rig_of(1)))
    none = CliRunner().invoke(app, ["certificate", "--home", str(home)])
    assert isinstance(none.exception, ConfigurationError)
    (home / "studio.toml").write_text('[studio]\nconsole_address = "10.9.8.7"\nconsole_names = ["Studio.lan"]\n')
    told = CliRunner().invoke(app, ["certificate", "--home", str(home)]).stdout
    assert "10.9.8.7, " in told
    assert "studio.lan" in told
    assert "made just now" in told
    again = CliRunner().invoke(app, ["certificate", "--home", str(home)]).stdout
    assert again.splitlines()[1] == told.splitlines()[1]
    assert "made just now" not in again
    renewed = CliRunner().invoke(app, ["certificate", "--renew", "--home", str(home)]).stdout
    assert renewed.splitlines()[1] != told.splitlines()[1]
