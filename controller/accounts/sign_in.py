"""Ways in: a password, a passkey, a link that works once. Each opens a session with a token that nobody had before."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from controller.accounts import passkey_ceremonies, passwords
from controller.accounts.browser_sessions import BrowserSessions
from controller.accounts.passkey_ceremonies import Challenges, PasskeyRefused, Place
from controller.accounts.rate_limits import SignInThrottle
from controller.errors import ControllerError
from db.accounts import accounts, console_sessions, one_time_links, passkeys
from db.audit import audit_log
from db.audit.acting_person import acting_as
from db.engine import reading, transaction
from db.models import Account, ConsoleRole, LinkKind

log = logging.getLogger(__name__)

WRONG = "Name or password is wrong"  # and never which


class SignInRefused(ControllerError):
    """A name, password or passkey that is wrong. The message says the same of each."""

    exit_code = 2


class TooManyTries(SignInRefused):
    """Another try must wait; wait_s: how long."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"Too many tries: the next one in {max(1, round(wait_s))} s")
        self.wait_s = wait_s


@dataclass(frozen=True)
class SignedIn:
    """A session that was opened."""

    token: str  # for the cookie, and nowhere else
    person: str
    role: ConsoleRole


@dataclass(frozen=True)
class LinkFacts:
    """What a link would open."""

    kind: LinkKind
    role: ConsoleRole
    name: str | None  # the account's; None where one is to be chosen


class SignIn:
    """Sign-ins of one studio. Thread-safe. address: where the browser is, for the limits."""

    def __init__(self, engine: Engine, sessions: BrowserSessions) -> None:
        self._engine = engine
        self._sessions = sessions
        self._throttle = SignInThrottle()
        self.challenges = Challenges()

    def by_password(self, name: str, password: str, address: str, former: int | None = None) -> SignedIn:
        """former: the browser's session until now, which ends. Raises SignInRefused, TooManyTries, SignInBusy."""
        name = name.strip().lower()[:100]
        self._begin(name, address)
        with reading(self._engine) as tx:
            account = accounts.find_account(tx, name)
            hashed = None if account is None or account.disabled_at is not None else account.password
        if not passwords.matches(hashed, password):
            self._failed(account, "password", address)
            raise SignInRefused(WRONG)
        self._throttle.succeeded(name, address)
        anew = passwords.hash_anew(hashed, password)
        with transaction(self._engine) as tx:
            account = accounts.get_account(tx, name)
            if account.disabled_at is not None or account.password != hashed:  # changed this moment
                raise SignInRefused(WRONG)
            if anew is not None:
                account.password = anew
            return self._open(tx, account, "password", former)

    def ask_passkey(self, place: Place) -> dict[str, Any]:
        """What a browser's authenticator is to sign. Raises PasskeyRefused."""
        return passkey_ceremonies.ask_to_sign(self.challenges, place)

    def by_passkey(self, place: Place, answer: Mapping[str, Any], address: str, former: int | None = None) -> SignedIn:
        """Raises PasskeyRefused, TooManyTries."""
        self._begin("", address)
        with transaction(self._engine) as tx:
            key = passkeys.find_passkey(tx, str(answer.get("id", ""))[:1400])
            try:
                count = passkey_ceremonies.signed(self.challenges, place, answer, key)
                if key is None or key.account.disabled_at is not None:
                    raise PasskeyRefused("This passkey opens nothing here")
            except PasskeyRefused:
                account = None if key is None else key.account
            else:
                passkeys.note_used(key, count)
                self._throttle.succeeded("", address)
                return self._open(tx, key.account, "passkey", former)
        self._failed(account, "passkey", address)
        raise PasskeyRefused("This passkey opens nothing here")

    def look_at_link(self, token: str, address: str) -> LinkFacts:
        """What a link would open. Raises NotFound, TooManyTries."""
        self._begin("", address)
        with reading(self._engine) as tx:
            found = one_time_links.look_at_link(tx, token)
            name = None if found.account is None else found.account.name
        self._throttle.succeeded("", address)
        return LinkFacts(found.kind, found.role, name)

    def by_link(self, token: str, name: str, password: str, address: str, former: int | None = None) -> SignedIn:
        """Open a link, with the password that the person has chosen, and the name where it is a studio's first account.

        For the subject's screen there is neither. Raises NotFound, RecordError, PasswordRefused, TooManyTries.
        """
        facts = self.look_at_link(token, address)
        who = (
            facts.name
            if facts.name is not None
            else accounts.account_name(name)
            if facts.kind is LinkKind.FIRST
            else ""
        )
        hashed = "" if facts.kind is LinkKind.SCREEN else passwords.new_hash(password, who)
        with transaction(self._engine) as tx, acting_as(who or None):
            link = one_time_links.use_link(tx, token)
            if link.kind is LinkKind.SCREEN:
                return self._open_screen(tx, link.created_by)
            account = link.account or accounts.add_account(tx, who, ConsoleRole.MANAGER)
            accounts.set_password(tx, account, hashed)
            opened = self._open(tx, account, "link", former)
        self._sessions.forget()
        return opened

    def _begin(self, name: str, address: str) -> None:
        wait_s = self._throttle.begin(name, address)
        if wait_s > 0:
            raise TooManyTries(wait_s)

    def _open(self, tx: Session, account: Account, way: str, former: int | None) -> SignedIn:
        if former is not None:
            console_sessions.end_session(tx, former)
        token, _ = console_sessions.open_session(tx, account, account.name)
        audit_log.record(tx, "account.sign_in", accounts.KIND, account.name, {"way": way}, by=account.name)
        return SignedIn(token, account.name, account.role)

    def _open_screen(self, tx: Session, by: str) -> SignedIn:
        token, session = console_sessions.open_session(tx, None, by)
        audit_log.record(tx, "screen.open", accounts.KIND, by[:64], {"screen": session.id}, by=by)
        return SignedIn(token, f"screen {session.id} of {by}", ConsoleRole.SCREEN)

    def _failed(self, account: Account | None, way: str, address: str) -> None:
        """Into the audit log; without a name that is nobody's: it may be a password in the wrong line."""
        about = "unknown" if account is None else account.name
        log.warning("sign-in refused: %s of %s, from %s", way, about, address)
        with transaction(self._engine) as tx:
            audit_log.record(tx, "account.sign_in.refused", accounts.KIND, about, {"way": way}, by="nobody")
