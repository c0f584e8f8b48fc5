"""Whose store it is, how far its records had come, and what is said of both."""

import errno
import threading
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from db import store_identity
from db.audit import audit_log
from db.engine import reading, transaction
from db.erasure import destructive_plan
from db.erasure.destructive_plan import DestructiveEffect, DestructivePlan
from db.errors import IdentityError, NotConfirmed, StoreError
from db.fsck import fsck
from db.models import ConsentScope
from db.store import Store
from db.store_identity import IdentityStanding
from db.store_parts import store_identity_notes
from db.store_parts.store_identity_notes import StoreNote

sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture(params=["folder", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        (tmp_path / "store").mkdir()
        return Store(tmp_path / "store")
    return Store(f"memory://identity-{tmp_path.name}", cache=tmp_path / "cache")


def test_a_new_studio_is_marked_once_and_notes_count_up(engine: Engine, store: Store, studio_rows: Any) -> None:
    assert (store_identity.check(engine, store).standing, store.identity()) == (
        IdentityStanding.NEW,
        None,
    )  # looking marks nothing
    store_identity.require(engine, store)
    first = store.identity()
    assert first is not None
    with transaction(engine) as tx:
        code = studio_rows.subject(tx, ConsentScope.RESEARCH_RELEASE).code
        audit_log.record(tx, "subject.add", "subject", code)
    assert store_identity.note(engine, store).same
    second = store.identity()
    assert second is not None
    with reading(engine) as tx:
        head = audit_log.verify_chain(tx).head
        own = store_identity.read(tx)
    assert (second.studio, second.number, second.head) == (first.studio, first.number + 1, head)
    assert own == store_identity.DatabaseIdentity(first.studio, second.number, second.number)


@sqlite
def test_notes_at_once_leave_the_newest_and_both_belong_together(engine: Engine, store: Store) -> None:
    store_identity.require(engine, store)
    start = threading.Barrier(4)

    def tell() -> None:
        start.wait()
        for _ in range(5):
            store_identity.note(engine, store)

    threads = [threading.Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.identity()
    assert found is not None
    # An object store has no exclusive creation: two that note at once may take one number, and the newer note stays.
    assert found.number == 21 if store.is_local else 6 <= found.number <= 21
    assert store_identity.check(engine, store).same
    assert len(store_identity_notes.numbers(store.fs, store.root)) <= 2 * store_identity_notes.KEPT


@sqlite
@pytest.mark.parametrize("before", [True, False], ids=["before the note is read", "after it"])
@pytest.mark.parametrize("times", [1, 2, 5])
def test_one_that_notes_while_another_looks_makes_no_false_verdict(
    engine: Engine, store: Store, monkeypatch: pytest.MonkeyPatch, before: bool, times: int
) -> None:
    store_identity.require(engine, store)
    read, left = Store.identity, [times]

    def read_beside_another(self: Store) -> StoreNote | None:
        def another() -> None:
            if left[0]:
                left[0] -= 1
                with monkeypatch.context() as alone:
                    alone.setattr(Store, "identity", read)
                    assert store_identity.note(engine, store).same

        if before:
            another()
        found = read(self)
        if not before:
            another()
        return found

    monkeypatch.setattr(Store, "identity", read_beside_another)
    assert store_identity.check(engine, store).same
    store_identity.require(engine, store)


@sqlite
def test_a_note_that_is_none_stops_what_destroys_and_says_so(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    store = Store(tmp_path / "store")
    store_identity.require(engine, store)
    note = tmp_path / "store" / "identity" / "0000000001.json"
    whole = note.read_text()
    for text in ("", "[]", whole[:-20], whole.replace('"number": 1', '"number": "1"'), "[" * 60_000):
        note.write_text(text)
        with pytest.raises(StoreError, match="is no note"):
            store_identity.require(engine, store)
    note.write_text(whole)
    store_identity.require(engine, store)


@sqlite
def test_a_store_that_goes_away_in_between_is_noticed(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    store = Store(tmp_path / "store")
    store_identity.require(engine, store)
    store_identity.still(engine, store)
    (tmp_path / "store").rename(tmp_path / "disk")
    for make in (lambda: None, (tmp_path / "store").mkdir):
        make()
        with pytest.raises(IdentityError, match="went away"):
            store_identity.still(engine, store)


@sqlite
def test_a_store_that_refuses_is_an_error_with_words_and_nothing_is_taken_for_lost(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "store").mkdir()
    store = Store(tmp_path / "store")
    store_identity.require(engine, store)

    def refused(*_given: Any, **_more: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(LocalFileSystem, "ls", refused)
    for ask in (store_identity.check, store_identity.require, store_identity.still, fsck):
        with pytest.raises(StoreError, match="Permission denied"):
            ask(engine, store)


@given(st.binary(max_size=200))
def test_whatever_lies_in_a_notes_place_is_a_note_or_an_error(text: bytes) -> None:
    with pytest.raises(StoreError):
        StoreNote.parse(text, "there")


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 1_000_000)), min_size=1, max_size=4))
def test_little_passes_and_much_needs_its_number(sizes: list[tuple[int, int]]) -> None:
    effects = tuple(DestructiveEffect("files gone", number, max(number, total)) for number, total in sizes)
    plan = DestructivePlan(effects, "mien db fsck --repair")
    large = any(
        e.number > 1 and e.number > e.total / 100 and (e.number > 5 or e.number > e.total / 10) for e in effects
    )
    assert plan.is_small == (not large)
    if plan.is_small:
        destructive_plan.small_only(plan)
        return
    for wrong in (None, "", "yes", "y", str(int(plan.phrase) + 1)):
        with pytest.raises(NotConfirmed):
            destructive_plan.typed(wrong)(plan)
    destructive_plan.typed(plan.phrase)(plan)
