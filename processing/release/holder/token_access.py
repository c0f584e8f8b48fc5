"""Token access, a holder's side: the token, to whom it is sent, and what a server's refusal means.

A token goes to one origin (scheme, host, port): the one it was made for where its file names it, else that of the
address given. It is never sent along a redirect to another one, never over plain HTTP but to this machine, and stands
in no message.
"""

import os
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from processing.release.formats.access_protocol import ALLOWED_KINDS_HEADER, REFUSAL_HEADER, origin_of
from processing.release.formats.access_secrets import read_secret
from processing.release.formats.errors import AccessError, ReleaseError
from processing.release.formats.released_files import LAYOUT

VARIABLE = "MIEN_RELEASE_TOKEN"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{20,200}")
_SECRET = re.compile(r"(/link/)[^/\s'\"]+|([?&](?:X-Amz-[A-Za-z-]+|Signature|AWSAccessKeyId|sig|token)=)[^&\s'\"]+")
_ASK = "ask the studio that gave it to you"
_REFUSALS = {
    "unknown": f"knows no such token or link: it was cut short, changed, or is for another server; {_ASK}",
    "expired": f"says that the token or link has expired; {_ASK} for a new one",
    "revoked": f"says that the token was revoked; {_ASK} why, and what of your copies has to be deleted",
    "other": f"says that the token or link is not for this release or version; {_ASK}",
    "licence": "waits for the licence: the studio has not accepted a signed licence of this version's text; send it",
    "kind": "does not give you files of this kind; your grant allows: {allowed}",
}


@dataclass(frozen=True)
class Token:
    """A token as it lies in a file."""

    #: What opens a release.
    secret: str = field(repr=False)
    #: The server that it is for, where the file says so.
    origin: str | None = None


def read_token(file: Path | None = None) -> Token | None:
    """From a file, else from the environment; None when there is neither. Raises AccessError, never with the token."""
    where = f"{file}" if file is not None else VARIABLE
    text = read_secret(file) if file is not None else os.environ.get(VARIABLE, "")
    words = text.split()
    if not words and file is None:
        return None
    if not 1 <= len(words) <= 2 or not _TOKEN.fullmatch(words[0]):
        raise AccessError(f"{where} holds no token: the token alone, or with the server's address behind it")
    return Token(words[0], origin_of(words[1]) if len(words) == 2 else None)


class TokenAuth(httpx.Auth):
    """Headers for the one server that a token is for, and words for its refusals. allowed: the kinds that the server
    said the grant has; None where it said nothing.  gated: whether there is something to open a gate with."""

    def __init__(self, url: str, token: Token | None) -> None:
        self._token = token
        self._origin: str | None = None
        self.gated = token is not None or "/link/" in url
        self.allowed: frozenset[str] | None = None
        if token is not None:
            self._origin = origin_of(url)
            if token.origin is not None and token.origin != self._origin:
                raise AccessError(f"the token is for {token.origin}; it is not sent to {self._origin}")
            if not _private(self._origin):
                raise AccessError(f"{self._origin} would send your token in the clear; use https://")

    def headers(self, url: str) -> dict[str, str]:
        """What goes with a request to this address; nothing to another origin."""
        if self._token is None or origin_of(url) != self._origin:
            return {}
        return {"Authorization": f"Bearer {self._token.secret}"}

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Raises AccessError when the server refuses by access, and not by a fault."""
        request.headers.update(self.headers(str(request.url)))
        response = yield request
        said = response.headers.get(ALLOWED_KINDS_HEADER)
        if said is not None:
            self.allowed = frozenset(re.findall(r"[a-z]+", said[:200]))
        refusal = response.headers.get(REFUSAL_HEADER, "")
        host = str(response.url.host)[:100]
        if refusal in _REFUSALS:
            allowed = ", ".join(sorted(self.allowed or ())) or "nothing"
            why = _REFUSALS[refusal].format(allowed=allowed)
            if refusal == "unknown" and self._token is None and "/link/" not in str(request.url):
                why = f"asks for a token: give it by --token-file or {VARIABLE}; the studio has it for you"
            raise AccessError(f"{host} {why}")
        if response.status_code == httpx.codes.UNAUTHORIZED:
            if self._token is not None and origin_of(str(response.url)) != self._origin:
                raise AccessError(f"the server sends on to {host}, to which your token is not sent; {_ASK}")
            raise AccessError(f"{host} asks for a token: give it by --token-file or {VARIABLE}")

    def narrowed(self, kinds: Sequence[str]) -> tuple[str, ...]:
        """The kinds to ask for: those that were asked for, else all that the grant has where the server named them."""
        if kinds or self.allowed is None or self.allowed >= LAYOUT.kinds.keys():
            return tuple(kinds)
        return tuple(kind for kind in LAYOUT.kinds if kind in self.allowed)


def access_to(url: str, token_file: Path | None = None) -> TokenAuth:
    """For a client of httpx that fetches from `url`. Raises AccessError."""
    return TokenAuth(url, read_token(token_file))


@contextmanager
def hiding_links() -> Iterator[None]:
    """Refusals name addresses: what opens something in them does not get into a message."""
    try:
        yield
    except ReleaseError as error:
        if hidden(str(error)) == str(error):
            raise
        raise type(error)(hidden(str(error))) from None


def hidden(text: str) -> str:
    """A text without what would open something in its addresses."""
    return _SECRET.sub(lambda found: f"{found[1] or found[2]}…", text)


def _private(origin: str) -> bool:
    """Whether what is sent there cannot be read on the way."""
    host = httpx.URL(origin).host
    return origin.startswith("https://") or host in ("localhost", "127.0.0.1", "::1")
