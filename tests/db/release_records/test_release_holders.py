"""Recipients, licences, grants and the ledger: what is kept, what is refused, what can be removed again."""

import json
import os
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mien_tests_db_fixtures import events_about
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from db.engine import reading, transaction, utc_now
from db.errors import NotFound, PersonalDataError, PersonalKeyError, RecordError, StateConflict
from db.models import Fetch, Grant, Recipient, Release, Way
from db.release_records.access_grants import (
    GrantRefusal,
    access_by_token,
    add_grant,
    get_grant,
    new_token,
    revoke_grant,
)
from db.release_records.recipients import (
    accept_licence,
    add_recipient,
    contact_of,
    forget_recipient,
    get_recipient,
    keep_contact,
    number_of,
)
from db.release_records.release_holders import (
    Delivery,
    begin_fetch,
    hand_over,
    holders_of,
    mark_notices,
    note_delivered,
    reduced_address,
    reduced_agent,
    write_notice,
)
from db.release_records.releases import begin_release, complete_release
from db.subject_data.personal_data import KEY, new_key, rekey_personal

PERSON = {"name": "Zoë Plantedname", "email": "zoe@planted.example"}
TEXT, SIGNED = "a" * 64, "b" * 64


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    made = new_key()
    monkeypatch.setenv(KEY, made)
    return made


def release(tx: Session, name: str = "faces") -> Release:
    made = begin_release(tx, name, schema_version=2, consent_day=date(2026, 1, 1), criteria={})
    complete_release(tx, made, "c" * 64, [])
    return made


def signed(tx: Session, recipient: Recipient, **more: Any) -> None:
    said = {"text_sha256": TEXT, "text_version": "1", "document_sha256": SIGNED, "signed_on": date(2026, 2, 1)} | more
    accept_licence(tx, recipient, "faces", **said)


def granted(tx: Session, recipient: Recipient, token: str, **more: Any) -> Grant:
    said = {"first_version": 1, "last_version": None, "kinds": ["mesh"], "until": utc_now() + timedelta(days=1)} | more
    return add_grant(tx, recipient, "faces", token=token, **said)


def test_a_contact_is_sealed_removed_and_nowhere_else(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction(engine) as tx:
        recipient = add_recipient(tx, "University of Somewhere", PERSON)
    with transaction(engine) as tx:
        found = get_recipient(tx, "r001")
        assert not any(text in (found.contact or "") for text in PERSON.values())
        known = contact_of(tx, found)
        assert known is not None
        assert (known.name, known.email) == (PERSON["name"], PERSON["email"])
        said = json.dumps([event.detail for event in events_about(tx, "recipient", recipient.code)])
        assert not any(text in said for text in [*PERSON.values(), "Somewhere"])
    monkeypatch.setenv(KEY, f"{new_key()},{os.environ[KEY]}")
    with transaction(engine) as tx:
        rekey_personal(tx)
    monkeypatch.setenv(KEY, os.environ[KEY].split(",")[0])
    with transaction(engine) as tx:
        assert contact_of(tx, get_recipient(tx, "R001")) == known
        forget_recipient(tx, get_recipient(tx, "R001"), institution=True)
    with transaction(engine) as tx:
        gone = get_recipient(tx, "R001")
        assert (gone.contact, gone.institution) == (None, None)
        assert contact_of(tx, gone) is None


def test_contacts_that_were_exchanged_or_lost_their_key_do_not_open(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with transaction(engine) as tx:
        one, two = add_recipient(tx, "One", PERSON), add_recipient(tx, "Two", PERSON)
        two.contact = one.contact
    with transaction(engine) as tx, pytest.raises(PersonalDataError, match="exchanged") as caught:
        contact_of(tx, get_recipient(tx, "R002"))
    assert "planted" not in str(caught.value)
    monkeypatch.delenv(KEY)
    with transaction(engine) as tx, pytest.raises(PersonalKeyError):
        contact_of(tx, get_recipient(tx, "R001"))


@pytest.mark.parametrize(
    "contact",
    [
        {"name": "A"}, {"email": "nobody"}, {"email": "a@b.example\nBcc: x@y.example"},
        {"email": "a@b.example, c@d.example"}, {"email": "a@b.example", "phone": "1"},
        {"name": "A\nB", "email": "a@b.example"}, {"email": "<a@b.example>"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_contact_that_could_not_be_written_to_is_refused(engine: Engine, contact: dict[str, str]) -> None:
    with pytest.raises(PersonalDataError) as caught, transaction(engine) as tx:
        add_recipient(tx, "One", contact)
    assert "b.example" not in str(caught.value)


def test_licences_that_cannot_be_are_refused(engine: Engine) -> None:
    with transaction(engine) as tx:
        one, two = add_recipient(tx, "One"), add_recipient(tx, "Two")
        signed(tx, one)
        signed(tx, one)  # the same again
        for recipient, more in [
            (two, {}),  # one document for two
            (one, {"text_sha256": "d" * 64}),  # one document for two texts
            (one, {"document_sha256": "e" * 64}),  # a text signed twice
            (two, {"document_sha256": TEXT}),  # the text itself, unsigned
            (two, {"document_sha256": "e" * 64, "signed_on": utc_now().date() + timedelta(days=2)}),
            (two, {"document_sha256": "e" * 64, "signed_on": date(1890, 1, 1)}),
            (two, {"document_sha256": "e" * 64, "text_version": "two\nlines"}),
        ]:
            with pytest.raises(RecordError):
                signed(tx, recipient, **more)


def test_a_grant_opens_what_it_is_for_while_it_stands(engine: Engine) -> None:
    token = new_token()
    with transaction(engine) as tx:
        recipient = add_recipient(tx, "One")
        granted(tx, recipient, token, first_version=2, last_version=3)
        with pytest.raises(RecordError, match="is over"):
            granted(tx, recipient, new_token(), until=utc_now() - timedelta(days=1))
    now = utc_now()
    with transaction(engine) as tx:
        assert access_by_token(tx, token + "x") is None
        access = access_by_token(tx, token)
        assert access is not None
        assert access.refusal("faces", 2, TEXT, now) is GrantRefusal.LICENCE
        signed(tx, get_recipient(tx, "R001"))
    with reading(engine) as tx:
        access = access_by_token(tx, token)
        assert access is not None
        for name, version, text, refusal in [
            ("faces", 2, TEXT, None),
            ("faces", 3, TEXT, None),
            ("faces", 3, "d" * 64, GrantRefusal.LICENCE),
            ("faces", 1, TEXT, GrantRefusal.OTHER),
            ("faces", 4, TEXT, GrantRefusal.OTHER),
            ("heads", 2, TEXT, GrantRefusal.OTHER),
        ]:
            assert access.refusal(name, version, text, now) is refusal
        assert access.refusal("faces", 2, TEXT, access.expires_at) is GrantRefusal.EXPIRED
        columns = [str(value) for row in tx.execute(select(Grant.__table__)) for value in row]
        assert not any(token in value for value in columns)
    with transaction(engine) as tx:
        revoke_grant(tx, get_grant(tx, "G001"))
        with pytest.raises(StateConflict, match="already"):
            revoke_grant(tx, get_grant(tx, "G001"))
        access = access_by_token(tx, token)
        assert access is not None
        assert access.refusal("faces", 2, TEXT, now) is GrantRefusal.REVOKED


def test_an_institution_that_may_still_fetch_is_not_forgotten(engine: Engine) -> None:
    with transaction(engine) as tx:
        recipient = add_recipient(tx, "One", PERSON)
        grant = granted(tx, recipient, new_token())
    with transaction(engine) as tx, pytest.raises(StateConflict, match="G001"):
        forget_recipient(tx, get_recipient(tx, "R001"), institution=True)
    with transaction(engine) as tx:
        forget_recipient(tx, get_recipient(tx, "R001"))  # the person may go at any time
        revoke_grant(tx, get_grant(tx, grant.code))
        forget_recipient(tx, get_recipient(tx, "R001"), institution=True)
    with transaction(engine) as tx, pytest.raises(StateConflict, match="add it anew"):
        granted(tx, get_recipient(tx, "R001"), new_token())


def test_holders_of_a_release(engine: Engine) -> None:
    with transaction(engine) as tx:
        first, other = release(tx), release(tx, "heads")
        one, two = add_recipient(tx, "One"), add_recipient(tx, "Two")
        by_server, by_disk = granted(tx, one, new_token()), granted(tx, two, new_token())
        fetch = begin_fetch(
            tx, by_server.id, first.id, Way.SERVER, files_wanted=5, address="192.0.2.77", agent="curl/8"
        )
        assert begin_fetch(tx, by_server.id, first.id, Way.SERVER, files_wanted=5).id == fetch.id
        hand_over(tx, by_disk, first, Way.HANDED)
    later = utc_now()
    with transaction(engine) as tx:
        note_delivered(tx, fetch.id, later, Delivery(10, 2, b"\x03", {2: [(0, 7)]}, False))
        note_delivered(tx, fetch.id, later, Delivery(99, 5, b"\x1f", {}, True))
        note_delivered(tx, fetch.id, later + timedelta(hours=1), Delivery(120, 5, b"\x1f", {}, True))
    with reading(engine) as tx:
        held = holders_of(tx, [first.id])
        assert [(h.recipient, h.way, h.files, h.bytes) for h in held] == [
            ("R001", Way.SERVER, 5, 120),
            ("R002", Way.HANDED, 0, 0),
        ]
        assert (held[0].complete_at, held[0].network, held[0].agent) == (later, "192.0.2.0/24", "curl/8")
        assert holders_of(tx, [other.id]) == holders_of(tx, []) == []
        events = [(event.action, event.detail) for event in events_about(tx, "release", "faces 1")]
        assert events[-3:] == [
            ("release.fetch", {"grant": "G001", "way": "server"}),
            ("release.fetch", {"grant": "G002", "way": "handed"}),
            ("release.fetched", {"grant": "G001"}),
        ]
        assert "192.0.2.77" not in str(list(tx.execute(select(Fetch.__table__))))


def test_notices_go_from_written_to_sent_to_confirmed(engine: Engine) -> None:
    with transaction(engine) as tx:
        recipient = add_recipient(tx, "One")
        notice = write_notice(tx, recipient.id, "faces", "d" * 64)
        assert write_notice(tx, recipient.id, "faces", "d" * 64).id == notice.id
        assert write_notice(tx, recipient.id, "faces", "e" * 64).id != notice.id
    for codes, confirmed, error in [
        (["N001"], True, StateConflict),
        (["N009"], False, NotFound),
        (["R001"], False, NotFound),
        (["N001"], False, None),
        (["N001"], False, StateConflict),
        (["N001"], True, None),
        (["N001"], True, StateConflict),
    ]:
        with transaction(engine) as tx:
            if error is None:
                mark_notices(tx, "faces", codes, confirmed=confirmed)
            else:
                with pytest.raises(error):
                    mark_notices(tx, "faces", codes, confirmed=confirmed)
    with transaction(engine) as tx, pytest.raises(NotFound):
        mark_notices(tx, "heads", ["N002"], confirmed=False)


def test_an_address_is_reduced_to_its_network() -> None:
    assert reduced_address("203.0.113.9") == "203.0.113.0/24"
    assert reduced_address("2001:db8:1:2:3::9") == "2001:db8:1::/48"
    assert reduced_address("::ffff:203.0.113.9") == "203.0.113.0/24"
    assert reduced_address("fe80::1%eth0") == "fe80::/48"
    for none in (None, "", "host", "1.2.3", "203.0.113.9:80"):
        assert reduced_address(none) is None


@given(st.text())
def test_an_agent_is_one_plain_word_or_none(said: str) -> None:
    kept = reduced_agent(said)
    assert kept is None or (kept.isascii() and kept.isprintable() and len(kept) <= 40 and " " not in kept)


@given(st.text(max_size=12))
def test_what_is_no_code_is_not_found(said: str) -> None:
    with suppress(NotFound):
        assert number_of(said, "R") >= 1


def test_keeping_a_contact_again_replaces_it(engine: Engine) -> None:
    with transaction(engine) as tx:
        recipient = add_recipient(tx, "One", PERSON)
        keep_contact(tx, recipient, {"email": "other@planted.example"})
        known = contact_of(tx, recipient)
    assert known is not None
    assert (known.name, known.email) == ("", "other@planted.example")
