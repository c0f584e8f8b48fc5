"""The audit log is append-only, one chain whoever writes at once, and what breaks it is named."""

import threading
from pathlib import Path
from typing import Any

import pytest
import typer
from mien_tests_db_fixtures import events_about
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from typer.testing import CliRunner

from db.audit import audit_log
from db.commands import database
from db.engine import reading, transaction
from db.models import AuditEvent

DETAILS: list[dict[str, Any]] = [
    {"text": "Zoë 漢字 \\ \" '", "empty": {}, "list": [1, 2.5, None, True, []]},
    {"whole": 1.0, "large": 1e16, "small": 1e-9, "negative": -0.0, "third": 1 / 3, "integer": 2**53 + 1},
    {"z": 1, "a": {"z": 2, "a": [{"b": 1.0}]}},
]


@pytest.fixture
def filled(engine: Engine) -> Engine:
    for number in range(9):
        with transaction(engine) as tx:
            audit_log.record(tx, f"act.{number}", "thing", str(number), DETAILS[number % 3], by="tester")
    return engine


def unguard(engine: Engine) -> None:
    """What somebody with the database's own rights may do."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("ALTER TABLE audit_event DISABLE TRIGGER USER")
            return
        for name in ("no_update", "no_delete", "no_replace"):
            connection.exec_driver_sql(f"DROP TRIGGER audit_event_{name}")


def tamper(engine: Engine, statement: str) -> audit_log.ChainReport:
    unguard(engine)
    with engine.begin() as connection:
        assert connection.execute(text(statement)).rowcount == 1
    with reading(engine) as tx:
        return audit_log.verify_chain(tx)


def test_an_untouched_log_holds_whatever_its_details(filled: Engine) -> None:
    with reading(filled) as tx:
        report = audit_log.verify_chain(tx)
        last = tx.scalar(select(AuditEvent.sha256).order_by(AuditEvent.id.desc()).limit(1))
        assert (report.entries, report.broken, report.head) == (9, None, last)
        first = events_about(tx, "thing", "0")[0]
        assert (first.previous, first.detail) == (audit_log.BEGINNING, DETAILS[0])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_event SET actor = 'another' WHERE id = 4",
        "DELETE FROM audit_event WHERE id = 4",
        "DELETE FROM audit_event",
    ],
)
def test_the_database_refuses_change(filled: Engine, statement: str) -> None:
    with pytest.raises(DBAPIError, match="append-only"), filled.begin() as connection:
        connection.execute(text(statement))
    with reading(filled) as tx:
        assert audit_log.verify_chain(tx).entries == 9


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_truncate_is_refused(filled: Engine) -> None:
    with pytest.raises(DBAPIError, match="append-only"), filled.begin() as connection:
        connection.exec_driver_sql("TRUNCATE audit_event")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_replacing_is_refused(filled: Engine) -> None:
    with filled.begin() as connection, pytest.raises(DBAPIError, match="append-only"):
        connection.exec_driver_sql(
            "INSERT OR REPLACE INTO audit_event SELECT id, at, 'another', action, about_kind, about_id, detail,"
            " previous, sha256 FROM audit_event WHERE id = 4"
        )


@pytest.mark.parametrize(
    ("statement", "entry", "held", "problem"),
    [
        ("UPDATE audit_event SET actor = 'another' WHERE id = 4", 4, 3, "not what was written"),
        ("UPDATE audit_event SET about_id = '9' WHERE id = 1", 1, 0, "not what was written"),
        ("UPDATE audit_event SET detail = '{}' WHERE id = 6", 6, 5, "not what was written"),
        ("UPDATE audit_event SET at = '2020-01-01 00:00:00.000000+00:00' WHERE id = 9", 9, 8, "not what was written"),
        ("DELETE FROM audit_event WHERE id = 4", 5, 3, "removed, inserted or exchanged"),
        ("DELETE FROM audit_event WHERE id = 1", 2, 0, "removed, inserted or exchanged"),
        ("UPDATE audit_event SET id = 99 WHERE id = 4", 5, 3, "removed, inserted or exchanged"),
    ],
)
def test_the_first_broken_entry_is_named(filled: Engine, statement: str, entry: int, held: int, problem: str) -> None:
    report = tamper(filled, statement)
    assert report.broken is not None
    assert (report.broken.entry, report.entries) == (entry, held)
    assert problem in report.broken.problem


def test_a_head_noted_earlier_shows_what_was_cut_off(filled: Engine) -> None:
    with reading(filled) as tx:
        noted = audit_log.verify_chain(tx).head
        assert audit_log.verify_chain(tx, noted).known_found is True
    report = tamper(filled, "DELETE FROM audit_event WHERE id = 9")
    assert report.broken is None
    with reading(filled) as tx:
        assert audit_log.verify_chain(tx, noted).known_found is False


def test_concurrent_writers_keep_one_chain(engine: Engine) -> None:
    start, problems = threading.Barrier(6), []

    def write(number: int) -> None:
        start.wait()
        try:
            for turn in range(8):
                with transaction(engine) as tx:
                    for part in range(2):
                        audit_log.record(tx, "act", "thing", f"{number}.{turn}.{part}")
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    with reading(engine) as tx:
        report = audit_log.verify_chain(tx)
        assert (report.entries, report.broken) == (96, None)
        assert tx.scalar(select(func.count(func.distinct(AuditEvent.about_id)))) == 96


def test_two_entries_never_follow_the_same_one(filled: Engine) -> None:
    """What a writer without the lock would do is refused by the table."""
    with reading(filled) as tx:
        last = events_about(tx, "thing", "8")[0]
    columns = ("at", "actor", "action", "about_kind", "about_id", "detail", "previous")
    fork = AuditEvent(**{name: getattr(last, name) for name in columns}, sha256="f" * 64)
    with pytest.raises(IntegrityError), transaction(filled) as tx:
        tx.add(fork)


def test_what_is_rolled_back_leaves_no_entry(engine: Engine) -> None:
    def half() -> None:
        with transaction(engine) as tx:
            audit_log.record(tx, "act", "thing", "1")
            raise RuntimeError("between two writes")

    with pytest.raises(RuntimeError, match="between"):
        half()
    with transaction(engine) as tx:
        audit_log.record(tx, "act", "thing", "2")
        refused = tx.begin_nested()
        with pytest.raises(RuntimeError, match="savepoint"):
            audit_log.record(tx, "act", "thing", "3")
        refused.rollback()
    with reading(engine) as tx:
        assert list(tx.scalars(select(AuditEvent.about_id))) == ["2"]


@pytest.mark.parametrize("detail", [{"x": float("nan")}, {"x": b"bytes"}])
def test_a_detail_that_is_not_json_is_refused(engine: Engine, detail: dict[str, Any]) -> None:
    with pytest.raises(RuntimeError, match="not JSON"), transaction(engine) as tx:
        audit_log.record(tx, "act", "thing", "1", detail)


def run(app: typer.Typer, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout


def test_mien_db_audit(filled: Engine, tmp_path: Path) -> None:
    where = ("--home", str(tmp_path), "--database", filled.url.render_as_string(hide_password=False))
    code, said = run(database.app, "audit", *where)
    assert (code, "9 entries, head " in said) == (0, True)
    head = said.split("head ")[1].split()[0]
    assert run(database.app, "audit", "--known", head, *where)[0] == 0
    code, said = run(database.app, "audit", "--known", "a" * 64, *where)
    assert (code, "cut off the end" in said) == (4, True)
    tamper(filled, "UPDATE audit_event SET action = 'nothing' WHERE id = 7")
    code, said = run(database.app, "audit", *where)
    assert (code, "breaks at entry 7 (nothing, " in said) == (4, True)
    code, said = run(database.app, "audit", "--json", *where)
    assert (code, '"intact": false' in said) == (4, True)
