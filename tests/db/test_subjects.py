"""Codes never collide; consent is what was signed, and a withdrawal is final."""

import threading
from datetime import UTC, date, datetime

import pytest
from mien_tests_db_fixtures import events_about
from sqlalchemy import Engine
from sqlalchemy.exc import StatementError
from sqlalchemy.orm import Session

from db.consents.scope_consents import consenting_subjects
from db.engine import reading, transaction
from db.errors import AlreadyThere, ConsentError, NotFound, RecordError
from db.models import ConsentScope, Gender, Subject
from db.subjects import add_subject, get_subject, give_consent, list_subjects, withdraw_consent

RELEASE, PUBLICATION = ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION


def consents_to(tx: Session, subject: Subject, scope: ConsentScope, day: date) -> bool:
    return subject.id in consenting_subjects(tx, scope, day)


def test_codes_count_up_past_999(engine: Engine) -> None:
    with transaction(engine) as tx:
        first = add_subject(tx, age=41, gender=Gender.FEMALE, job="nurse")
        assert first.code == "S001"
        first.code = "S999"
        tx.flush()
        assert add_subject(tx).code == "S1000"
        assert add_subject(tx).code == "S1001"
    with reading(engine) as tx:
        assert [s.code for s in list_subjects(tx)] == ["S999", "S1000", "S1001"]
        assert get_subject(tx, "S999").gender is Gender.FEMALE


def test_two_programs_adding_at_once_get_different_codes(engine: Engine) -> None:
    start, codes = threading.Barrier(4), []

    def add() -> None:
        start.wait()
        for _ in range(5):
            with transaction(engine) as tx:
                codes.append(add_subject(tx).code)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [f"S{n:03d}" for n in range(1, 21)]


@pytest.mark.parametrize("age", [-1, 121])
def test_an_impossible_age_is_refused(engine: Engine, age: int) -> None:
    with pytest.raises(RecordError, match="outside"), transaction(engine) as tx:
        add_subject(tx, age=age)


def test_consent_counts_from_its_day_until_withdrawn(engine: Engine) -> None:
    signed = date(2026, 3, 10)
    with transaction(engine) as tx:
        subject = add_subject(tx)
        give_consent(tx, subject, RELEASE, signed)
        assert not consents_to(tx, subject, RELEASE, date(2026, 3, 9))
        assert consents_to(tx, subject, RELEASE, signed)
        assert not consents_to(tx, subject, PUBLICATION, signed)
        assert withdraw_consent(tx, subject).closed == (RELEASE,)
        assert not consents_to(tx, subject, RELEASE, signed)
        assert [c.valid_on(signed) for c in subject.consents] == [False]
        give_consent(tx, subject, RELEASE, date(2026, 4, 1))
        assert not consents_to(tx, subject, RELEASE, signed)
        assert consents_to(tx, subject, RELEASE, date(2026, 4, 1))
    with reading(engine) as tx:
        acts = [event.action for event in events_about(tx, "subject", subject.code)]
    assert acts == ["subject.add", "consent.give", "consent.withdraw", "consent.give"]


def test_one_open_consent_a_scope(engine: Engine) -> None:
    with transaction(engine) as tx:
        subject = add_subject(tx)
        give_consent(tx, subject, RELEASE, date(2026, 1, 1))
        with pytest.raises(AlreadyThere, match="withdraw"):
            give_consent(tx, subject, RELEASE, date(2026, 1, 2))
        give_consent(tx, subject, PUBLICATION, date(2026, 1, 2))
    with reading(engine) as tx:
        assert len(get_subject(tx, "S001").consents) == 2


def test_what_cannot_be_withdrawn_or_found_is_said(engine: Engine) -> None:
    with transaction(engine) as tx:
        subject = add_subject(tx)
        with pytest.raises(ConsentError, match="nothing was withdrawn"):
            withdraw_consent(tx, subject)
        with pytest.raises(ConsentError, match="SHA-256"):
            give_consent(tx, subject, RELEASE, date(2026, 1, 1), document_sha256="abc")
        with pytest.raises(NotFound, match="S404"):
            get_subject(tx, "S404")


def test_times_are_aware_utc_and_naive_ones_are_refused(engine: Engine) -> None:
    when = datetime(2026, 7, 1, 12, 30, 15, 123456, tzinfo=UTC)
    with transaction(engine) as tx:
        subject = add_subject(tx)
        give_consent(tx, subject, RELEASE, date(2026, 1, 1))
        withdraw_consent(tx, subject, at=when)
    with reading(engine) as tx:
        assert get_subject(tx, "S001").consents[0].withdrawn_at == when
    with transaction(engine) as tx:
        subject = get_subject(tx, "S001")
        give_consent(tx, subject, PUBLICATION, date(2026, 1, 1))
        with pytest.raises(StatementError, match="no time zone"):
            withdraw_consent(tx, subject, at=datetime(2026, 7, 1))


def test_an_exception_rolls_everything_back(engine: Engine) -> None:
    def half() -> None:
        with transaction(engine) as tx:
            add_subject(tx)
            raise RuntimeError("between two writes")

    with pytest.raises(RuntimeError, match="between"):
        half()
    with reading(engine) as tx:
        assert list_subjects(tx) == []
