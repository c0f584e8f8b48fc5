"""`mien release` as a person and as a program meets it."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from db.engine import transaction
from db.errors import NotFound
from db.models import ConsentScope
from db.subjects import get_subject, withdraw_consent
from processing.release.commands import app

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def run(*arguments: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture
def where(studio: Any) -> tuple[str, ...]:
    return ("--home", str(studio.records.settings.home), "--database", studio.records.settings.database)


def test_build_verify_show_diff(studio: Any, where: tuple[str, ...], tmp_path: Path) -> None:
    first, second = studio.subject(ConsentScope.RESEARCH_RELEASE), studio.subject(ConsentScope.RESEARCH_RELEASE)
    built = json.loads(run("build", "faces", "--out", tmp_path, *where, "--json"))
    assert (built["version"], built["subjects"], built["skipped"]) == (1, [first, second], [])
    folder = Path(built["folder"])
    report = json.loads(run("verify", folder, *where, "--json"))
    assert report["intact"]
    assert report["manifest_checked_against"] == "the studio's records"
    assert report["bytes"] == built["bytes"]
    assert "intact" in run("verify", folder, "--manifest-sha256", built["manifest_sha256"])
    with transaction(studio.records.engine) as tx:
        withdraw_consent(tx, get_subject(tx, first))
    text = run("build", "faces", "--out", tmp_path, *where)
    assert "1 subjects" in text
    assert "no research-release consent" in text.replace("\n", " ")
    changes = json.loads(run("diff", folder, tmp_path / "faces-2", "--json"))
    assert changes["subjects_removed"] == [first]
    assert [r["state"] for r in json.loads(run("show", *where, "--json"))] == ["complete", "complete"]
    assert json.loads(run("show", folder, "--json"))["subjects"] == [first, second]
    for command in (("show", folder), ("show", *where), ("diff", folder, tmp_path / "faces-2")):
        assert "faces" in run(*command)


def test_verify_ends_with_4_and_names_the_file(studio: Any, where: tuple[str, ...], tmp_path: Path) -> None:
    studio.subject(ConsentScope.RESEARCH_RELEASE)
    run("build", "faces", "--out", tmp_path, *where)
    (tmp_path / "faces-1" / "info_list.txt").write_text("1 m 99 10000\n")
    assert "info_list.txt" in run("verify", tmp_path / "faces-1", *where, code=4)
    report = json.loads(run("verify", tmp_path / "faces-1", *where, "--json", code=4))
    assert [(p["fault"], p["path"]) for p in report["problems"]] == [("changed", "info_list.txt")]
    assert not json.loads(run("verify", tmp_path / "nothing", "--json", code=4))["intact"]


def test_a_release_the_named_studio_does_not_know(studio: Any, where: tuple[str, ...], tmp_path: Path) -> None:
    studio.subject(ConsentScope.RESEARCH_RELEASE)
    run("build", "faces", "--out", tmp_path, *where)
    manifest = tmp_path / "faces-1" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"faces"', '"other"'))
    with pytest.raises(NotFound, match="other version 1"):
        run("verify", tmp_path / "faces-1", *where)
