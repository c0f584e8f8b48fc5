"""`mien release` as a person and as a program meets it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from db.engine import transaction
from db.errors import NotFound
from db.models import ConsentScope
from db.subjects import get_subject, withdraw_consent
from processing.commands.release import app
from processing.release.formats.errors import ReleaseError

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


def test_select_review_build(studio: Any, where: tuple[str, ...], tmp_path: Path) -> None:
    first, second = studio.subject(ConsentScope.RESEARCH_RELEASE), studio.subject(ConsentScope.RESEARCH_RELEASE)
    file = tmp_path / "faces.toml"
    text = run("select", "faces", "--hold-back", "1", "--out", file, *where)
    assert "put your name and the day under [review]" in text
    signed = file.read_text().replace('by = ""', 'by = "A. Reviewer"\non = 2026-11-21')
    file.write_text(signed)
    licence = tmp_path / "licence.txt"
    licence.write_text("You may.\nYou may not.\n")
    options = ("--selection", file, "--licence", "https://host/licence", "--licence-file", licence)
    built = json.loads(run("build", "faces", "--out", tmp_path, *options, *where, "--json"))
    assert len(built["subjects"]) == 1
    assert set(built["subjects"]) < {first, second}
    assert (tmp_path / "faces-1/LICENCE.txt").read_text() == "You may.\nYou may not.\n"
    assert json.loads((tmp_path / "faces-1/croissant.json").read_text())["license"] == "https://host/licence"
    again = tmp_path / "again.toml"
    report = json.loads(run("select", "faces", "--rules", file, "--out", again, *where, "--json"))
    assert report["subjects"] == {"publish": 1, "hold_back": 1}
    assert 'by = "A. Reviewer"' not in again.read_text()  # what is proposed anew is reviewed anew


def test_holders_are_told_of_withdrawals(studio: Any, where: tuple[str, ...], tmp_path: Path) -> None:
    leaves, _ = studio.subject(ConsentScope.RESEARCH_RELEASE), studio.subject(ConsentScope.RESEARCH_RELEASE)
    run("build", "faces", "--out", tmp_path / "studio", *where)
    mine = tmp_path / "mine" / "faces-1"
    shutil.copytree(tmp_path / "studio" / "faces-1", mine)
    with transaction(studio.records.engine) as tx:
        withdraw_consent(tx, get_subject(tx, leaves))
    told = f"subject {leaves} has withdrawn everything"
    assert told in " ".join(run("verify", tmp_path / "studio/faces-1", *where, code=4).split())
    run("build", "faces", "--out", tmp_path / "studio", *where)
    report = json.loads(run("verify", mine, "--newer", tmp_path / "studio/faces-2", "--json", code=4))
    assert [(p["fault"], p["path"]) for p in report["problems"]] == [("withdrawn", "1")]
    with pytest.raises(ReleaseError, match="no newer faces than 2"):
        run("verify", tmp_path / "studio/faces-2", "--newer", mine, *where)
    assert "S001" in run("show", tmp_path / "studio/faces-2")
    changes = json.loads(run("diff", mine, tmp_path / "studio/faces-2", "--json"))
    assert changes["withdrawn"] == changes["subjects_removed"] == [leaves]


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
