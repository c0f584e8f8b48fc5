"""`mien release` for the data manager who lets others have a release, and for those who get it."""

import email
import email.policy
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mien_tests_db_fixtures import events_about
from typer.testing import CliRunner

from db.engine import reading, transaction
from db.errors import NotFound, RecordError, StateConflict
from db.models import ConsentScope
from db.subject_data.personal_data import KEY, new_key
from db.subjects import get_subject, withdraw_consent
from processing.commands.release import app
from processing.release.formats.errors import AccessError
from processing.release.holder.verify import verify
from processing.release.studio.export.build import build_release

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PERSON = {"name": "Dr. Zoë Plantedname", "email": "zoe@planted.example"}


def run(*arguments: str | Path, code: int = 0, said: str | None = None) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], input=said)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(KEY, new_key())
    monkeypatch.delenv("MIEN_RELEASE_TOKEN", raising=False)
    (tmp_path / "desk").mkdir()
    monkeypatch.chdir(tmp_path / "desk")
    return tmp_path / "desk"


@pytest.fixture
def where(studio: Any) -> tuple[str, ...]:
    return ("--home", str(studio.records.settings.home), "--database", studio.records.settings.database)


@pytest.fixture
def codes(studio: Any) -> list[str]:
    """Subjects of version 1 of faces."""
    scopes = (ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION)
    return [studio.subject(*scopes, expressions=("neutral",)) for _ in range(2)]


@pytest.fixture
def release_1(studio: Any, codes: list[str], tmp_path: Path) -> Path:
    built = build_release(studio.records, "faces", tmp_path / "releases", workers=1)
    assert list(built.manifest.subjects) == codes
    return built.folder


@pytest.fixture
def signed(release_1: Path, here: Path) -> tuple[str, ...]:
    (here / "signed.pdf").write_bytes(b"%PDF signed by one")
    return (
        *("--licence-text", str(release_1 / "LICENCE.txt"), "--licence-version", "2026-01"),
        *("--licence-document", "signed.pdf", "--signed-on", "2026-02-01"),
    )


@pytest.fixture
def server(g: Any, studio: Any, release_1: Path) -> Iterator[Any]:
    keys = studio.records.settings.keys
    with g.serving(studio.records.engine, [release_1], keys) as running:
        yield running


def test_from_a_signed_licence_to_a_confirmed_deletion(
    studio: Any,
    where: tuple[str, ...],
    codes: list[str],
    signed: tuple[str, ...],
    server: Any,
    here: Path,
    tmp_path: Path,
) -> None:
    assert (
        run("recipient", "add", "--institution", "University of Somewhere", *where, said=json.dumps(PERSON)) == "R001\n"
    )
    given = run("grant", "faces", "--to", "R001", "--until", "2099-12-31", "--server", server.url, *signed, *where)
    token = here / "faces-G001.token"
    secret = token.read_text().split()[0]
    assert token.stat().st_mode & 0o777 == 0o600
    assert secret not in given
    assert "photographs" not in given
    got = run("fetch", f"{server.url}/faces-1", "--token-file", token)
    assert "photographs" not in got
    assert "Your grant allows mesh, texture, displacement, exr, scan, facts" in got
    assert verify(here / "faces-1", partial=True).intact
    assert not (here / "faces-1/img").exists()
    server.ledger.flush()
    table = run("holders", *where)
    assert "R001  University of Somewhere\n  G001  faces 1 and later, no photographs; until 2099-12-31\n" in table
    assert "licence 2026-01, signed 2026-02-01" in table
    assert re.search(r"holds faces 1: fetched .*, complete", table)
    assert "withdrawn" not in table
    assert run("notices", "faces", *where).startswith("No holder of faces has anything to delete")

    with transaction(studio.records.engine) as tx:
        withdraw_consent(tx, get_subject(tx, codes[0]))
    build_release(studio.records, "faces", tmp_path / "releases", workers=1)
    assert "something of it is withdrawn: TO BE TOLD" in run("holders", "faces", *where)
    run("notices", "faces", "--from", "data@studio.example", *where)
    file = here / "notices/faces-N001-R001.eml"
    assert file.stat().st_mode & 0o777 == 0o600
    message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    assert message["To"].addresses[0].addr_spec == PERSON["email"]
    assert message["To"].addresses[0].display_name == PERSON["name"]
    text = message.get_content()
    assert f"  {codes[0]}: everything" in text
    assert codes[1] not in text
    assert "Version 2 does without all of this" in text
    check = re.search(r"mien release verify faces-1 --partial --newer ADDRESS/faces-2", text)
    assert check is not None

    # What the notice says is what verify asks for: followed, it is silent.
    newer = ("verify", here / "faces-1", "--partial", "--newer", tmp_path / "releases/faces-2")
    assert codes[0] in run(*newer, code=4)
    places = [line.strip() for line in text.splitlines() if re.match(r"      \S", line)]
    assert places
    for place in places:
        path = here / "faces-1" / place
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    assert "intact" in run(*newer)

    assert "NOT SENT" in run("holders", *where)
    with pytest.raises(StateConflict, match="first: --sent N001"):
        run("notices", "faces", "--confirmed", "N001", *where)
    run("notices", "faces", "--sent", "N001", *where)
    assert run("notices", "faces", *where).startswith("No holder")
    run("notices", "faces", "--again", *where)
    run("notices", "faces", "--confirmed", "N001", *where)
    table = run("holders", *where)
    assert "N001 confirmed" in table
    assert "Not confirmed" not in table
    (report,) = json.loads(run("holders", "--json", *where))
    assert (report["holds"]["version"], report["licence"]["version"]) == (1, "2026-01")
    with reading(studio.records.engine) as tx:
        said = json.dumps([e.detail for kind, of in [("recipient", "R001"), ("grant", "G001"), ("notice", "N001")]
                           for e in events_about(tx, kind, of)])  # fmt: skip
    assert not any(text in said for text in (*PERSON.values(), "Somewhere", secret))


def test_more_that_is_withdrawn_is_a_notice_more(
    studio: Any, where: tuple[str, ...], codes: list[str], signed: tuple[str, ...]
) -> None:
    run("recipient", "add", "--institution", "One", "--no-contact", *where)
    run("grant", "faces", "--to", "R001", "--until", "2099-12-31", *signed, *where)
    run("handed", "G001", "--version", "1", *where)
    assert "handed over" in run("holders", *where)
    engine = studio.records.engine
    with transaction(engine) as tx:
        withdraw_consent(tx, get_subject(tx, codes[0]), [ConsentScope.PUBLICATION])
    # Its grant has no photographs: there is nothing that it would have to delete.
    assert run("notices", "faces", *where).startswith("No holder")
    with transaction(engine) as tx:
        withdraw_consent(tx, get_subject(tx, codes[0]))
    assert "NO ADDRESS" in run("notices", "faces", *where)
    run("notices", "faces", "--sent", "N001", *where)
    with transaction(engine) as tx:
        withdraw_consent(tx, get_subject(tx, codes[1]))
    assert "N002" in run("notices", "faces", *where)


def test_links_on_the_command_line(where: tuple[str, ...], signed: tuple[str, ...], server: Any, here: Path) -> None:
    run("recipient", "add", "--institution", "One", "--no-contact", *where)
    run("grant", "faces", "--to", "R001", "--until", "2099-12-31", "--photographs", *signed, *where)
    said = run("links", "G001", f"{server.url}/faces-1", "--days", "1", *where)
    file = here / "faces-G001.links"
    link = file.read_text().strip()
    assert link not in said
    assert file.stat().st_mode & 0o777 == 0o600
    run("fetch", file, "--out", "mine")
    assert verify(here / "mine").intact
    assert json.loads(run("show", link, "--json"))["name"] == "faces"
    run("revoke", "G001", *where)
    with pytest.raises(AccessError, match="revoked") as caught:
        run("fetch", file, "--out", "mine")
    assert link not in str(caught.value)
    with pytest.raises(AccessError, match="knows no such token or link"):
        run("fetch", link[:-9] + ("B" if link[-9] == "A" else "A") + link[-8:], "--out", "other")
    token = here / "faces-G001.token"
    with pytest.raises(AccessError, match="--token-file") as caught:
        run("fetch", token)
    assert token.read_text().strip() not in str(caught.value)
    for wrong in ("https://host/other-1", "https://host/faces-1?x=1", "https://host/faces", "https://host/"):
        with pytest.raises(AccessError):
            run("links", "G001", wrong, "--to", "never", *where)


@pytest.mark.usefixtures("signed")
def test_a_grant_that_cannot_be_given_leaves_nothing(where: tuple[str, ...], here: Path) -> None:
    run("recipient", "add", "--institution", "One", "--no-contact", *where)
    later = ("--until", "2099-01-01")
    for more, error, said in [
        (("--until", "2020-01-01"), RecordError, "is over"),
        ((*later, "--kind", "everything"), AccessError, "no kind"),
        ((*later, "--version", "9"), NotFound, "No complete release"),
        ((*later, "--licence-version", "1"), AccessError, "is not given"),
        ((*later, "--token-to", "signed.pdf"), AccessError, "name another"),
        ((*later, "--to", "R007"), NotFound, "No recipient"),
        ((*later, "--to", "Zoë Plantedname"), NotFound, "no code"),
    ]:
        with pytest.raises(error, match=said):
            run("grant", "faces", "--to", "R001", *more, *where)
    assert json.loads(run("holders", "--json", *where)) == []
    assert not list(here.glob("*.token"))


def test_a_token_is_shown_when_asked_alone_and_waits_for_the_licence(
    where: tuple[str, ...], signed: tuple[str, ...], server: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("recipient", "add", "--institution", "One", "--no-contact", *where)
    grant = ("grant", "faces", "--to", "R001", "--until", "2099-12-31", "--json")
    report = json.loads(run(*grant, "--show-token", *where))
    assert not list(here.glob("*.token"))
    assert not report["licence_accepted"]
    assert "waits for the licence" in run("holders", *where)
    monkeypatch.setenv("MIEN_RELEASE_TOKEN", report["token"])
    with pytest.raises(AccessError, match="waits for the licence"):
        run("fetch", f"{server.url}/faces-1", "--out", "mine")
    run("licence", "faces", "--from", "R001", *signed, *where)
    run("fetch", f"{server.url}/faces-1", "--out", "mine")
    with pytest.raises(AccessError, match="say what was signed"):
        run("licence", "faces", "--from", "R001", *where)
    assert "token" not in json.loads(run(*grant, *where))


def test_contacts_on_the_command_line(where: tuple[str, ...]) -> None:
    run("recipient", "add", "--institution", "One", *where, said=json.dumps(PERSON))
    for said in ("no json", "[]", '{"name": 1}'):
        with pytest.raises(AccessError, match="no JSON object"):
            run("recipient", "contact", "R001", *where, said=said)
    run("recipient", "contact", "R001", *where, said=json.dumps({"email": "new@planted.example"}))
    table = run("recipient", "list", *where)
    assert "kept" in table
    assert "planted" not in table
    run("recipient", "forget", "R001", "--institution", *where)
    assert json.loads(run("recipient", "list", "--json", *where))[0]["institution"] is None
