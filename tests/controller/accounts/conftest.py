"""A console that is served on loopback, people with accounts, and browsers that are signed in as them."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import httpx
import pytest
import uvicorn
from argon2 import PasswordHasher
from patience import until
from sqlalchemy import delete

from controller.accounts import passwords
from controller.accounts.accounts_desk import AccountsDesk
from controller.accounts.browser_sessions import csrf_token
from controller.api.app import make_console
from controller.api.connection_limits import server_options
from controller.api.server import ConsoleServer
from controller.rig_file import CameraEntry, Rig
from controller.studio import Studio
from controller.studio_settings import StudioSettings
from db.accounts import accounts, console_sessions
from db.engine import transaction
from db.models import Account, ConsentScope, ConsoleRole, ConsoleSession, OneTimeLink, Passkey
from db.settings import Settings
from db.subjects import add_subject, give_consent

OWNERS = "token-of-the-homes-owner"


@pytest.fixture(autouse=True)
def light_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """argon2id as ever, with little work: what is tried here is who gets in, not how long a guess takes."""
    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1))
    passwords._nobodys.cache_clear()
    yield
    passwords._nobodys.cache_clear()


@dataclass
class Console:
    """A served console."""

    studio: Studio
    port: int

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def own(self) -> dict[str, str]:
        """What a browser sends with a command of a page of this console."""
        return {"Origin": self.url, "Sec-Fetch-Site": "same-origin"}

    def account(self, name: str, role: str = "operator", password: str | None = None) -> None:
        with transaction(self.studio.engine) as tx:
            made = accounts.find_account(tx, name) or accounts.add_account(tx, name, ConsoleRole(role))
            if password is not None:
                made.password = passwords.new_hash(password, name)

    def session(self, name: str = "anna", role: str = "operator") -> str:
        """The cookie of a new session of this account; name "": of a screen."""
        if name:
            self.account(name, role)
        with transaction(self.studio.engine) as tx:
            account = accounts.get_account(tx, name) if name else None
            return console_sessions.open_session(tx, account, name or "anna")[0]

    def ask(self, method: str, path: str, session: str = "", **options: Any) -> httpx.Response:
        """As a page of the console would: with the session's cookie and its token, from its own origin.

        headers: further ones, or others in their place; "" leaves one out.
        """
        headers = {}
        if session:
            headers["Cookie"] = f"mien-session={session}"
        if method != "GET":
            headers |= self.own | ({"X-CSRF-Token": csrf_token(session)} if session else {})
        headers |= options.pop("headers", {})
        given = {name: value for name, value in headers.items() if value != ""}
        return httpx.request(method, self.url + path, headers=given, timeout=30, **options)

    def sign_in(self, name: str, password: str, **options: Any) -> httpx.Response:
        return self.ask("POST", "/sign-in/password", json={"name": name, "password": password}, **options)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A studio that is running, for all tests of a module: each has accounts and a console of its own."""
    home = tmp_path_factory.mktemp("accounts") / "studio"
    records = Settings(home, f"sqlite:///{home / 'studio.sqlite'}", str(home / "store"))
    rig = Rig("rig-of-accounts", (CameraEntry("cam-00", 0), CameraEntry("cam-01", 1)))
    settings = StudioSettings(records, rig, control="tcp://127.0.0.1:*", bulk="tcp://127.0.0.1:*")
    with Studio(settings) as running:
        yield running


@pytest.fixture
def subject(studio: Studio) -> str:
    """A subject who consents, by code."""
    with transaction(studio.engine) as tx:
        added = add_subject(tx)
        give_consent(tx, added, ConsentScope.RESEARCH_RELEASE, date(2026, 1, 2))
        return added.code


@pytest.fixture
def console(studio: Studio) -> Iterator[Console]:
    with transaction(studio.engine) as tx:
        for table in (ConsoleSession, OneTimeLink, Passkey, Account):
            tx.execute(delete(table))
    studio.accounts = AccountsDesk(studio.engine)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        app = make_console(studio, OWNERS)
        config = uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=5, **server_options())
        server = ConsoleServer(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        until(lambda: server.started, "the console was not served")
        try:
            yield Console(studio, port)
        finally:
            server.should_exit = True
            thread.join(20)
