"""A consent is one that can have been signed: by somebody who may, on a day that was, on a form that says something."""

import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from db.consents.consent_rules import ConsentRules, hash_form, latest_day, words, words_shown
from db.engine import open_database, reading, transaction, utc_now
from db.errors import ConsentError, RecordError
from db.models import Consent, ConsentScope, Subject
from db.subjects import add_subject, get_subject, give_consent, withdraw_consent

RELEASE, PUBLICATION = ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def tx(sqlite_template: Path, tmp_path: Path) -> Iterator[Session]:
    """A transaction that is never committed, for many examples."""
    path = tmp_path / "studio.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    engine = open_database(f"sqlite:///{path}")
    with Session(engine, expire_on_commit=False) as session:
        yield session
    engine.dispose()


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def consent(tx: Session, subject: Subject, day: Any, **given: Any) -> list[str]:
    """Give a consent to a subject as it was; what was told."""
    told: list[str] = []
    with tx.begin_nested() as savepoint:
        try:
            from db.consents.consent_rules import RULES, SignedForm, check_consent

            rules = given.pop("rules", RULES)
            check_consent(tx, subject, RELEASE, day, SignedForm(**given), rules, told.append)
        finally:
            savepoint.rollback()
    return told


@quick
@given(day=st.dates())
@example(day=date(1890, 3, 1))
@example(day=date(2099, 3, 1))
@example(day=date(1990, 1, 1))
@example(day=date(1989, 12, 31))
@example(day=latest_day())
@example(day=latest_day() + timedelta(days=1))
def test_a_day_is_one_on_which_the_form_can_have_been_signed(tx: Session, day: date) -> None:
    subject = add_subject(tx)
    if date(1990, 1, 1) <= day <= latest_day():
        consent(tx, subject, day)
    else:
        with pytest.raises(ConsentError, match="future" if day.year > 2000 else "which year"):
            consent(tx, subject, day)


def test_a_study_says_when_it_began_and_a_time_is_a_day(tx: Session) -> None:
    subject = add_subject(tx)
    with pytest.raises(ConsentError, match="2020-05-01"):
        consent(tx, subject, date(2020, 4, 30), rules=ConsentRules(earliest=date(2020, 5, 1)))
    consent(tx, subject, datetime(2024, 3, 1, 12, tzinfo=UTC))
    for no_day in (None, "2026-01-01", 20260101):
        with pytest.raises(ConsentError, match="lacks the day"):
            consent(tx, subject, no_day)


@quick
@given(content=st.binary(max_size=200))
@example(content=b"")
@example(content=b" \r\n\t\0")
def test_a_form_that_says_nothing_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "form.pdf"
    path.write_bytes(content)
    if content.strip(b" \t\r\n\f\v\0"):
        assert hash_form(path) == hashlib.sha256(content).hexdigest()
    else:
        with pytest.raises(ConsentError, match="is empty"):
            hash_form(path)


def test_what_is_no_file_is_no_form_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link to folder").symlink_to(tmp_path)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        names = (
            "pipe",
            "link to folder",
            "dangling",
            "loop",
            "socket",
            "",
            "absent",
            "a" * 300,
            "zero\0byte",
            "esc\x1b[2J",
        )
        for path in (*(tmp_path / name for name in names), Path("/dev/null"), Path("/dev/zero"), Path("/")):
            with pytest.raises(ConsentError, match="signed form") as caught:
                hash_form(path)
            assert "\x1b" not in str(caught.value)


def test_a_form_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    path = tmp_path / "form.pdf"
    path.write_bytes(b"signed")
    path.chmod(0)
    with pytest.raises(ConsentError, match="Permission denied"):
        hash_form(path)


def test_one_form_is_one_persons(engine: Engine) -> None:
    form = sha("form")
    with transaction(engine) as tx:
        first, second = add_subject(tx, age=40), add_subject(tx, age=41)
        for scope in (RELEASE, PUBLICATION):  # one form, several scopes: the usual case
            give_consent(tx, first, scope, date(2026, 1, 2), document_sha256=form, form_version="1")
        with pytest.raises(ConsentError, match=r"form is S001's.*--shared-form"):
            give_consent(tx, second, RELEASE, date(2026, 1, 2), document_sha256=form, form_version="1")
        with pytest.raises(ConsentError, match="version '1', not '2'"):
            give_consent(
                tx, second, RELEASE, date(2026, 1, 2), document_sha256=form, form_version="2", shared_form="twins"
            )
        given = give_consent(
            tx, second, RELEASE, date(2026, 1, 2), document_sha256=form, form_version="1", shared_form="twins"
        )
        assert given.shared_reason == "twins"
        withdraw_consent(tx, first)
        with pytest.raises(ConsentError, match="withdrew this very form"):
            give_consent(tx, first, RELEASE, date(2026, 1, 3), document_sha256=form, form_version="1")


def test_two_at_once_with_one_form_are_not_both_taken(engine: Engine) -> None:
    with transaction(engine) as tx:
        codes = [add_subject(tx, age=40).code for _ in range(4)]
    start, refused = threading.Barrier(len(codes)), []

    def give(code: str) -> None:
        start.wait()
        try:
            with transaction(engine) as tx:
                give_consent(tx, get_subject(tx, code), RELEASE, date(2026, 1, 2), document_sha256=sha("one"))
        except ConsentError as error:
            refused.append(error)

    threads = [threading.Thread(target=give, args=(code,)) for code in codes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as tx:
        assert len(tx.scalars(select(Consent)).all()) == 1
    assert len(refused) == len(codes) - 1


@quick
@given(age=st.integers(0, 120), days=st.integers(0, 12_000), guardian=st.booleans(), grown=st.integers(1, 25))
@example(age=17, days=0, guardian=False, grown=18)
@example(age=18, days=0, guardian=False, grown=18)
@example(age=5, days=3000, guardian=True, grown=18)
def test_a_child_does_not_sign_alone(tx: Session, age: int, days: int, guardian: bool, grown: int) -> None:
    today = utc_now().date()
    day = today - timedelta(days=days)
    if day < date(1990, 1, 1):
        return
    subject = add_subject(tx, age=age)
    oldest, youngest = age + 1 - days / 365.2425, age - days / 365.2425  # years on that day; its birthday is not known
    rules = ConsentRules(age_of_consent=grown)
    slack = 0.02
    if oldest < -slack or (oldest < grown - slack and not guardian and days):
        with pytest.raises(ConsentError, match="not born" if oldest < 0 else "guardian|not born"):
            consent(tx, subject, day, guardian=guardian, rules=rules)
    elif days == 0 and age < grown and not guardian:
        with pytest.raises(ConsentError, match="guardian"):
            consent(tx, subject, day, guardian=guardian, rules=rules)
    elif oldest > grown + 1 + slack and youngest >= grown + slack:
        assert consent(tx, subject, day, guardian=guardian, rules=rules) == []


def test_an_age_that_was_not_said_is_asked_for(tx: Session) -> None:
    subject = add_subject(tx)
    assert any("S001 did not say its age" in text for text in consent(tx, subject, date(2026, 1, 2)))
    assert consent(tx, subject, date(2026, 1, 2), guardian=True) == []


def test_a_form_from_before_the_withdrawal_is_told(engine: Engine) -> None:
    told: list[str] = []
    with transaction(engine) as tx:
        subject = add_subject(tx, age=40)
        give_consent(tx, subject, RELEASE, date(2026, 1, 2))
        withdraw_consent(tx, subject)
        give_consent(tx, subject, RELEASE, date(2026, 1, 3), told=told.append)
    assert "withdrew research_release after 2026-01-03" in told[0]


@quick
@given(text=st.text(st.characters(), max_size=150), most=st.integers(1, 120))
@example(text="a" * 5000, most=100)
@example(text="\x1b]0;owned\x07", most=100)
@example(text="\u202egnihtyna", most=100)
@example(text="a\0b", most=100)
def test_words_are_few_and_can_be_shown(text: str, most: int) -> None:
    kept = text.strip()
    if len(kept) > most or words_shown(kept) != kept:
        with pytest.raises(RecordError, match="The job") as caught:
            words(text, "The job", most)
        assert words_shown(str(caught.value)) == str(caught.value)
    else:
        assert words(text, "The job", most) == kept


@pytest.mark.parametrize("job", ["a" * 101, "\x1b[2Jcook", "co\nok", "a\0b", "\ud800"])
def test_a_job_is_what_the_schema_holds_on_every_database(engine: Engine, job: str) -> None:
    with pytest.raises(RecordError, match="The job"), transaction(engine) as tx:
        add_subject(tx, job=job)
    with transaction(engine) as tx:
        assert add_subject(tx, job="é" * 100).job == "é" * 100


def test_what_the_database_would_not_take_is_refused_before(tx: Session) -> None:
    for said in ({"age": True}, {"age": 1.5}, {"gender": "none"}):
        with pytest.raises(RecordError):
            add_subject(tx, **said)  # type: ignore[arg-type]
    subject = add_subject(tx)
    for wrong in ({"document_sha256": hashlib.sha256(b"").hexdigest()}, {"form_version": "1\n2"}, {"shared_form": " "}):
        with pytest.raises(ConsentError):
            consent(tx, subject, date(2026, 1, 2), **wrong)
