"""Accounts, links that work once, sessions of browsers: what is kept, what ends, what is refused, on both databases."""

from datetime import timedelta
from typing import Any

import pytest
from mien_tests_db_fixtures import events_about
from sqlalchemy import Engine, select, update

from db.accounts import accounts, console_sessions, one_time_links, passkeys
from db.accounts.secret_tokens import token_hash
from db.audit.acting_person import acting_as, carried
from db.audit.audit_log import verify_chain
from db.engine import reading, transaction, utc_now
from db.errors import AlreadyThere, NotFound, RecordError, StateConflict
from db.models import Account, ConsoleRole, ConsoleSession, LinkKind, OneTimeLink, Passkey


@pytest.fixture
def anna(engine: Engine) -> str:
    with transaction(engine) as tx:
        accounts.add_account(tx, "Anna", ConsoleRole.MANAGER)
    return "anna"


@pytest.mark.parametrize("name", ["", " ", "-x", "x-", "ä", "a b", "a/b", "a" * 41, "..", "a\0"])
def test_what_can_be_no_name_is_refused(engine: Engine, name: str) -> None:
    with transaction(engine) as tx, pytest.raises(RecordError, match="no account's name"):
        accounts.add_account(tx, name, ConsoleRole.VIEWER)


def test_names_are_one_whatever_their_case(engine: Engine, anna: str) -> None:
    with transaction(engine) as tx:
        assert accounts.get_account(tx, " ANNA ").name == anna
        with pytest.raises(AlreadyThere):
            accounts.add_account(tx, "aNNa", ConsoleRole.VIEWER)
    for wrong in ("screen", "root", ""):
        with pytest.raises(RecordError, match="viewer, operator or manager"):
            accounts.person_role(wrong)


def test_each_change_is_in_the_audit_log_under_its_person(engine: Engine, anna: str) -> None:
    with transaction(engine) as tx, acting_as(anna):
        bert = accounts.add_account(tx, "bert", ConsoleRole.VIEWER)
        accounts.set_role(tx, bert, ConsoleRole.OPERATOR)
        accounts.set_role(tx, bert, ConsoleRole.OPERATOR)  # nothing new
        accounts.set_disabled(tx, bert, True)
        accounts.set_disabled(tx, bert, False)
    with reading(engine) as tx:
        told = [(entry.action, entry.actor) for entry in events_about(tx, "account", "bert")]
        assert verify_chain(tx).broken is None
    actions = ("account.add", "account.role", "account.disable", "account.enable")
    assert told == [(action, "anna") for action in actions]


def test_the_last_manager_stays(engine: Engine, anna: str) -> None:
    with transaction(engine) as tx:
        account = accounts.get_account(tx, anna)
        for change in (
            lambda: accounts.set_role(tx, account, ConsoleRole.OPERATOR),
            lambda: accounts.set_disabled(tx, account, True),
        ):
            with pytest.raises(StateConflict, match="only manager"):
                change()
        accounts.add_account(tx, "bert", ConsoleRole.MANAGER)
        accounts.set_disabled(tx, account, True)
        assert accounts.has_manager(tx)


def test_a_link_opens_once_and_the_records_hold_nothing_that_opens(engine: Engine, anna: str) -> None:
    with transaction(engine) as tx:
        token = one_time_links.make_link(tx, LinkKind.ACCOUNT, accounts.get_account(tx, anna))
    with reading(engine) as tx:
        kept = tx.scalar(select(OneTimeLink.token_sha256))
    assert token not in (kept or "")
    with transaction(engine) as tx:
        assert one_time_links.use_link(tx, token).account is not None
    for again in (token, token[:-1], "", "\ud800"):
        with transaction(engine) as tx, pytest.raises(NotFound):
            one_time_links.use_link(tx, again)


def test_links_end_by_time_by_a_newer_one_and_with_their_account(engine: Engine, anna: str) -> None:
    def fresh() -> str:
        with transaction(engine) as tx:
            return one_time_links.make_link(tx, LinkKind.ACCOUNT, accounts.get_account(tx, anna))

    def opens(token: str) -> bool:
        with transaction(engine) as tx:
            try:
                return one_time_links.look_at_link(tx, token).account is not None
            except NotFound:
                return False

    first = fresh()
    second = fresh()
    assert (opens(first), opens(second)) == (False, True)
    with transaction(engine) as tx:
        accounts.add_account(tx, "bert", ConsoleRole.MANAGER)
        accounts.set_disabled(tx, accounts.get_account(tx, anna), True)
    assert not opens(second)
    with transaction(engine) as tx:
        with pytest.raises(StateConflict, match="disabled"):
            one_time_links.make_link(tx, LinkKind.ACCOUNT, accounts.get_account(tx, anna))
        accounts.set_disabled(tx, accounts.get_account(tx, anna), False)
    assert not opens(second)  # it does not come back with the account
    third = fresh()
    with transaction(engine) as tx:
        tx.execute(update(OneTimeLink).values(expires_at=utc_now() - timedelta(seconds=1)))
    assert not opens(third)


def test_the_first_accounts_link_ends_with_the_first_manager(engine: Engine) -> None:
    with transaction(engine) as tx:
        token = one_time_links.make_link(tx, LinkKind.FIRST)
        assert one_time_links.look_at_link(tx, token).role is ConsoleRole.MANAGER
        accounts.add_account(tx, "anna", ConsoleRole.MANAGER)
    with transaction(engine) as tx:
        with pytest.raises(NotFound):
            one_time_links.use_link(tx, token)
        with pytest.raises(StateConflict):
            one_time_links.make_link(tx, LinkKind.FIRST)


def opened(engine: Engine, name: str | None, by: str = "anna") -> str:
    with transaction(engine) as tx:
        account = None if name is None else accounts.get_account(tx, name)
        return console_sessions.open_session(tx, account, by)[0]


def stands(engine: Engine, token: str) -> bool:
    with reading(engine) as tx:
        return console_sessions.find_session(tx, token_hash(token)) is not None


def test_a_session_ends_by_idleness_by_its_longest_time_and_by_hand(engine: Engine, anna: str) -> None:
    idle, old, ended, other = (opened(engine, anna) for _ in range(4))
    assert all(stands(engine, token) for token in (idle, old, ended, other))
    assert len({idle, old, ended, other}) == 4

    def change(token: str, **values: Any) -> None:
        with transaction(engine) as tx:
            row = update(ConsoleSession).where(ConsoleSession.token_sha256 == token_hash(token))
            tx.execute(row.values(**values))

    change(idle, last_seen_at=utc_now() - timedelta(minutes=61))
    change(old, ends_at=utc_now())
    with transaction(engine) as tx:
        found = console_sessions.find_session(tx, token_hash(ended))
        assert found is not None
        assert console_sessions.end_session(tx, found.session_id)
        assert not console_sessions.end_session(tx, found.session_id)
    assert [stands(engine, token) for token in (idle, old, ended, other)] == [False, False, False, True]


def test_an_accounts_sessions_and_screens_end_with_its_password_and_itself(engine: Engine, anna: str) -> None:
    with transaction(engine) as tx:
        accounts.add_account(tx, "bert", ConsoleRole.OPERATOR)
    for act in ("password", "disable"):
        hers, screen, his = opened(engine, anna), opened(engine, None, by="bert"), opened(engine, "bert")
        with transaction(engine) as tx:
            bert = accounts.get_account(tx, "bert")
            if act == "password":
                accounts.set_password(tx, bert, "hash")
            else:
                accounts.set_disabled(tx, bert, True)
        assert [stands(engine, token) for token in (hers, screen, his)] == [True, False, False], act


def test_a_role_counts_at_once_in_sessions_under_way(engine: Engine) -> None:
    with transaction(engine) as tx:
        accounts.add_account(tx, "bert", ConsoleRole.OPERATOR)
    token = opened(engine, "bert")
    with transaction(engine) as tx:
        accounts.set_role(tx, accounts.get_account(tx, "bert"), ConsoleRole.VIEWER)
    with reading(engine) as tx:
        found = console_sessions.find_session(tx, token_hash(token))
    assert found is not None
    assert found.role is ConsoleRole.VIEWER


def test_rows_of_sessions_long_over_go(engine: Engine, anna: str) -> None:
    opened(engine, anna)
    with transaction(engine) as tx:
        tx.execute(update(ConsoleSession).values(ends_at=utc_now() - timedelta(days=31)))
    opened(engine, anna)
    with reading(engine) as tx:
        assert len(tx.scalars(select(ConsoleSession)).all()) == 1


def passkey(credential: str) -> Passkey:
    facts = {"public_key": b"\x01", "sign_count": 2**32 - 1, "host": "localhost", "label": " ", "created_at": utc_now()}
    return Passkey(credential=credential, last_used_at=None, **facts)


def test_passkeys_are_one_accounts_and_not_without_number(engine: Engine, anna: str) -> None:
    with transaction(engine) as tx:
        account = accounts.get_account(tx, anna)
        for number in range(passkeys.MOST):
            passkeys.add_passkey(tx, account, passkey(f"key-{number}"))
        with pytest.raises(StateConflict, match="remove one"):
            passkeys.add_passkey(tx, account, passkey("one more"))
        bert = accounts.add_account(tx, "bert", ConsoleRole.VIEWER)
        with pytest.raises(AlreadyThere):
            passkeys.add_passkey(tx, bert, passkey("key-0"))
        first = passkeys.passkeys_of(tx, account)[0]
        with pytest.raises(NotFound):
            passkeys.remove_passkey(tx, bert, first.id)
        passkeys.remove_passkey(tx, account, first.id)
        assert passkeys.find_passkey(tx, "key-0") is None
        assert passkeys.find_passkey(tx, "key-1") is not None


def test_a_thread_goes_on_as_the_person_who_began_it() -> None:
    from threading import Thread

    from db.audit.audit_log import actor

    heard: list[str] = []
    with acting_as("anna"):
        taken, plain = carried(lambda: heard.append(actor())), lambda: heard.append(actor())
    for work in (taken, plain):
        thread = Thread(target=work)
        thread.start()
        thread.join()
    assert heard[0] == "anna"
    assert heard[1] != "anna"


def test_an_account_that_is_new_opens_by_nothing(engine: Engine) -> None:
    with transaction(engine) as tx:
        accounts.add_account(tx, "anna", ConsoleRole.MANAGER)
    with reading(engine) as tx:
        account = tx.scalar(select(Account))
        assert account is not None
        assert (account.password, len(account.handle), account.passkeys) == (None, 64, [])
