"""What a person may ask for: to see everything, to have it put right, to know until when, to have it on paper."""

import io
import json
import os
import re
import zipfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mien_tests_db_fixtures import events_about
from sqlalchemy import Engine, select
from typer.testing import CliRunner

from db import captures
from db.commands import study as study_command
from db.commands import subject as subject_command
from db.consents.study_settings import StudySettings, Term
from db.engine import reading, transaction, utc_now
from db.erasure.erasures import erase_subject
from db.errors import AlreadyThere, ConsentError, RecordError, SettingsError
from db.models import AuditEvent, Base, ConsentScope, SubjectChange, TakeReview
from db.release_records.releases import ReleasedTake, begin_release, complete_release
from db.settings import Settings
from db.store import Store
from db.subject_data.consent_receipts import as_html, as_record, as_text, receipt_of
from db.subject_data.personal_data import KEY, keep_personal, new_key
from db.subject_data.rectification import changes_of, edit_subject
from db.subject_data.retention import retention, set_term
from db.subject_data.subject_archive import export_subject
from db.subject_data.subject_rows import NOT_OF_A_PERSON, subject_records
from db.subjects import add_subject, get_subject, give_consent, withdraw_consent

RELEASE, PUBLICATION = ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION
WRITTEN = """
[records]
controller = "University of Example <Faces>"
contact = "privacy@example.org"
notice = "https://example.org/privacy"
purpose = "research on faces"
[records.retention]
research_release = "10 years"
publication = "18 months"
"""


def studio_settings(home: Path, written: str = WRITTEN) -> StudySettings:
    home.mkdir(exist_ok=True)
    (home / "studio.toml").write_text(written)
    return StudySettings.of(Settings.load(home))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "home" / "store")


@pytest.fixture
def told(tmp_path: Path) -> StudySettings:
    return studio_settings(tmp_path / "home")


@pytest.fixture
def person(engine: Engine, store: Store, studio_rows: Any) -> Engine:
    """S001, photographed with two others in the records, released once."""
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        for number in range(2):
            subject = add_subject(tx, age=34, job="Plantedjob")
            form = studio_rows.sha(f"form {number}")
            for scope in (RELEASE, PUBLICATION):
                give_consent(tx, subject, scope, date(2026, 1, 2), document_sha256=form, form_version="2026-01")
            session = studio_rows.session(tx, subject, rig)
            data = [f"{number} {camera.name}".encode() for camera in rig.cameras]
            take = studio_rows.accepted(tx, session, rig, 1, [(store.put_bytes(d), len(d)) for d in data])
            sheet = store.put_bytes(b"\xff\xd8\xff sheet %d" % number)
            tx.add(TakeReview(take_id=take.id, reviewed_at=utc_now(), seconds=1.0, sheet=sheet, scores={}))
            captures.close_session(tx, session, incomplete=True)
            release = begin_release(tx, "faces", schema_version=2, consent_day=date(2026, 6, 1), criteria={})
            complete_release(tx, release, studio_rows.sha("manifest"), [ReleasedTake(subject.id, take.id, True, True)])
    return engine


# --- put right ---


def test_what_it_said_before_is_kept_until_it_is_erased(person: Engine, store: Store) -> None:
    with transaction(person) as tx:
        assert edit_subject(tx, get_subject(tx, "S001"), {"age": 35, "job": "cook"}) == ("age", "job")
    with transaction(person) as tx:
        assert edit_subject(tx, get_subject(tx, "S001"), {"age": 36}, cleared=["job"]) == ("age", "job")
    with reading(person) as tx:
        subject = get_subject(tx, "S001")
        said = [(c.field, c.before, c.after) for c in changes_of(tx, subject)]
        log = [(e.action, e.detail) for e in events_about(tx, "subject", "S001") if e.action == "subject.edit"]
    assert said == [("age", "34", "35"), ("job", "Plantedjob", "cook"), ("age", "35", "36"), ("job", "cook", None)]
    assert [detail["fields"] for _, detail in log] == [["age", "job"], ["age", "job"]]
    with transaction(person) as tx:
        withdraw_consent(tx, get_subject(tx, "S001"))
        set_term(tx, get_subject(tx, "S001"), date(2030, 1, 1), "Plantedreason")
    erase_subject(person, store, "S001")
    with reading(person) as tx:
        assert tx.scalars(select(SubjectChange)).all() == []
        every = [str(row) for table in Base.metadata.sorted_tables for row in tx.execute(select(table))]
    assert not [row for row in every if "cook" in row or "Plantedreason" in row]
    with pytest.raises(ConsentError, match="erased"), transaction(person) as tx:
        edit_subject(tx, get_subject(tx, "S001"), {"age": 1})


def test_nothing_of_it_is_in_the_log(person: Engine) -> None:
    with transaction(person) as tx:
        edit_subject(tx, get_subject(tx, "S001"), {"job": "Plantedcook"})
    with reading(person) as tx:
        assert "Planted" not in "".join(str(e.detail) for e in tx.scalars(select(AuditEvent)))


def test_what_cannot_be_put_right_is_said(person: Engine) -> None:
    wrong: list[tuple[dict[str, object], list[str], str]] = [
        ({"age": 34}, [], "says that already"),
        ({"age": 121}, [], "outside"),
        ({"job": "x" * 101}, [], "101 letters"),
        ({"code": "S9"}, [], "age, gender, job"),
        ({"age": 3}, ["age"], "each to a value or to nothing"),
        ({}, ["name"], "age, gender, job"),
        ({"gender": "none"}, [], "gender is one of"),
    ]
    for said, cleared, problem in wrong:
        with pytest.raises(RecordError, match=problem), transaction(person) as tx:
            edit_subject(tx, get_subject(tx, "S001"), said, cleared=cleared)


def test_an_age_that_makes_a_child_of_somebody_who_signed_is_told(person: Engine) -> None:
    heard: list[str] = []
    with transaction(person) as tx:
        edit_subject(tx, get_subject(tx, "S001"), {"age": 15}, told=heard.append)
    assert [text.split("signed for ")[1].split()[0] for text in heard] == ["research_release", "publication"]


# --- everything of one person ---


def test_every_table_with_something_of_a_person_is_handed_out(person: Engine) -> None:
    """A table that refers to a person, whoever added it, is in the archive or said not to be of a person."""
    of_a_person = {"subject"}
    while True:
        more = {
            table.name
            for table in Base.metadata.sorted_tables
            if any(key.column.table.name in of_a_person for key in table.foreign_keys)
        } - of_a_person
        if not more:
            break
        of_a_person |= more
    with reading(person) as tx:
        tables = subject_records(tx, get_subject(tx, "S001")).tables
    assert of_a_person - NOT_OF_A_PERSON <= set(tables)


def test_the_archive_has_all_of_one_person_and_nothing_of_another(
    person: Engine, store: Store, told: StudySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, new_key())
    with transaction(person) as tx:
        keep_personal(tx, get_subject(tx, "S001"), {"name": "Zoë"})
    target = tmp_path / "S001.zip"
    report = export_subject(person, store, told, "S001", target)
    assert (report.files, report.missing, report.personal) == (4, (), "in personal.json")
    assert target.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        rows = json.loads(archive.read("records.json"))
        photographs = {archive.read(name) for name in names if name.startswith("photographs/")}
        assert json.loads(archive.read("personal.json")) == {"name": "Zoë"}
        everything = b"".join(archive.read(name) for name in names)
    assert photographs == {f"0 cam-0{view}".encode() for view in range(3)}
    assert "contact-sheets/S001-1-E01-1.jpg" in names
    assert b"S002" not in everything
    assert [r["name"] for r in rows["release"]] == ["faces"]
    assert {e["action"] for e in rows["audit_event"]} >= {"subject.add", "consent.give"}
    assert "actor" not in rows["audit_event"][0]
    with reading(person) as tx:
        last = events_about(tx, "subject", "S001")[-1]
    assert (last.action, last.detail["files"], last.detail["personal"]) == ("subject.export", 4, True)


def test_what_the_store_lacks_is_named_and_the_rest_is_there(
    person: Engine, store: Store, told: StudySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY, raising=False)
    with reading(person) as tx:
        files = subject_records(tx, get_subject(tx, "S001")).files
    store.local_path(files[0].sha256).unlink()
    rotten = store.local_path(files[1].sha256)
    rotten.chmod(0o600)
    rotten.write_bytes(b"rotten")
    report = export_subject(person, store, told, "S001", tmp_path / "S001.zip")
    assert [(name, why.split()[0]) for name, why in report.missing] == [
        (files[0].name, "not"), (files[1].name, "damaged"),
    ]  # fmt: skip
    with zipfile.ZipFile(tmp_path / "S001.zip") as archive:
        said = archive.read("README.txt").decode()
    assert files[0].name in said
    with pytest.raises(AlreadyThere):
        export_subject(person, store, told, "S001", tmp_path / "S001.zip")


def test_an_archive_that_fails_leaves_nothing(
    person: Engine, store: Store, told: StudySettings, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    left = tmp_path / "out" / ".S001.zip.dead.part"  # of a process that was killed
    left.write_bytes(b"a face")

    def dies(done: int, _all: int) -> None:
        if done == 2:
            raise OSError(28, os.strerror(28))

    with pytest.raises(OSError, match="No space"):
        export_subject(person, store, told, "S001", tmp_path / "out" / "S001.zip", told=dies)
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(RecordError, match="cannot be written"):
        export_subject(person, store, told, "S001", tmp_path / "absent" / "S001.zip")


def test_files_pass_through_a_block_at_a_time(
    person: Engine, store: Store, told: StudySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks: list[int] = []
    opened = Store.open

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            blocks.append(-1 if size is None else size)
            return super().read(size)

    monkeypatch.setattr(Store, "open", lambda self, sha: Watched(opened(self, sha).read()))
    export_subject(person, store, told, "S001", tmp_path / "S001.zip")
    assert blocks
    assert all(0 < size <= 1 << 20 for size in blocks)


# --- on paper ---


def test_a_receipt_says_what_it_should_in_words_and_in_fields(person: Engine, told: StudySettings) -> None:
    with transaction(person) as tx:
        withdraw_consent(tx, get_subject(tx, "S001"), [PUBLICATION])
    with reading(person) as tx:
        receipt = receipt_of(tx, get_subject(tx, "S001"), told)
    assert receipt.lacking == []
    text = as_text(receipt)
    for said in (
        "University of Example <Faces>", "privacy@example.org", "https://example.org/privacy", "research on faces",
        "2026-01-02", "kept until 2036-01-02", "version 2026-01", "and withdrew it on",
        "faces 1: what you withdrew is marked there",
        "To withdraw: say so to privacy@example.org with your code S001",
    ):  # fmt: skip
        assert said in text
    page = as_html(receipt)
    assert "University of Example &lt;Faces&gt;" in page
    assert re.findall(r"<script|src=|href=", page) == []
    record = as_record(receipt)
    assert record["record"]["schema_version"] == "ISO/IEC TS 27560:2023"
    assert record["record"]["pii_principal_id"] == "S001"
    assert [p["purpose_type"] for p in record["pii_processing"]["purposes"]] == ["research_release", "publication"]
    first = record["pii_processing"]["purposes"][0]
    for key in (
        "purpose", "lawful_basis", "pii_information", "pii_controllers", "collection_method", "processing_method",
        "retention_period", "recipient_third_parties", "withdrawal_method", "privacy_rights",
    ):  # fmt: skip
        assert first[key]
    assert record["party_identification"][0]["party_name"] == "University of Example <Faces>"
    assert [e["event_state"] for e in record["events"]] == ["consent given", "consent given", "consent withdrawn"]
    json.dumps(record)


def test_what_the_study_has_not_said_is_named(person: Engine, tmp_path: Path) -> None:
    with reading(person) as tx:
        receipt = receipt_of(tx, get_subject(tx, "S001"), studio_settings(tmp_path / "bare", ""))
    assert receipt.lacking == [
        "controller", "contact", "notice", "purpose", "retention.research_release", "retention.publication",
    ]  # fmt: skip
    assert as_text(receipt).count("not said by the study") == 6
    assert "party_name" not in as_record(receipt)["party_identification"][0]


# --- until when ---


@settings(max_examples=200, deadline=None)
@given(
    day=st.dates(date(1990, 1, 1), date(2100, 1, 1)),
    count=st.integers(1, 500),
    unit=st.sampled_from(["day", "month", "year"]),
)
def test_a_term_ends_later_and_on_the_same_day_of_the_month(day: date, count: int, unit: str) -> None:
    end = Term(count, unit).after(day)
    assert end > day
    if unit == "day":
        assert end - day == timedelta(days=count)
    else:
        months = count * (12 if unit == "year" else 1)
        assert (end.year - day.year) * 12 + end.month - day.month == months
        assert end.day == day.day or (end + timedelta(days=1)).day == 1
    assert Term.of(str(Term(count, unit)), "here") == Term(count, unit)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('[records]\ncontroler = "x"', "did you mean 'controller'"),
        ("[records]\ncontact = 3", "contact is a text"),
        ('[records]\ncontact = "\\u001b[2J"', "no page shows"),
        ('[records]\nearliest_consent = "2019-01-01"', "is a day"),
        ("[records]\nearliest_consent = 2019-01-01T00:00:00", "is a day"),
        ("[records]\nage_of_consent = true", "is years"),
        ("[records]\nage_of_consent = -1", "is years"),
        ('[records.retention]\nresearch_release = "for ever"', "10 years"),
        ('[records.retention]\nresearch_release = "0 years"', "10 years"),
        ('[records.retention]\neyes_mosaicked = "1 year"', "unknown key"),
        ("[records]\nretention = 3", "is a table"),
    ],
)
def test_what_a_study_cannot_mean_is_refused(tmp_path: Path, written: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        studio_settings(tmp_path / "home", written)


def test_what_is_due_is_listed_and_nothing_goes_by_itself(person: Engine, told: StudySettings) -> None:
    with transaction(person) as tx:
        set_term(tx, get_subject(tx, "S001"), date(2027, 1, 1), "asked for", (PUBLICATION,))
        withdraw_consent(tx, get_subject(tx, "S002"))

    def standing(day: date) -> list[tuple[str, str | None, str]]:
        with reading(person) as tx:
            return [(d.code, d.scope, d.standing) for d in retention(tx, told, day=day)]

    today = utc_now().date()
    assert ("S001", "publication", "kept") in standing(date(2026, 9, 1))
    assert ("S001", "publication", "due") in standing(date(2027, 1, 1))
    assert ("S001", "publication", "overdue") in standing(date(2027, 1, 2))
    assert ("S001", "research_release", "overdue") in standing(date(2036, 1, 3))
    assert ("S002", None, "due") in standing(today)
    assert ("S002", None, "overdue") in standing(today + timedelta(days=40))
    with reading(person) as tx:
        assert all(c.withdrawn_at is None for c in get_subject(tx, "S001").consents)
    with pytest.raises(RecordError, match="reason"), transaction(person) as tx:
        set_term(tx, get_subject(tx, "S001"), date(2027, 1, 1), " ")


# --- as commands ---


def run(app: Any, engine: Engine, home: Path, *arguments: str, code: int = 0) -> str:
    where = ("--home", str(home), "--database", engine.url.render_as_string(hide_password=False))
    result = CliRunner().invoke(app, [*arguments, *where])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_commands_of_a_persons_request(person: Engine, told: StudySettings, tmp_path: Path) -> None:
    home, subject = tmp_path / "home", subject_command.app
    assert told.contact
    assert "age, job put right" in run(subject, person, home, "edit", "S001", "--age", "33", "--clear", "job")
    assert "Plantedjob" in run(subject, person, home, "history", "S001")
    assert "kept until 2027-07-02" in run(subject, person, home, "receipt", "S001")
    for name in ("r.html", "r.txt", "r.json", "r.jsonld"):
        run(subject, person, home, "receipt", "S001", "--to", str(tmp_path / name))
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    run(subject, person, home, "receipt", "S001", "--to", str(tmp_path / "r.pdf"), code=2)
    with pytest.raises(AlreadyThere):
        run(subject, person, home, "receipt", "S001", "--to", str(tmp_path / "r.txt"))
    assert "4 files" in run(subject, person, home, "export", "S001", "--to", str(tmp_path / "S001.zip"))
    until = ("--until", "2020-01-01", "--reason", "asked for")
    assert "publication" in run(subject, person, home, "retention", "S001", "--consent", "publication", *until)
    run(subject, person, home, "retention", "S001", "--consent", "eyes_mosaicked", *until, code=2)
    assert "overdue" in run(study_command.app, person, home, "retention", code=4)
    done = run(subject, person, home, "withdraw", "S001", "--take", "S001-1-E01-1")
    assert "leaves in no later release" in done
    assert "faces 1" in done
    assert "was withdrawn before" in run(subject, person, home, "withdraw", "S001", "--take", "S001-1-E01-1")
    with pytest.raises(ConsentError, match="leave --consent out"):
        run(subject, person, home, "withdraw", "S001", "--take", "S001-1-E01-1", "--consent", "publication")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_child_is_recorded_with_its_guardian(engine: Engine, tmp_path: Path) -> None:
    home, form = tmp_path / "home", tmp_path / "form.pdf"
    studio_settings(home, "[records]\nage_of_consent = 16\n")
    form.write_bytes(b"signed")
    signed = ("--consent", "research_release", "--consent-date", "2026-11-01", "--consent-document", str(form))
    child = ("add", "--age", "15", *signed, "--consent-version", "1")
    with pytest.raises(ConsentError, match="signs alone from 16"):
        run(subject_command.app, engine, home, *child)
    run(subject_command.app, engine, home, *child, "--guardian")
    assert "signed by a guardian" in run(subject_command.app, engine, home, "show", "S001")
    other = ("add", "--age", "40", *signed, "--consent-version", "1")
    with pytest.raises(ConsentError, match="S001's"):
        run(subject_command.app, engine, home, *other)
    run(subject_command.app, engine, home, *other, "--shared-form", "a family's form")
