"""Entries are written in order, whatever becomes of one of them, and nobody who gives one waits."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from controller import background_writer as module
from controller.background_writer import BackgroundWriter
from db import migrations
from db.audit.acting_person import acting_as
from db.engine import open_database, reading
from db.errors import DatabaseUnavailable
from db.models import AuditEvent
from db.rigs.camera_events import events_of, record_event


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = open_database(f"sqlite:///{tmp_path / 'studio.sqlite'}")
    migrations.upgrade(made)
    yield made
    made.dispose()


@pytest.fixture
def clerk(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackgroundWriter]:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    made = BackgroundWriter(engine)
    yield made
    made.stop()


def note(number: int):
    return lambda tx: record_event(tx, "rig", "cam-00", "camera.fault", {"code": "x", "text": str(number)})


def texts(engine: Engine) -> list[str]:
    with reading(engine) as tx:
        return [event.detail["text"] for event in events_of(tx, "rig", "camera.fault")]


def test_a_database_that_is_away_is_waited_for_and_the_order_is_kept(clerk: BackgroundWriter, engine: Engine) -> None:
    tries = []

    def stubborn(tx: Session) -> None:
        tries.append(1)
        if len(tries) < 4:
            raise DatabaseUnavailable("locked")
        note(1)(tx)

    clerk.start()
    for entry in (note(0), stubborn, note(2)):
        clerk.write(entry)
    clerk.settle()
    assert len(tries) == 4
    assert texts(engine) == ["0", "1", "2"]


def test_an_entry_that_cannot_be_written_loses_no_other(clerk: BackgroundWriter, engine: Engine) -> None:
    def impossible(tx: Session) -> None:
        record_event(tx, "rig", "cam-00", "camera.fault", {"text": object()})

    clerk.start()
    for entry in (note(0), impossible, note(2)):
        clerk.write(entry)
    clerk.settle()
    assert texts(engine) == ["0", "2"]


def test_too_many_are_dropped_and_nobody_waits(clerk: BackgroundWriter, engine: Engine) -> None:
    held = threading.Event()
    clerk.write(lambda _tx: held.wait(30) and None)
    for number in range(module.WAITING + 50):
        clerk.write(note(number))
    clerk.start()
    held.set()
    clerk.settle()
    assert texts(engine) == [str(number) for number in range(module.WAITING - 1)]


def test_what_waits_is_written_at_the_end(engine: Engine) -> None:
    clerk = BackgroundWriter(engine)
    clerk.start()
    for number in range(5):
        clerk.write(note(number))
    clerk.stop()
    assert texts(engine) == [str(number) for number in range(5)]


def test_an_entry_is_written_for_who_gave_it(clerk: BackgroundWriter, engine: Engine) -> None:
    clerk.start()
    for person in ("anna", "bert", None):
        with acting_as(person):
            clerk.write(note(1))
    clerk.settle()
    with reading(engine) as tx:
        actors = [entry.actor for entry in tx.scalars(select(AuditEvent).order_by(AuditEvent.id))]
    assert actors[:2] == ["anna", "bert"]
    assert actors[2] not in ("anna", "bert")
