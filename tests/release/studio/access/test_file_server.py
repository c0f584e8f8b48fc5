"""The gated server as those meet it who hold a token, who hold another's, and who hold none."""

import hashlib
import json
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from mien_tests_db_fixtures import events_about
from sqlalchemy import Engine, select

from db.engine import reading, transaction, utc_now
from db.models import Fetch
from db.release_records.access_grants import get_grant, revoke_grant
from db.release_records.release_holders import Holder, holders_of, releases_named
from processing.release.formats.errors import AccessError, FetchError, ReleaseError
from processing.release.holder.fetch import FetchFilter, FetchResult, TransferSettings, fetch_manifest, fetch_release
from processing.release.holder.token_access import Token, TokenAuth
from processing.release.holder.verify import verify
from processing.release.studio.access import signed_links
from processing.release.studio.access.file_server import RequestLimits
from processing.release.studio.access.server_process import ListenSettings, open_listener

BIG = "mesh/1/1_neutral.ply"
PHOTOGRAPH = "img/1/1_neutral/0.jpg"


@pytest.fixture
def database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """One database is enough: the records have tests of their own on both."""
    shutil.copyfile(sqlite_template, tmp_path / "studio.sqlite")
    return f"sqlite:///{tmp_path / 'studio.sqlite'}"


@pytest.fixture
def release(g: Any, engine: Engine, tmp_path: Path) -> Path:
    return g.make_release(engine, tmp_path / "releases")


@pytest.fixture
def recipient(g: Any, engine: Engine) -> Any:
    return g.make_recipient(engine)


@pytest.fixture
def server(g: Any, engine: Engine, release: Path, tmp_path: Path) -> Iterator[Any]:
    with g.serving(engine, [release], tmp_path / "keys") as running:
        yield running


@pytest.fixture
def get(server: Any) -> Iterator[Callable[..., httpx.Response]]:
    with httpx.Client(base_url=server.url, trust_env=False) as client:

        def ask(path: str, token: str | None = None, **more: Any) -> httpx.Response:
            headers = more.pop("headers", {})
            if token is not None:
                headers["Authorization"] = f"Bearer {token}"
            return client.request(more.pop("method", "GET"), path, headers=headers, **more)

        yield ask


def fetched(server: Any, token: str | None, out: Path, *, path: str = "faces-1", **more: Any) -> FetchResult:
    url = f"{server.url}/{path}"
    return fetch_release(
        url, out, transfer=TransferSettings(wait_s=0.001), auth=TokenAuth(url, Token(token) if token else None), **more
    )


def held(engine: Engine, server: Any) -> list[Holder]:
    server.ledger.flush()
    with reading(engine) as tx:
        return holders_of(tx, releases_named(tx, None).keys())


def test_all_of_it_and_the_ledger_knows(g: Any, engine: Engine, recipient: Any, server: Any, tmp_path: Path) -> None:
    _, token = g.make_grant(engine, recipient)
    got = fetched(server, token, tmp_path / "mine")
    assert (got.files, got.fetched) == (len(g.FILES), len(g.FILES))
    assert verify(tmp_path / "mine").intact
    (one,) = held(engine, server)
    assert (one.recipient, one.release, one.version) == (recipient.code, "faces", 1)
    assert (one.files, one.files_wanted) == (len(g.FILES), len(g.FILES))
    assert one.complete_at is not None
    assert one.bytes == sum(map(len, g.FILES.values()))
    assert (one.network, one.agent) == ("127.0.0.0/24", f"python-httpx/{httpx.__version__}")
    with reading(engine) as tx:
        actions = [event.action for event in events_about(tx, "release", "faces 1")]
    assert actions[-2:] == ["release.fetch", "release.fetched"]


def test_a_fetch_that_is_interrupted_is_held_in_part_then_goes_on(
    g: Any, engine: Engine, recipient: Any, server: Any, get: Any, tmp_path: Path
) -> None:
    _, token = g.make_grant(engine, recipient)
    part = get(f"/faces-1/{BIG}", token, headers={"Range": "bytes=0-99999"})
    assert part.status_code == 206
    assert part.headers["Content-Range"] == f"bytes 0-99999/{len(g.FILES[BIG])}"
    (one,) = held(engine, server)
    assert (one.files, one.complete_at) == (0, None)
    assert 0 < one.bytes < len(g.FILES[BIG])
    place = tmp_path / "mine" / f"{BIG}.part"
    place.parent.mkdir(parents=True)
    place.write_bytes(part.content)
    got = fetched(server, token, tmp_path / "mine")
    assert got.bytes == sum(map(len, g.FILES.values())) - 100_000
    assert verify(tmp_path / "mine").intact
    (one,) = held(engine, server)
    assert one.complete_at is not None
    assert one.bytes == sum(map(len, g.FILES.values()))


def test_the_ledger_goes_on_where_an_earlier_server_was(
    g: Any, engine: Engine, release: Path, recipient: Any, tmp_path: Path
) -> None:
    """Half of a file from one server, half from the next: the file was delivered, in whatever order."""
    _, token = g.make_grant(engine, recipient)
    size = len(g.FILES[BIG])
    for span in (f"bytes={size // 2}-", f"bytes=0-{size // 2 - 1}"):
        with g.serving(engine, [release], tmp_path / "keys") as server:
            url = f"{server.url}/faces-1/{BIG}"
            answer = httpx.get(url, headers={"Authorization": f"Bearer {token}", "Range": span}, trust_env=False)
            assert answer.status_code == 206
    (one,) = held(engine, server)
    assert (one.files, one.bytes) == (1, size)


def test_who_drops_the_connection_has_not_got_the_file(g: Any, engine: Engine, recipient: Any, tmp_path: Path) -> None:
    big = {BIG: bytes(32 << 20), "LICENCE.txt": g.LICENCE_TEXT}  # more than buffers hold
    folder = g.make_release(engine, tmp_path / "r", big)
    _, token = g.make_grant(engine, recipient)
    with g.serving(engine, [folder], tmp_path / "keys") as server:
        port = int(server.url.rpartition(":")[2])
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            client.connect(("127.0.0.1", port))
            head = f"GET /faces-1/{BIG} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
            client.sendall(head.encode())
            came = 0
            while came < 1 << 17:
                came += len(client.recv(1 << 15))
    (one,) = held(engine, server)
    assert (one.files, one.complete_at) == (0, None)
    assert 0 < one.bytes < len(big[BIG])


def test_revoked_in_the_middle(g: Any, engine: Engine, recipient: Any, tmp_path: Path) -> None:
    big = {BIG: bytes(32 << 20), "LICENCE.txt": g.LICENCE_TEXT}
    folder = g.make_release(engine, tmp_path / "r", big)
    code, token = g.make_grant(engine, recipient)
    with g.serving(engine, [folder], tmp_path / "keys") as server:
        url, headers = f"{server.url}/faces-1/{BIG}", {"Authorization": f"Bearer {token}"}
        with httpx.Client(trust_env=False) as client, client.stream("GET", url, headers=headers) as answer:
            blocks = answer.iter_raw()
            got = len(next(blocks))
            with transaction(engine) as tx:
                revoke_grant(tx, get_grant(tx, code))
            with pytest.raises(httpx.HTTPError):
                got += sum(map(len, blocks))
        assert 0 < got < len(big[BIG])
        with pytest.raises(AccessError, match="revoked"):
            fetched(server, token, tmp_path / "mine")
    (one,) = held(engine, server)
    assert one.complete_at is None
    assert one.bytes < len(big[BIG])


@pytest.mark.parametrize(
    ("kind", "status", "said"),
    [
        ("none", 401, "asks for a token"),
        ("wrong", 401, "knows no such token"),
        ("expired", 401, "expired"),
        ("revoked", 403, "revoked"),
        ("other release", 403, "not for this release"),
        ("other version", 403, "not for this release or version"),
        ("no licence", 403, "waits for the licence"),
        ("other text", 403, "waits for the licence"),
    ],
)  # fmt: skip
def test_who_may_not(
    g: Any, engine: Engine, recipient: Any, server: Any, get: Any, tmp_path: Path, kind: str, status: int, said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    how = {
        "other release": {"name": "other"}, "other version": {"first": 2}, "no licence": {"licence": None},
        "other text": {"licence": b"another text"},
    }.get(kind, {})  # fmt: skip
    code, right = g.make_grant(engine, recipient, **how)
    token = {"none": None, "wrong": right[:-4] + "AAAA"}.get(kind, right)
    if kind == "revoked":
        with transaction(engine) as tx:
            revoke_grant(tx, get_grant(tx, code))
    if kind == "expired":
        later = utc_now() + timedelta(days=31)
        monkeypatch.setattr("processing.release.studio.access.access_control.utc_now", lambda: later)
    for path in ("manifest.json", BIG, "nothing.txt", "../secret"):
        answer = get(f"/faces-1/{path}", token)
        assert answer.status_code == status
        assert all(secret not in answer.text for secret in (right, "faces", "Somewhere"))
    assert get("/not-here-1/manifest.json", token).status_code in (status, 403)
    with pytest.raises(AccessError, match=said) as caught:
        fetched(server, token, tmp_path / "mine")
    assert right not in str(caught.value)
    assert caught.value.exit_code == 4
    assert held(engine, server) == []


def test_photographs_for_those_who_may_have_them(
    g: Any, engine: Engine, recipient: Any, server: Any, get: Any, tmp_path: Path
) -> None:
    _, token = g.make_grant(engine, recipient, kinds=("mesh", "scan", "texture", "facts"))
    assert get(f"/faces-1/{PHOTOGRAPH}", token).status_code == 403
    with pytest.raises(AccessError, match="your grant allows: facts, mesh, scan, texture"):
        fetched(server, token, tmp_path / "mine")
    url = f"{server.url}/faces-1"
    access = TokenAuth(url, Token(token))
    fetch_manifest(url, auth=access)
    assert access.narrowed(()) == ("mesh", "texture", "scan", "facts")
    got = fetched(server, token, tmp_path / "mine", wanted=FetchFilter(kinds=access.narrowed(())))
    assert got.files == len(g.FILES) - 1
    assert not (tmp_path / "mine" / PHOTOGRAPH).exists()
    (one,) = held(engine, server)
    assert (one.files, one.files_wanted) == (len(g.FILES) - 1, len(g.FILES) - 1)
    assert one.complete_at is not None


OUTSIDE = (
    *("../keys/release-links.key", "..%2fkeys%2frelease-links.key", "%2e%2e/keys/release-links.key", "..\\keys"),
    *("mesh/../info_list.txt", "./info_list.txt", "/info_list.txt", "mesh//1/1_neutral.ply", "info_list.txt/"),
    *("mesh", "mesh/", "", "info_list.txt%00.jpg", "INFO_LIST.TXT", ".faces-2.building/manifest.json", "%ff%fe"),
)


def test_nothing_but_what_the_manifest_names(g: Any, engine: Engine, recipient: Any, server: Any) -> None:
    _, token = g.make_grant(engine, recipient)
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    for path in OUTSIDE:
        with socket.create_connection(address) as client:  # no client that puts the address right
            head = f"GET /faces-1/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}"
            client.sendall(f"{head}\r\n\r\n".encode())
            answer = b""
            while block := client.recv(65536):
                answer += block
        assert answer.split(b" ", 2)[1] in (b"404", b"400"), path
        assert server.key.hex().encode() not in answer


@pytest.mark.parametrize("where", ["file", "folder", "other content"])
def test_a_link_in_the_folder_leads_nowhere(
    g: Any, engine: Engine, recipient: Any, release: Path, get: Any, tmp_path: Path, where: str
) -> None:
    _, token = g.make_grant(engine, recipient)
    secret = tmp_path / "secret" / "1_neutral.ply"
    secret.parent.mkdir()
    secret.write_bytes(bytes(len(g.FILES[BIG])))
    if where == "file":
        (release / BIG).unlink()
        (release / BIG).symlink_to(secret)
    elif where == "folder":
        (release / "mesh/1").rename(tmp_path / "moved")
        (release / "mesh/1").symlink_to(secret.parent)
    else:
        (release / BIG).write_bytes(b"short")
    answer = get(f"/faces-1/{BIG}", token)
    assert answer.status_code == 503
    assert answer.json()["refusal"] == "damaged"


def test_ranges(g: Any, engine: Engine, recipient: Any, get: Any) -> None:
    _, token = g.make_grant(engine, recipient)
    data = g.FILES[BIG]
    size, etag = len(data), f'"{hashlib.sha256(data).hexdigest()}"'
    for asked, status, span in [
        ("bytes=0-0", 206, (0, 1)),
        ("bytes=10-", 206, (10, size)),
        ("bytes=-5", 206, (size - 5, size)),
        (f"bytes={size - 1}-{size + 99}", 206, (size - 1, size)),
        ("bytes=0-", 200, (0, size)),
        ("bytes=5-2", 200, (0, size)),
        ("bytes=0-1,5-6", 200, (0, size)),
        ("lines=1-2", 200, (0, size)),
        ("bytes=-", 200, (0, size)),
    ]:
        answer = get(f"/faces-1/{BIG}", token, headers={"Range": asked})
        assert (answer.status_code, answer.content) == (status, data[span[0] : span[1]]), asked
        assert answer.headers["ETag"] == etag
        if status == 206:
            assert answer.headers["Content-Range"] == f"bytes {span[0]}-{span[1] - 1}/{size}"
    for asked in (f"bytes={size}-", "bytes=-0", f"bytes={10**17}-"):
        answer = get(f"/faces-1/{BIG}", token, headers={"Range": asked})
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{size}")
    other = get(f"/faces-1/{BIG}", token, headers={"Range": "bytes=5-9", "If-Range": '"other"'})
    assert (other.status_code, len(other.content)) == (200, size)
    assert get(f"/faces-1/{BIG}", token, headers={"If-None-Match": etag}).status_code == 304
    head = get(f"/faces-1/{BIG}", token, method="HEAD")
    assert (head.headers["Content-Length"], head.content) == (str(size), b"")
    assert get("/faces-1/empty.txt", token).content == b""


def test_no_other_method_and_no_body(g: Any, engine: Engine, recipient: Any, get: Any) -> None:
    _, token = g.make_grant(engine, recipient)
    assert get("/faces-1/manifest.json", token, method="POST").status_code == 405
    assert get("/faces-1/manifest.json", token, method="DELETE").status_code == 405
    with suppress(httpx.TransportError):  # the answer is lost where the connection ends while the body is still sent
        assert get("/faces-1/manifest.json", token, content=b"x" * 10).status_code == 413
    assert get("/faces-1/manifest.json", token).status_code == 200


def test_links_open_what_they_were_signed_for_until_they_expire(
    g: Any, engine: Engine, recipient: Any, server: Any, get: Any, tmp_path: Path
) -> None:
    code, _ = g.make_grant(engine, recipient, kinds=("mesh",))
    number = int(code[1:])
    soon = utc_now() + timedelta(hours=1)
    folder = signed_links.sign(server.key, number, soon, "faces-1")
    got = fetched(server, None, tmp_path / "mine", path=folder.lstrip("/"), wanted=FetchFilter(kinds=("mesh",)))
    assert got.fetched
    assert get(f"{folder}/{PHOTOGRAPH}").status_code == 403
    one = signed_links.sign(server.key, number, soon, "faces-1/info_list.txt")
    assert get(one).content == g.FILES["info_list.txt"]
    assert get(one.replace("info_list.txt", "empty.txt")).status_code == 401
    over = signed_links.sign(server.key, number, utc_now() - timedelta(seconds=1), "faces-1")
    assert get(f"{over}/info_list.txt").json()["refusal"] == "expired"
    with pytest.raises(AccessError, match="expired"):
        fetched(server, None, tmp_path / "mine", path=over.lstrip("/"))
    with transaction(engine) as tx:
        revoke_grant(tx, get_grant(tx, code))
    assert get(f"{folder}/info_list.txt").json()["refusal"] == "revoked"


def test_a_folder_that_the_records_do_not_know_is_not_served(
    g: Any, engine: Engine, release: Path, tmp_path: Path
) -> None:
    (release / "manifest.json").write_bytes(
        (release / "manifest.json").read_bytes().replace(b"2026-01-01", b"2026-01-02")
    )
    with pytest.raises(ReleaseError, match="its manifest was changed"), g.serving(engine, [release], tmp_path / "keys"):
        pass


def test_too_many_at_once_and_too_many_refusals(
    g: Any, engine: Engine, release: Path, recipient: Any, tmp_path: Path
) -> None:
    _, token = g.make_grant(engine, recipient)
    with g.serving(engine, [release], tmp_path / "keys", RequestLimits(of_grant=0, failures=3)) as server:
        url = f"{server.url}/faces-1/info_list.txt"
        with httpx.Client(trust_env=False) as client:
            busy = client.get(url, headers={"Authorization": f"Bearer {token}"})
            assert (busy.status_code, busy.headers["Retry-After"]) == (429, "1")
            tried = [client.get(url, headers={"Authorization": f"Bearer {'x' * 40}"}).status_code for _ in range(5)]
    assert tried == [401, 401, 401, 429, 429]


def test_half_open_connections_have_an_end_and_a_number(
    g: Any, engine: Engine, release: Path, recipient: Any, tmp_path: Path
) -> None:
    _, token = g.make_grant(engine, recipient)
    with g.serving(engine, [release], tmp_path / "keys", headers_s=0.2, of_address=8) as server:
        port = int(server.url.rpartition(":")[2])
        lingering = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
        for one in lingering[::2]:
            one.send(b"GET / HTTP/1.1\r\nX-Slow: ")
        for one in lingering:
            one.settimeout(10)
            with one, suppress(ConnectionError):
                assert one.recv(10) == b""  # the server hung up
        answer = httpx.get(
            f"{server.url}/faces-1/info_list.txt", headers={"Authorization": f"Bearer {token}"}, trust_env=False
        )
        assert answer.status_code == 200


def certificate(folder: Path) -> tuple[Path, Path]:
    """(certificate, key) of 127.0.0.1, signed by itself, for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    own = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(utc_now() - timedelta(hours=1))
        .not_valid_after(utc_now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(own.public_bytes(Encoding.PEM))
    files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


def test_over_https(g: Any, engine: Engine, release: Path, recipient: Any, tmp_path: Path) -> None:
    _, token = g.make_grant(engine, recipient)
    public, secret = certificate(tmp_path)
    with g.serving(engine, [release], tmp_path / "keys", certificate=public, key=secret) as server:
        known = ssl.create_default_context(cafile=str(public))
        url = f"{server.url}/faces-1/info_list.txt"
        answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, verify=known, trust_env=False)
        assert answer.content == g.FILES["info_list.txt"]
        with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as plain:
            plain.sendall(f"GET /faces-1/info_list.txt HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            assert b"200" not in plain.recv(1000)


def test_it_listens_to_others_over_https_alone(tmp_path: Path) -> None:
    public, secret = certificate(tmp_path)
    for door, said in [
        (ListenSettings("0.0.0.0", 0), "in the clear"),
        (ListenSettings("::", 0), "in the clear"),
        (ListenSettings("studio.example", 0), "in the clear"),
        (ListenSettings("127.0.0.1", 0, public), "go together"),
        (ListenSettings("127.0.0.1", 0, public, tmp_path / "nothing"), "is no file"),
    ]:
        with pytest.raises(AccessError, match=said):
            open_listener(door)
    with open_listener(ListenSettings("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AccessError, match="--port takes another"):
            open_listener(ListenSettings("127.0.0.1", port))
    open_listener(ListenSettings("0.0.0.0", 0, public, secret)).close()


def test_nothing_secret_in_any_log(
    g: Any, engine: Engine, recipient: Any, server: Any, get: Any, tmp_path: Path,
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    caplog.set_level(0)
    code, token = g.make_grant(engine, recipient)
    link = signed_links.sign(server.key, int(code[1:]), utc_now() + timedelta(hours=1), "faces-1")
    fetched(server, token, tmp_path / "mine")
    get(f"{link}/info_list.txt")
    get(f"{link}x/info_list.txt")
    (tmp_path / "releases/faces-1/empty.txt").unlink()
    get("/faces-1/empty.txt", token)
    server_logs = "".join(r.getMessage() for r in caplog.records if not r.name.startswith(("httpx", "httpcore")))
    text = server_logs + "".join(capfd.readouterr())
    assert "empty.txt cannot be opened" in text
    with reading(engine) as tx:
        text += json.dumps([e.detail for e in events_about(tx, "grant", code)])
        assert all(token not in str(row) for row in tx.execute(select(Fetch.__table__)))
    assert all(secret not in text for secret in (token, link.split("/")[2], "Somewhere"))


def test_a_subject_that_withdraws_is_given_no_more(studio: Any, g: Any, tmp_path: Path) -> None:
    from db.models import ConsentScope
    from db.subjects import get_subject, withdraw_consent
    from processing.release.studio.export.build import build_release

    first, second = (studio.subject(ConsentScope.RESEARCH_RELEASE) for _ in range(2))
    engine = studio.records.engine
    built = build_release(studio.records, "faces", tmp_path / "releases", workers=1)
    licence = (built.folder / "LICENCE.txt").read_bytes()
    _, token = g.make_grant(engine, g.make_recipient(engine), licence=licence)
    with g.serving(engine, [built.folder], tmp_path / "keys") as server:
        with transaction(engine) as tx:
            withdraw_consent(tx, get_subject(tx, first))
        with pytest.raises(FetchError, match="410"):
            fetched(server, token, tmp_path / "mine")
    assert not list((tmp_path / "mine").glob(f"mesh/{int(first[1:])}/*.ply"))
    assert list((tmp_path / "mine").glob(f"mesh/{int(second[1:])}/*.ply"))
