"""What is done about accounts: by a manager about others, by everybody about the own one, each act under its person."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from controller.accounts import passkey_ceremonies, passwords
from controller.accounts.browser_sessions import BrowserSessions
from controller.accounts.passkey_ceremonies import Place
from controller.accounts.roles import Visitor
from controller.accounts.sign_in import SignIn
from controller.errors import SessionError
from db.accounts import accounts, console_sessions, one_time_links, passkeys
from db.audit import audit_log
from db.engine import reading, transaction
from db.models import Account, ConsoleRole, LinkKind


@dataclass(frozen=True)
class PasskeyFacts:
    """A passkey, for people."""

    number: int
    label: str
    host: str
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True)
class AccountFacts:
    """An account, for people: nothing that opens it."""

    name: str
    role: ConsoleRole
    disabled: bool
    password: bool  # whether it has one
    passkeys: tuple[PasskeyFacts, ...]


class AccountsDesk:
    """Accounts of one studio, its sign-ins and sessions. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.sessions = BrowserSessions(engine)
        self.sign_in = SignIn(engine, self.sessions)

    # --- a manager's

    def all(self) -> list[AccountFacts]:
        """By name."""
        with reading(self._engine) as tx:
            return [_facts(account) for account in accounts.list_accounts(tx)]

    def add(self, name: str, role: ConsoleRole) -> str:
        """A new account, and the token of the link by which its person chooses a password."""
        with transaction(self._engine) as tx:
            return one_time_links.make_link(tx, LinkKind.ACCOUNT, accounts.add_account(tx, name, role))

    def link(self, name: str) -> str:
        """Another link: for who has forgotten the password."""
        with transaction(self._engine) as tx:
            return one_time_links.make_link(tx, LinkKind.ACCOUNT, accounts.get_account(tx, name))

    def first_link(self) -> str | None:
        """The token of the link to a studio's first account; None where there is a manager."""
        with transaction(self._engine) as tx:
            return None if accounts.has_manager(tx) else one_time_links.make_link(tx, LinkKind.FIRST)

    def set_role(self, name: str, role: ConsoleRole) -> None:
        """From now on."""
        with transaction(self._engine) as tx:
            accounts.set_role(tx, accounts.get_account(tx, name), role)
        self.sessions.forget()

    def set_disabled(self, name: str, disabled: bool) -> None:
        """Nobody signs in to it any more, and who is signed in is out; or it is in use again."""
        with transaction(self._engine) as tx:
            accounts.set_disabled(tx, accounts.get_account(tx, name), disabled)
        self.sessions.forget()

    def sign_out_everywhere(self, name: str) -> int:
        """End an account's sessions and the screens that it let in; how many there were."""
        with transaction(self._engine) as tx:
            account = accounts.get_account(tx, name)
            ended = console_sessions.end_sessions_of(tx, account)
            audit_log.record(tx, "account.sign_out", accounts.KIND, account.name, {"sessions": ended})
        self.sessions.forget()
        return ended

    # --- an operator's

    def screen_link(self) -> str:
        """The token of a link that makes a browser the subject's screen."""
        with transaction(self._engine) as tx:
            return one_time_links.make_link(tx, LinkKind.SCREEN)

    # --- everybody's own

    def own(self, visitor: Visitor) -> AccountFacts | None:
        """None for who has no account: the home's owner by the token, a screen."""
        if visitor.account_id is None:
            return None
        with reading(self._engine) as tx:
            return _facts(accounts.get_account(tx, visitor.person))

    def sign_out(self, visitor: Visitor) -> None:
        """End this session; nothing for who came by the token."""
        if visitor.session_id is None:
            return
        with transaction(self._engine) as tx:
            console_sessions.end_session(tx, visitor.session_id)
            about = visitor.person[:64]
            audit_log.record(tx, "account.sign_out", accounts.KIND, about, {"sessions": 1})
        self.sessions.forget()

    def change_password(self, visitor: Visitor, former: str, wanted: str, address: str) -> str:
        """Another password, every session ends, and the token of a new one. Raises SignInRefused, PasswordRefused."""
        name = _own_name(visitor)
        hashed = passwords.new_hash(wanted, name)
        self.sign_in.by_password(name, former, address, visitor.session_id)
        with transaction(self._engine) as tx:
            account = accounts.get_account(tx, name)
            accounts.set_password(tx, account, hashed)
            token, _ = console_sessions.open_session(tx, account, name)
        self.sessions.forget()
        return token

    def ask_passkey(self, visitor: Visitor, place: Place) -> dict[str, Any]:
        """What a browser's authenticator is to make. Raises PasskeyRefused."""
        with reading(self._engine) as tx:
            account = accounts.get_account(tx, _own_name(visitor))
            present = passkeys.passkeys_of(tx, account)
            return passkey_ceremonies.ask_to_make(self.sign_in.challenges, place, account, present)

    def add_passkey(self, visitor: Visitor, place: Place, answer: Mapping[str, Any], label: str) -> None:
        """Keep the passkey that the browser made. Raises PasskeyRefused, AlreadyThere, StateConflict."""
        with transaction(self._engine) as tx:
            account = accounts.get_account(tx, _own_name(visitor))
            made = passkey_ceremonies.made(self.sign_in.challenges, place, account, answer, label)
            passkeys.add_passkey(tx, account, made)

    def remove_passkey(self, visitor: Visitor, number: int) -> None:
        """Raises NotFound."""
        with transaction(self._engine) as tx:
            passkeys.remove_passkey(tx, accounts.get_account(tx, _own_name(visitor)), number)


def _own_name(visitor: Visitor) -> str:
    if visitor.account_id is None:
        raise SessionError(f"{visitor.person} has no account here: sign in with one")
    return visitor.person


def _facts(account: Account) -> AccountFacts:
    keys = tuple(
        PasskeyFacts(key.id, key.label, key.host, key.created_at, key.last_used_at) for key in account.passkeys
    )
    return AccountFacts(account.name, account.role, account.disabled_at is not None, bool(account.password), keys)
