"""What the rows say is held against the log, and the log's guards are looked for: whoever changed either is told of."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from db import captures
from db.audit.audit_triggers import missing_guards
from db.audit_replay import differences
from db.commands import database
from db.engine import open_database, reading, transaction, utc_now
from db.erasure.take_withdrawals import withdraw_take
from db.errors import RecordError
from db.models import ConsentScope, Gender
from db.subject_data.rectification import edit_subject
from db.subjects import add_subject, get_subject, give_consent, withdraw_consent

RELEASE, PUBLICATION, MOSAIC = ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION, ConsentScope.EYES_MOSAICKED


@pytest.fixture
def lived(engine: Engine, studio_rows: Any) -> Engine:
    """S001 withdrew and consents again, S002 consents and was put right, S003 withdrew a take, S004 did nothing."""
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        first, second, third = (add_subject(tx, age=30) for _ in range(3))
        add_subject(tx)
        for subject in (first, second, third):
            for scope in (RELEASE, PUBLICATION):
                form = studio_rows.sha(subject.code)
                give_consent(tx, subject, scope, date(2026, 1, 2), document_sha256=form, form_version="1")
        session = studio_rows.session(tx, third, rig)
        take = studio_rows.accepted(tx, session, rig, 1).code
        captures.close_session(tx, session, incomplete=True)
    with transaction(engine) as tx:
        withdraw_consent(tx, get_subject(tx, "S001"))
        edit_subject(tx, get_subject(tx, "S002"), {"age": 31, "job": "cook"})
        withdraw_take(tx, "S003", take)
    with transaction(engine) as tx:
        give_consent(tx, get_subject(tx, "S001"), RELEASE, utc_now().date(), form_version="2", guardian=True)
    return engine


def found(engine: Engine) -> list[str]:
    with reading(engine) as tx:
        return differences(tx)


def test_what_was_done_through_mien_agrees(lived: Engine) -> None:
    assert found(lived) == []


OF_S001 = "subject_id = (SELECT id FROM subject WHERE code = 'S001')"
OF_S002 = OF_S001.replace("S001", "S002")
FORGERIES = {
    "day": (f"UPDATE consent SET given_on = '2020-01-01' WHERE {OF_S002}", "S002's consent.*day is 2020-01-01"),
    "version": (f"UPDATE consent SET form_version = 'forged' WHERE {OF_S002}", "version of the form is forged"),
    "no version": (f"UPDATE consent SET form_version = NULL WHERE {OF_S002}", "version of the form is nothing"),
    "form": (f"UPDATE consent SET document_sha256 = '{'a' * 64}' WHERE {OF_S002}", "signed form is aaaa"),
    "guardian": (f"UPDATE consent SET guardian = NOT guardian WHERE {OF_S002}", "guardian's signature is True"),
    "shared": (f"UPDATE consent SET shared_reason = 'twins' WHERE {OF_S002}", "shared form is True"),
    "recorded": (f"UPDATE consent SET recorded_at = '2020-01-01 00:00:00' WHERE {OF_S002}", "recorded 2020-01-01"),
    "scope": (
        f"UPDATE consent SET scope = 'eyes_mosaicked' WHERE scope = 'publication' AND {OF_S002}",
        "eyes_mosaicked.*recorded by no entry",
    ),
    "reopened": (
        f"UPDATE consent SET withdrawn_at = NULL WHERE scope = 'publication' AND {OF_S001}",
        "S001's consent to publication is open, and the log says that it was withdrawn",
    ),
    "closed": (
        f"UPDATE consent SET withdrawn_at = '2026-02-01 00:00:00' WHERE scope = 'publication' AND {OF_S002}",
        "is closed, and no entry of the log withdrew it",
    ),
    "closed earlier": (
        f"UPDATE consent SET withdrawn_at = '2026-02-01 00:00:00' WHERE scope = 'publication' AND {OF_S001}",
        "withdrawn 2026-02-01 00:00 by its row",
    ),
    "deleted": (f"DELETE FROM consent WHERE scope = 'publication' AND {OF_S002}", "is not in the records"),
    "another's": (
        "UPDATE consent SET subject_id = (SELECT id FROM subject WHERE code = 'S004')"
        f" WHERE scope = 'publication' AND {OF_S002}",
        "S004's consent to publication.*recorded by no entry",
    ),
    "invented": (
        "INSERT INTO consent (subject_id, scope, given_on, recorded_at) SELECT id, 'research_release', '2026-01-01',"
        " '2026-01-01 00:00:00' FROM subject WHERE code = 'S004'",
        "S004's consent to research_release.*recorded by no entry",
    ),
    "erased": ("UPDATE subject SET erased_at = '2026-01-01 00:00:00' WHERE code = 'S004'", "S004's row says.*erased"),
    "subject": (
        "INSERT INTO subject (code, created_at) VALUES ('S009', '2026-01-01 00:00:00')",
        "no entry of the log added S009",
    ),
    "renamed": ("UPDATE subject SET code = 'S010' WHERE code = 'S004'", "log tells of S004.*no such subject"),
    "put right": (f"DELETE FROM subject_change WHERE field = 'age' AND {OF_S002}", "S002's age was put right 1 times"),
    "put right too": (
        "INSERT INTO subject_change (subject_id, field, changed_at) SELECT id, 'job', '2026-01-01 00:00:00'"
        " FROM subject WHERE code = 'S004'",
        "S004's job was put right 0 times",
    ),
    "take back": ("DELETE FROM take_withdrawal", "take S003-1-E01-1 was withdrawn, and the records do not"),
}  # fmt: skip


def test_rows_that_were_changed_past_mien_are_told(lived: Engine) -> None:
    for name, (statement, said) in FORGERIES.items():
        with lived.connect() as connection:
            begun = connection.begin()
            assert connection.execute(text(statement)).rowcount > 0, name
            with Session(connection, join_transaction_mode="create_savepoint") as tx:
                told = differences(tx)
            begun.rollback()
        assert any(re.search(said, line) for line in told), (name, told)
    assert found(lived) == []


def test_a_take_that_was_withdrawn_past_mien_is_told(lived: Engine) -> None:
    with transaction(lived) as tx:
        tx.execute(text("UPDATE take SET code = 'S003-1-E01-9' WHERE code = 'S003-1-E01-1'"))
    told = found(lived)
    assert any("take S003-1-E01-9 is withdrawn, and no entry of the log says so" in line for line in told)


@pytest.fixture
def quick_engine(sqlite_template: Path, tmp_path: Path) -> Iterator[Engine]:
    path = tmp_path / "studio.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    engine = open_database(f"sqlite:///{path}")
    yield engine
    engine.dispose()


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["give", "withdraw", "age", "gender", "add"]), st.integers(0, 2), st.sampled_from(ConsentScope)
    ),
    max_size=25,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=ACTS)
def test_whatever_is_done_through_mien_agrees(quick_engine: Engine, acts: list[tuple[str, int, ConsentScope]]) -> None:
    with transaction(quick_engine) as tx:
        people = [add_subject(tx, age=20 + number).code for number in range(3)]
    day = date(2026, 1, 1)
    for number, (act, who, scope) in enumerate(acts):
        try:
            with transaction(quick_engine) as tx:
                subject = get_subject(tx, people[who])
                _do(tx, subject, act, scope, day + timedelta(days=number), number)
        except RecordError:
            continue  # refused: nothing of it is in the log, nor in the rows
    assert found(quick_engine) == []


def _do(tx: Session, subject: Any, act: str, scope: ConsentScope, day: date, number: int) -> None:
    match act:
        case "give":
            give_consent(tx, subject, scope, day, form_version=str(number), guardian=number % 2 == 0)
        case "withdraw":
            withdraw_consent(tx, subject, [scope])
        case "age":
            edit_subject(tx, subject, {"age": 20 + number % 3})
        case "gender":
            edit_subject(tx, subject, {"gender": list(Gender)[number % 3]})
        case _:
            add_subject(tx)


DROP_PG = "DROP TRIGGER audit_event_append_only ON audit_event"
DROPPED: dict[str, list[tuple[list[str], str]]] = {
    "sqlite": [
        (["DROP TRIGGER audit_event_no_update"], "audit_event_no_update is gone"),
        (["DROP TRIGGER audit_event_no_delete"], "audit_event_no_delete is gone"),
        (["DROP TRIGGER audit_event_no_replace"], "audit_event_no_replace is gone"),
        (
            [
                "DROP TRIGGER audit_event_no_delete",
                "CREATE TRIGGER audit_event_no_delete BEFORE DELETE ON audit_event BEGIN SELECT 1; END",
            ],
            "audit_event_no_delete does something else",
        ),
        (["CREATE TRIGGER more AFTER INSERT ON audit_event BEGIN SELECT 1; END"], "more is not Mien's"),
    ],
    "postgresql": [
        ([DROP_PG], "audit_event_append_only is gone"),
        (["ALTER TABLE audit_event DISABLE TRIGGER USER"], "audit_event_append_only is switched off"),
        (["ALTER TABLE audit_event ENABLE REPLICA TRIGGER audit_event_append_only"], "is switched off"),
        (
            [
                "CREATE OR REPLACE FUNCTION audit_event_refuse() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN RETURN NULL; END $$"
            ],
            "audit_event_append_only does something else",
        ),
        (
            [
                DROP_PG,
                "CREATE TRIGGER audit_event_append_only BEFORE UPDATE ON audit_event"
                " FOR EACH STATEMENT EXECUTE FUNCTION audit_event_refuse()",
            ],
            "does something else",
        ),
        (["CREATE RULE quiet AS ON DELETE TO audit_event DO INSTEAD NOTHING"], "rule quiet rewrites"),
    ],
}


def test_guards_that_are_gone_are_named(engine: Engine, tmp_path: Path) -> None:
    where = ["audit", "--home", str(tmp_path), "--database", engine.url.render_as_string(hide_password=False)]
    with reading(engine) as tx:
        assert missing_guards(tx) == []
    assert CliRunner().invoke(database.app, where).exit_code == 0
    for statements, said in DROPPED[engine.dialect.name]:
        with engine.connect() as connection:
            begun = connection.begin()
            for statement in statements:
                connection.exec_driver_sql(statement)
            with Session(connection, join_transaction_mode="create_savepoint") as tx:
                problems = missing_guards(tx)
            begun.rollback()
        assert any(said in problem for problem in problems), (statements, problems)
    with engine.begin() as connection:
        connection.exec_driver_sql(DROPPED[engine.dialect.name][0][0][0])
    result = CliRunner().invoke(database.app, where)
    assert result.exit_code == 4
    assert "does not refuse changes" in result.stdout


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("column", ["given_on", "recorded_at", "withdrawn_at", "scope", "subject_id"])
def test_what_is_no_value_of_its_column_is_told(lived: Engine, tmp_path: Path, column: str) -> None:
    where = ["audit", "--home", str(tmp_path), "--database", lived.url.render_as_string(hide_password=False)]
    with closing(sqlite3.connect(str(lived.url.database))) as file:  # it keeps anything, with its checks off
        file.execute("PRAGMA ignore_check_constraints = ON")
        file.execute(f"UPDATE consent SET {column} = 'x' || char(27) WHERE id = 3")
        file.commit()
    result = CliRunner().invoke(database.app, where)
    code = getattr(result.exception, "exit_code", result.exit_code)
    assert code == 4
    assert "\x1b" not in f"{result.output}{result.exception}"


def test_the_command_says_which_rows_differ(lived: Engine, tmp_path: Path) -> None:
    where = ["audit", "--home", str(tmp_path), "--database", lived.url.render_as_string(hide_password=False)]
    result = CliRunner().invoke(database.app, where)
    assert (result.exit_code, "are what the log says" in result.stdout) == (0, True)
    with lived.begin() as connection:
        connection.execute(text("UPDATE consent SET form_version = :v"), {"v": "\x1b[2J"})
    result = CliRunner().invoke(database.app, where)
    assert result.exit_code == 4
    assert "S001's consent to publication: its version of the form is ?[2J, the log says 1" in result.stdout
