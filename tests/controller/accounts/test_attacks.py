"""What somebody without the right to it may try at the console, tried against a served one, and refused."""

import json
import re
import socket
import statistics
import threading
import time
from contextlib import ExitStack, suppress
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from mien_tests_db_fixtures import events_about
from patience import until
from sqlalchemy import func, select, update

from controller.accounts.browser_sessions import csrf_token
from controller.accounts.gate import BODY_LIMIT, OPEN_BODY_LIMIT, STREAMS_ALL, STREAMS_EACH
from controller.accounts.rate_limits import FREE_ACCOUNT, RequestLimit
from db.accounts import accounts
from db.engine import reading, transaction, utc_now
from db.models import AuditEvent, ConsoleSession

PASSWORD = "rope tango seven lamp"
OWNERS = "token-of-the-homes-owner"
OWNER = {"Authorization": f"Bearer {OWNERS}"}


def cookie_of(answer: httpx.Response) -> str:
    return str(answer.cookies.get("mien-session") or "")


def test_without_a_cookie_nothing_is_told(console: Any) -> None:
    for path in ("/", "/account", "/api/rig", "/api/accounts", "/stream", "/api/nothing", f"/sheets/{'0' * 64}.jpg"):
        assert console.ask("GET", path).status_code == 401
        turned = console.ask("GET", path, headers={"Accept": "text/html"})
        assert turned.status_code == (401 if path.startswith(("/api", "/stream")) else 303)
        assert len(turned.content) < 200
    for cookie in ("x", "0" * 43, "a" * 5000, "%00", '"', "ä"):
        answer = console.ask("GET", "/api/rig", headers={"Cookie": b"mien-session=" + cookie.encode()})
        assert answer.status_code == 401, cookie
    good = console.session()
    for cookies in (f"mien-session={good}; mien-session={good}", f"mien-session=x; mien-session={good}"):
        assert console.ask("GET", "/api/rig", headers={"Cookie": cookies}).status_code == 401
    assert console.ask("GET", "/api/rig", good).status_code == 200


def test_each_role_may_do_its_own_and_no_more(console: Any) -> None:
    viewer, operator, manager = (console.session(role, role) for role in ("viewer", "operator", "manager"))
    screen = console.session("")
    commands = [
        ("GET", "/api/rig", {viewer, operator, manager}),
        ("POST", "/api/preflight", {operator, manager}),
        ("POST", "/api/rig/view/end", {operator, manager}),
        ("GET", "/api/accounts", {manager}),
        ("POST", "/api/accounts/viewer/sign-out", {manager}),
        ("GET", "/api/me", {screen, viewer, operator, manager}),
        ("GET", "/", {viewer, operator, manager}),
    ]
    for method, path, allowed in commands:
        for session in (screen, viewer, operator, manager):
            options = {} if method == "GET" else {"json": {}}
            answer = console.ask(method, path, session, **options)
            assert (answer.status_code == 403) == (session not in allowed), (path, answer.text)


def test_a_command_of_another_page_is_refused(console: Any) -> None:
    mine, other = console.session("anna"), console.session("bert")
    path, body = "/api/rig/view/end", {"json": {}}
    assert console.ask("POST", path, mine, **body).status_code == 200
    refused = [
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": csrf_token(other)},
        {"X-CSRF-Token": mine},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://localhost:{console.port + 1}"},
        {"Origin": f"https://localhost:{console.port}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "", "Sec-Fetch-Site": ""},
    ]
    for headers in refused:
        assert console.ask("POST", path, mine, headers=headers, **body).status_code == 403, headers
    form = {"content": b'{"cameras":[]}', "headers": {"Content-Type": "text/plain"}}
    assert console.ask("POST", path, mine, **form).status_code == 422
    foreign = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    console.account("carl", password=PASSWORD)
    assert console.sign_in("carl", PASSWORD, headers=foreign).status_code == 403  # nor is anybody signed in from there


def test_another_name_of_this_machine_is_turned_away(console: Any) -> None:
    session = console.session()
    for host in (
        "evil.example",
        f"evil.example:{console.port}",
        "127.0.0.1.evil.example",
        "localhost.",
        "",
        "localhost@x",
    ):
        with socket.create_connection(("127.0.0.1", console.port)) as raw:
            head = f"GET /api/rig HTTP/1.1\r\nHost: {host}\r\nCookie: mien-session={session}\r\n"
            raw.sendall((head + "X-Forwarded-Host: localhost\r\nConnection: close\r\n\r\n").encode())
            assert raw.recv(64).split()[1] == b"400", host
    assert console.ask("GET", "/api/rig", session, headers={"Host": f"127.0.0.1:{console.port}"}).status_code == 200


def raw_status(console: Any, path: str, session: str) -> tuple[int, bytes]:
    """The path as it is written, which no client has tidied."""
    with socket.create_connection(("127.0.0.1", console.port), timeout=20) as raw:
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: mien-session={session}\r\nConnection: close\r\n\r\n"
        raw.sendall(head.encode("latin-1"))
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    return int(answer.split()[1]), answer


TRICKS = [
    "/static/../../../app.py",
    "/static/..%2f..%2f..%2fapp.py",
    "/static/%2e%2e/%2e%2e/page_routes.py",
    "/static//etc/passwd",
    "/static/....//....//etc/passwd",
    "/static/..%5c..%5cpage_routes.py",
    "/static/%00",
    "/static/views/../../page_routes.py",
    "/static",
    "/static/",
    "/static/vendor",
    "/pictures/thumbnails/..%2f..%2fstudio.sqlite.jpg",
    "/pictures/thumbnails/../../../etc/passwd",
    f"/pictures/photographs/{'0' * 64}.jpg",
    f"/pictures/photographs/{'G' * 64}.jpg",
    f"/pictures/photographs/{'0' * 63}%00.jpg",
    "/pictures/photographs/studio.sqlite",
    f"/sheets/{'0' * 64}.jpg",
    "/sheets/..%2f..%2fconsole.json",
    "/api/../etc/passwd",
    "/api/sessions/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/openapi.json",
    "/docs",
]


@pytest.mark.parametrize("whose", ["", "anna"])
def test_no_trick_in_an_address_reaches_a_file(console: Any, whose: str) -> None:
    session = console.session(whose) if whose else ""
    for path in TRICKS:
        status, answer = raw_status(console, path, session)
        assert 400 <= status < 500, (path, status)
        assert b"root:" not in answer
        assert b"SQLite" not in answer
        assert b"import" not in answer


def test_nothing_long_is_read_of_whom_nobody_knows(console: Any) -> None:
    def endless() -> Any:
        for _ in range(3000):
            nonlocal sent
            sent += 65536
            yield bytes(65536)

    session = console.session()
    for path, cookie, status in (
        ("/api/preflight", "", 401),
        ("/sign-in/password", "", 413),
        ("/api/preflight", session, 413),
    ):
        sent = 0
        with suppress(httpx.TransportError):  # it was hung up on while it still sent
            assert console.ask("POST", path, cookie, content=endless()).status_code == status
        assert sent < 50_000_000
    for path, cookie, most in (("/sign-in/password", "", OPEN_BODY_LIMIT), ("/api/preflight", session, BODY_LIMIT)):
        announced = {"Content-Length": str(most + 1), "Content-Type": "application/json"}
        assert console.ask("POST", path, cookie, content=b"x" * (most + 1), headers=announced).status_code == 413


def test_a_thousand_streams_do_not_stop_the_console(console: Any) -> None:
    session, other = console.session(), console.session("bert")
    head = "GET /stream HTTP/1.1\r\nHost: localhost\r\nCookie: mien-session={}\r\n\r\n"
    answered: list[bytes] = []
    with ExitStack() as held:
        for _ in range(1000):
            raw = held.enter_context(socket.create_connection(("127.0.0.1", console.port), timeout=20))
            try:
                raw.sendall(head.format(session).encode())
            except ConnectionError:
                continue
            if len(answered) < 3 * STREAMS_EACH:
                try:
                    answered.append(raw.recv(15).split()[1])
                except (ConnectionError, IndexError):
                    answered.append(b"gone")
        assert answered.count(b"200") == STREAMS_EACH
        assert answered.count(b"429") >= STREAMS_EACH
        began = time.monotonic()
        with httpx.stream("GET", console.url + "/stream", headers={"Cookie": f"mien-session={other}"}) as stream:
            assert stream.status_code == 200  # another person's page
            assert next(stream.iter_lines())
        assert console.ask("GET", "/api/rig", other).status_code == 200
        assert time.monotonic() - began < 10
    assert STREAMS_EACH < STREAMS_ALL


def test_a_sign_in_takes_up_no_session_that_was_there(console: Any) -> None:
    console.account("anna", password=PASSWORD)
    planted = "A" * 43
    answer = console.sign_in("anna", PASSWORD, session=planted, headers={"X-CSRF-Token": ""})
    first = cookie_of(answer)
    assert first not in ("", planted)
    cookie = answer.headers["set-cookie"].lower()
    assert all(part in cookie for part in ("httponly", "samesite=strict", "path=/"))
    assert "domain" not in cookie
    second = cookie_of(console.sign_in("anna", PASSWORD, session=first, headers={"X-CSRF-Token": ""}))
    assert second not in ("", first)
    statuses = [console.ask("GET", "/api/me", cookie).status_code for cookie in (planted, first, second)]
    assert statuses == [401, 401, 200]


def test_a_session_opens_nothing_after_its_end(console: Any) -> None:
    signed_out, idle, over, disabled, changed = (console.session(name) for name in ("a1", "a2", "a3", "a4", "a5"))
    console.session("boss", "manager")
    boss = console.session("boss")
    assert console.ask("POST", "/api/me/sign-out", signed_out, json={}).status_code == 200
    assert console.ask("POST", "/api/accounts/a4/disable", boss, json={}).status_code == 200
    with transaction(console.studio.engine) as tx:
        accounts.set_password(tx, accounts.get_account(tx, "a5"), "another")
        ids = {name: accounts.get_account(tx, name).id for name in ("a2", "a3")}
        for name, values in (
            ("a2", {"last_seen_at": utc_now() - timedelta(hours=2)}),
            ("a3", {"ends_at": utc_now() - timedelta(seconds=1)}),
        ):
            tx.execute(update(ConsoleSession).where(ConsoleSession.account_id == ids[name]).values(**values))
    for session in (signed_out, disabled):  # at once
        assert console.ask("GET", "/api/me", session).status_code == 401
    for session in (idle, over, changed):  # by the records, which another process may have changed
        until(lambda session=session: console.ask("GET", "/api/me", session).status_code == 401, "it still stood")


def test_a_stream_ends_with_its_session(console: Any) -> None:
    session = console.session()
    ended = threading.Event()

    def listen() -> None:
        with httpx.stream(
            "GET", console.url + "/stream", headers={"Cookie": f"mien-session={session}"}, timeout=30
        ) as s:
            for _ in s.iter_lines():
                heard.set()
        ended.set()

    heard = threading.Event()
    thread = threading.Thread(target=listen)
    thread.start()
    assert heard.wait(20)
    assert console.ask("POST", "/api/me/sign-out", session, json={}).status_code == 200
    assert ended.wait(20)
    thread.join()


def test_guessing_is_slowed_and_keeps_nobody_out(console: Any) -> None:
    console.account("gerda", password=PASSWORD)
    statuses = [console.sign_in("gerda", f"wrong password {number}").status_code for number in range(FREE_ACCOUNT + 3)]
    assert statuses[:FREE_ACCOUNT] == [401] * FREE_ACCOUNT
    assert set(statuses[FREE_ACCOUNT:]) == {429}
    refused = console.sign_in("gerda", PASSWORD)  # the right one must wait too, or a guess would be known by it
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 30
    console.account("bert", password=PASSWORD)
    assert console.sign_in("bert", PASSWORD).status_code == 200
    until(lambda: console.sign_in("gerda", PASSWORD).status_code == 200, "she was kept out")
    with reading(console.studio.engine) as tx:
        actions = [entry.action for entry in events_about(tx, "account", "gerda")]
    assert actions.count("account.sign_in.refused") == FREE_ACCOUNT
    assert actions[-1] == "account.sign_in"


def test_nobody_learns_who_has_an_account(console: Any) -> None:
    console.account("anna", password=PASSWORD)
    console.account("nora")  # has no password yet
    console.account("dora", password=PASSWORD)
    with transaction(console.studio.engine) as tx:
        accounts.add_account(tx, "boss", accounts.person_role("manager"))
        accounts.set_disabled(tx, accounts.get_account(tx, "dora"), True)
        before = tx.scalar(select(func.max(AuditEvent.id))) or 0
    names = ("anna", "nora", "dora", "nobody", "a b", "")
    answers = {name: console.sign_in(name, "not the password") for name in names}
    assert {answer.status_code for answer in answers.values()} == {401}
    assert len({answer.text for answer in answers.values()}) == 1
    assert console.sign_in("dora", PASSWORD).status_code == 401
    with reading(console.studio.engine) as tx:
        refused = select(AuditEvent).where(AuditEvent.id > before, AuditEvent.action == "account.sign_in.refused")
        about = {entry.about_id for entry in tx.scalars(refused)}
    assert about == {"anna", "nora", "dora", "unknown"}  # a name of nobody's may be a password


def test_an_unknown_name_takes_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    from argon2 import PasswordHasher

    from controller.accounts import passwords

    monkeypatch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1))
    passwords._nobodys.cache_clear()
    hashed = passwords.new_hash(PASSWORD, "anna")
    passwords.matches(None, "first of all")
    spent: dict[str | None, list[float]] = {hashed: [], None: []}
    for _ in range(15):
        for kept, times in spent.items():
            began = time.process_time()
            assert not passwords.matches(kept, "not the password")
            times.append(time.process_time() - began)
    known, unknown = (statistics.median(times) for times in (spent[hashed], spent[None]))
    assert 0.5 < unknown / known < 2, (known, unknown)


def test_the_sign_in_leads_nowhere_else(console: Any) -> None:
    for path in ("//evil.example", "/account", "/%2f/evil.example", "/\\evil.example"):
        turned = console.ask("GET", path, headers={"Accept": "text/html"})
        where = turned.headers.get("location", "/sign-in")
        assert re.fullmatch(r"/sign-in(\?next=[\w%.-]+)?", where), where
    page = console.ask("GET", "/sign-in?next=https://evil.example/")
    assert page.status_code == 200
    assert "evil" not in page.text


def test_a_link_that_is_guessed_or_used_opens_nothing(console: Any) -> None:
    token = console.studio.accounts.first_link()
    given = {"name": "anna", "password": PASSWORD}
    for wrong in ("", "x", token[:-1], token + "x", token.swapcase()):
        assert console.ask("POST", "/sign-in/link", json={"token": wrong, **given}).status_code in (401, 422)
    weak = console.ask("POST", "/sign-in/link", json={"token": token, "name": "anna", "password": "short"})
    assert (weak.status_code, cookie_of(weak)) == (422, "")
    opened = console.ask("POST", "/sign-in/link", json={"token": token, **given})
    assert opened.json() == {"person": "anna", "role": "manager"}
    again = console.ask("POST", "/sign-in/link", json={"token": token, "name": "mallory", "password": PASSWORD})
    assert (again.status_code, cookie_of(again)) == (422, "")
    assert console.studio.accounts.first_link() is None
    assert console.ask("GET", "/api/accounts", cookie_of(opened)).json()["accounts"][0]["name"] == "anna"


def test_a_screen_sees_its_own_page_alone(console: Any) -> None:
    operator = console.session()
    link = console.ask("POST", "/api/me/screen", operator, json={}).json()["link"]
    assert console.ask("POST", "/api/me/screen", console.session("", ""), json={}).status_code == 403
    screen = cookie_of(console.ask("POST", "/sign-in/link", json={"token": link.partition("#")[2]}))
    me = console.ask("GET", "/api/me", screen).json()
    assert (me["role"], me["account"]) == ("screen", None)
    assert console.ask("GET", "/subject", screen).status_code == 200
    assert console.ask("POST", "/api/subject-screen/stop", screen, json={}).json() == {"paused": None}
    for path in (
        "/",
        "/stream",
        "/pictures/photographs/x.jpg",
        "/api/rig",
        "/api/sessions",
        "/api/accounts",
        "/account",
        "/metrics",
    ):
        assert console.ask("GET", path, screen).status_code == 403, path
    for path in ("/api/preflight", "/api/rig/view", "/api/me/screen", "/api/me/password", "/api/me/passkeys/ask"):
        assert console.ask("POST", path, screen, json={}).status_code == 403, path


def test_what_is_done_is_in_the_audit_log_under_who_did_it(subject: str, console: Any) -> None:
    for session in (console.session("anna"), console.session("bert")):
        who = console.ask("GET", "/api/me", session).json()["person"]
        begun = console.studio.start_session(subject)
        assert console.ask("POST", f"/api/sessions/{begun}/pause", session, json={}).status_code == 200
        assert (
            console.ask("POST", f"/api/sessions/{begun}/close", session, json={"incomplete": True}).status_code == 200
        )
        with reading(console.studio.engine) as tx:
            entries = {entry.action: entry.actor for entry in events_about(tx, "session", begun)}
        assert (entries["session.pause"], entries["session.close"]) == (who, who)
        assert entries["session.start"] not in ("anna", "bert")  # this test, by its own user


def test_every_answer_forbids_what_a_page_has_no_need_of(console: Any) -> None:
    session = console.session("anna", "manager")
    answers = [console.ask("GET", path, session) for path in ("/", "/account", "/api/rig", "/api/nothing")]
    answers += [console.ask("GET", path) for path in ("/sign-in", "/link", "/static/app.js", "/api/rig")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cache-control"] == ("no-cache" if "app.js" in str(answer.url) else "no-store")
        assert "strict-transport-security" not in answer.headers  # on loopback there is no TLS
        assert "server" not in answer.headers or "uvicorn" in answer.headers["server"]
    for page in (answer.text for answer in answers if "html" in answer.headers["content-type"]):
        assert not re.search(r"<style|style=|<script(?![^>]*src=)|\son\w+=|https?://", page)


@pytest.fixture
def one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """All requests come at once, however long this machine takes to ask."""
    monkeypatch.setattr("controller.accounts.gate.RequestLimit", partial(RequestLimit, clock=lambda: 0.0))


@pytest.mark.slow
@pytest.mark.usefixtures("one_moment")
def test_too_much_of_one_session_leaves_others_theirs(console: Any) -> None:
    busy, calm = console.session("anna"), console.session("bert")
    with httpx.Client(
        headers={"Cookie": f"mien-session={busy}"} | console.own | {"X-CSRF-Token": csrf_token(busy)}
    ) as page:
        statuses = [page.post(console.url + "/api/me/active", json={}).status_code for _ in range(70)]
    assert set(statuses) == {200, 429}
    assert statuses.index(429) == 60
    assert console.ask("POST", "/api/me/active", calm, json={}).status_code == 200
    assert console.ask("GET", "/api/rig", headers=OWNER).status_code == 200


@pytest.mark.usefixtures("one_moment")
def test_a_flood_by_nobody_keeps_nobody_out_who_is_in(console: Any) -> None:
    session = console.session("anna")
    assert console.ask("GET", "/api/me", session).status_code == 200
    with httpx.Client() as client:
        statuses = {client.get(console.url + "/api/rig").status_code for _ in range(210)}
    assert statuses == {401, 429}
    console.studio.accounts.sessions.forget()  # as with each sign-in of somebody
    assert console.ask("GET", "/api/me", session).status_code == 200
    assert console.ask("GET", "/api/rig", headers=OWNER).status_code == 200


def test_the_owners_token_is_shown_in_its_header_alone(console: Any) -> None:
    assert console.ask("GET", "/api/rig", headers=OWNER).status_code == 200
    assert console.ask("GET", f"/api/rig?token={OWNERS}").status_code == 401
    for given in (f"bearer {OWNERS}", f"Bearer {OWNERS}x", f"Bearer {OWNERS[:-1]}", f"Basic {OWNERS}", "Bearer"):
        assert console.ask("GET", "/api/rig", headers={"Authorization": given}).status_code == 401
    good = console.session()
    assert console.ask("GET", "/api/rig", good, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert json.loads(console.ask("GET", "/api/me", headers=OWNER).text)["role"] == "manager"


def acts(console: Any, session: str, action: str) -> int:
    with reading(console.studio.engine) as tx:
        return [entry.action for entry in events_about(tx, "session", session)].count(action)


def test_a_command_that_is_replayed_is_done_once_and_a_stale_one_never(subject: str, console: Any) -> None:
    anna, bert = console.session("anna"), console.session("bert")
    begun = console.studio.start_session(subject)
    path, key = f"/api/sessions/{begun}/pause", {"Idempotency-Key": "k-1"}
    answers = [console.ask("POST", path, anna, json={}, headers=key) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert acts(console, begun, "session.pause") == 1
    other = console.ask("POST", f"/api/sessions/{begun}/resume", anna, json={}, headers=key)
    assert other.status_code == 422  # the same key for another command
    assert acts(console, begun, "session.resume") == 0
    assert (
        console.ask("POST", path, bert, json={}, headers=key).status_code == 422
    )  # a key is its person's: done, refused
    viewer = console.session("vera", "viewer")
    assert console.ask("POST", path, viewer, json={}, headers=key).status_code == 403
    stale = {"X-Issued-At": str(round(time.time() * 1000) - 6000)}
    refused = console.ask("POST", f"/api/sessions/{begun}/resume", anna, json={}, headers=stale)
    assert refused.status_code == 409
    assert acts(console, begun, "session.resume") == 0
    signed_out = {"Idempotency-Key": "k-2"}
    assert console.ask("POST", f"/api/sessions/{begun}/resume", anna, json={}, headers=signed_out).status_code == 200
    assert console.ask("POST", "/api/me/sign-out", anna, json={}).status_code == 200
    assert console.ask("POST", f"/api/sessions/{begun}/resume", anna, json={}, headers=signed_out).status_code == 401
    console.studio.close(begun, incomplete=True)
