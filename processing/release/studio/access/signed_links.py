"""Signed links, which expire: a grant, a moment and a place, signed with the server's key.

    https://host/link/G001.1767139200.SIGNATURE/faces-3/...

The signature is HMAC-SHA256 over the three as they are written, so any other way of writing them is another link. A
place is a release's folder, with all that is in it, or one file. Whoever has the link has what it opens; so it expires,
and it opens nothing that its grant does not.
"""

import base64
import hashlib
import hmac
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from processing.release.formats.access_secrets import read_secret, write_secret
from processing.release.formats.errors import AccessError

PREFIX = "link"
KEY_FILE = "release-links.key"
_PURPOSE = b"mien release link 1\0"
_KEY_BYTES = 32


class SignedLink(NamedTuple):
    """What a link says that was rightly signed."""

    #: By which it opens something.
    grant_id: int
    #: It holds until then.
    until: datetime
    #: A release's folder or a file, without '/' at either end.
    place: str


def server_key(keys: Path) -> bytes:
    """The key that signs links, made when it is not there. Raises AccessError when others may read it, or it is none.

    A new key (remove the file) makes every link that was handed out worthless.
    """
    path = keys / KEY_FILE
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.path.lexists(path):
        write_secret(path, secrets.token_hex(_KEY_BYTES) + "\n")
    try:
        key = bytes.fromhex(read_secret(path).strip())
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise AccessError(f"{path} holds no key; remove it, and links that were handed out open nothing")
    return key


def sign(key: bytes, grant_id: int, until: datetime, place: str) -> str:
    """The path of a link, from '/link/' to the place. Whole seconds count."""
    said = f"G{grant_id:03d}.{int(until.timestamp())}"
    return f"/{PREFIX}/{said}.{_signature(key, said, place)}/{place}"


def check(key: bytes, said: str, path: str) -> SignedLink | None:
    """Who signed for `path`: of its whole, or of the release's folder that it is in. None for a link that is not ours.

    said: 'G001.1767139200.SIGNATURE'. Says nothing of the time: that is for the caller to see.
    """
    words = said.split(".")
    if len(words) != 3:
        return None
    found = None
    for place in dict.fromkeys((path, path.partition("/")[0])):
        right = _signature(key, f"{words[0]}.{words[1]}", place)
        if hmac.compare_digest(right.encode(), words[2].encode("utf-8", "surrogatepass")):
            found = SignedLink(int(words[0][1:]), datetime.fromtimestamp(int(words[1]), UTC), place)
    return found


def _signature(key: bytes, said: str, place: str) -> str:
    text = said.encode("utf-8", "surrogatepass") + b"\0" + place.encode("utf-8", "surrogatepass")
    digest = hmac.new(key, _PURPOSE + text, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
