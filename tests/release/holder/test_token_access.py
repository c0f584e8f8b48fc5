"""A holder's token: where it goes, where it never goes, and what is said when it does not open."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processing.release.formats.access_protocol import REFUSAL_HEADER, origin_of
from processing.release.formats.errors import AccessError, FetchError
from processing.release.holder.fetch import TransferSettings, fetch_manifest
from processing.release.holder.token_access import (
    VARIABLE,
    Token,
    TokenAuth,
    access_to,
    hidden,
    hiding_links,
    read_token,
)

SECRET = "mien_" + "s3cr3t" * 7


class Place:
    """A server that says what it is told to and remembers who asked with what."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.status, self.headers = 404, dict[str, str]()
        place = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                place.asked.append((self.path, self.headers.get("Authorization")))
                self.send_response(place.status)
                for name, value in {**place.headers, "Content-Length": "0"}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def places() -> Iterator[tuple[Place, Place]]:
    two = Place(), Place()
    yield two
    for place in two:
        place.stop()


def ask(url: str, token: Token | None = Token(SECRET)) -> None:
    fetch_manifest(f"{url}/faces-1", transfer=TransferSettings(tries=1), auth=TokenAuth(f"{url}/faces-1", token))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_it_is_never_sent_along_to_another_server(places: tuple[Place, Place], status: int) -> None:
    first, other = places
    first.status, first.headers = status, {"Location": f"{other.url}/faces-1/manifest.json"}
    other.status = 401
    with pytest.raises(FetchError) as caught:
        ask(first.url)
    assert {authorization for _, authorization in first.asked} == {f"Bearer {SECRET}"}
    assert {authorization for _, authorization in other.asked} <= {None}
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("refusal", ["unknown", "expired", "revoked", "other", "licence", "kind"])
def test_a_refusal_is_said_in_words(places: tuple[Place, Place], refusal: str) -> None:
    first, _ = places
    first.status, first.headers = 403, {REFUSAL_HEADER: refusal}
    with pytest.raises(AccessError) as caught:
        ask(first.url)
    assert caught.value.exit_code == 4
    assert SECRET not in str(caught.value)
    assert len(first.asked) == 1  # it stays refused: not tried again


def test_a_server_that_wants_a_token_says_so(places: tuple[Place, Place]) -> None:
    first, _ = places
    first.status = 401
    with pytest.raises(AccessError, match="--token-file"):
        ask(first.url, None)
    first.status, first.headers = 403, {REFUSAL_HEADER: "\x1b[31mevil"}
    with pytest.raises(FetchError, match="403") as caught:
        ask(first.url)
    assert "evil" not in str(caught.value)


def test_it_does_not_go_in_the_clear_nor_to_a_server_that_it_is_not_for() -> None:
    with pytest.raises(AccessError, match="in the clear"):
        TokenAuth("http://host.example/faces-1", Token(SECRET))
    TokenAuth("https://host.example/faces-1", Token(SECRET))
    TokenAuth("http://host.example/faces-1", None)
    bound = Token(SECRET, "https://releases.example:443")
    with pytest.raises(AccessError, match=r"is for https://releases.example:443") as caught:
        TokenAuth("https://releases.example.evil.example/faces-1", bound)
    assert SECRET not in str(caught.value)
    assert TokenAuth("https://RELEASES.example/faces-1", bound).headers("https://releases.example/faces-1/a")


@given(
    st.sampled_from(["http", "https"]), st.sampled_from(["a.example", "b.example", "a.example.b.example", "A.example"]),
    st.sampled_from(["", ":443", ":80", ":8443"]), st.sampled_from(["", "user:password@", "a.example@"]),
)  # fmt: skip
def test_headers_go_to_one_origin(scheme: str, host: str, port: str, user: str) -> None:
    access = TokenAuth("https://a.example/faces-1", Token(SECRET))
    own = scheme == "https" and host.lower() == "a.example" and port in ("", ":443")
    sent = access.headers(f"{scheme}://{user}{host}{port}/faces-1/manifest.json")
    assert sent == ({"Authorization": f"Bearer {SECRET}"} if own else {})


def test_where_it_is_read_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert read_token() is None
    monkeypatch.setenv(VARIABLE, f" {SECRET}\n")
    assert read_token() == Token(SECRET)
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text(f"{SECRET[:-1]}X https://host.example:8443/faces-1\n")
    assert read_token(file) == Token(f"{SECRET[:-1]}X", "https://host.example:8443")
    assert SECRET not in repr(read_token())
    assert access_to("https://host.example:8443/faces-1", file).gated
    file.chmod(0o644)
    with pytest.raises(AccessError, match="chmod 600"):
        read_token(file)


@pytest.mark.parametrize(
    "text", ["", "short", f"{SECRET} https://a.example more", f"{SECRET}\r\nX: y", "ü" * 40, f"{SECRET} ftp://a"]
)
def test_what_is_no_token_is_refused_without_saying_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text(text)
    with pytest.raises(AccessError) as caught:
        read_token(file)
    assert SECRET not in str(caught.value)


def test_links_are_not_said_in_messages() -> None:
    for text in (
        "https://host/link/G001.1.SIGNATURE/faces-3/manifest.json is no release",
        "https://b.example/faces/manifest.json?X-Amz-Signature=SIGNATURE&X-Amz-Credential=SIGNATURE: 403",
        "'https://b.example/x?AWSAccessKeyId=SIGNATURE&Signature=SIGNATURE'",
    ):
        assert "SIGNATURE" not in hidden(text)
        with pytest.raises(FetchError) as caught, hiding_links():
            raise FetchError(text)
        assert "SIGNATURE" not in str(caught.value)
        assert caught.value.__cause__ is None
    with pytest.raises(FetchError, match="plain"), hiding_links():
        raise FetchError("plain")


@given(st.text(max_size=40))
def test_any_text_as_an_address_is_an_origin_or_refused(text: str) -> None:
    try:
        origin = origin_of(text)
    except AccessError:
        return
    assert httpx.URL(origin).scheme in ("http", "https")
