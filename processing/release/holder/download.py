"""Download of one file over HTTP from a server that nobody vouches for: so many bytes, at some pace, from a place on.

Redirects are followed a few steps, never to another kind of address and never from https to http. A body packed by the
server is unpacked within the bytes that were asked for. A range is believed only if it says so and fits.
"""

import re
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from common.guarding.safe_text import shown

TIMEOUT = httpx.Timeout(15.0)
MAX_REDIRECTS = 5
# Slower than this over a window is no transfer: the next attempt may find a better connection.
WINDOW_S = 10.0
WINDOW_BYTES = 10_000
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_PACKED = {"gzip": 31, "x-gzip": 31, "deflate": 15}

Headers = Callable[[str], Mapping[str, str]]


class DownloadFault(Exception):
    """One attempt failed. lasting: another would too.  slow: one more is enough to see that it stays so."""

    def __init__(self, why: str, *, lasting: bool = False, slow: bool = False) -> None:
        super().__init__(why)
        self.lasting, self.slow = lasting, slow


def no_headers(_url: str) -> Mapping[str, str]:
    return {}


@dataclass
class Downloader:
    """Files over HTTP, from servers that nobody vouches for."""

    #: May be shared by threads.
    client: httpx.Client
    #: Of a request to an address, such as who asks.
    headers: Headers = no_headers
    #: Seconds, never back.
    clock: Callable[[], float] = time.monotonic
    #: How long a transfer is watched before it is called too slow.
    window_s: float = WINDOW_S
    #: That must come in this time.
    window_bytes: int = WINDOW_BYTES

    def blocks(self, url: str, *, start: int, most: int, longer: str) -> Iterator[tuple[int, bytes]]:
        """(place, bytes) as they come, from `start` on or, where the server will not, from 0; `most` in all.

        A server that has more than `most` is a Fault, said as `longer`, and so is one that answers no file, too
        slowly, or with a range that was not asked for. Raises httpx.HTTPError where the connection fails.
        """
        with self._answer(url, start) as answer:
            at = _begins(answer, start, most)
            started, came = self.clock(), 0
            for block in _unpacked(answer, most - at):
                if at + len(block) > most:
                    raise DownloadFault(longer, lasting=True)
                yield at, block
                at += len(block)
                came += len(block)
                if self.clock() - started >= self.window_s:
                    if came < self.window_bytes and at < most:
                        raise DownloadFault(
                            f"it comes at less than {self.window_bytes / self.window_s:.0f} bytes/s", slow=True
                        )
                    started, came = self.clock(), 0

    @contextmanager
    def _answer(self, url: str, start: int) -> Iterator[httpx.Response]:
        """A file's answer, after redirects. Raises DownloadFault."""
        at = httpx.URL(url)
        for _ in range(MAX_REDIRECTS + 1):
            if at.scheme not in ("http", "https"):
                raise DownloadFault(f"{shown(at)} is neither http nor https", lasting=True)
            headers = {"Accept-Encoding": "identity", **self.headers(str(at))}
            if start:
                headers["Range"] = f"bytes={start}-"
            with self.client.stream("GET", at, headers=headers, follow_redirects=False) as answer:
                if not answer.is_redirect:
                    _check_status(answer)
                    yield answer
                    return
                to = at.join(answer.headers["Location"])
            if at.scheme == "https" and to.scheme != "https":
                raise DownloadFault(f"the server leads from https to {shown(to.scheme)}", lasting=True)
            at = to
        raise DownloadFault(f"the server leads on more than {MAX_REDIRECTS} times", lasting=True)


def _check_status(answer: httpx.Response) -> None:
    status = answer.status_code
    if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
        raise DownloadFault("the server's file is shorter than the manifest says")
    if status not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
        lasting = 400 <= status < 500 and status not in (408, 425, 429)
        raise DownloadFault(f"the server answers {status}", lasting=lasting)


def _begins(answer: httpx.Response, start: int, most: int) -> int:
    """The place of the body's first byte: `start`, or 0 when the server gives all of it."""
    if answer.status_code == httpx.codes.OK:
        return 0
    said = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    fits = said is not None and int(said[1]) == start and start <= int(said[2]) < most
    if not start or not fits or answer.headers.get("Content-Encoding", "identity") != "identity":
        raise WrongRange("the server answers with another part than was asked for")
    assert said is not None
    if said[3] != "*" and int(said[3]) != most:
        raise WrongRange("the server's file has another length than the manifest says")
    return start


class WrongRange(DownloadFault):
    """A part that was not asked for: the next attempt asks for the whole."""


def _unpacked(answer: httpx.Response, most: int) -> Iterator[bytes]:
    """The body's bytes, without the server's packing; never many more than `most`."""
    packing = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if packing in ("identity", ""):
        yield from answer.iter_raw()
        return
    if packing not in _PACKED:
        raise DownloadFault(
            f"the server packs its files as '{shown(packing, 40)}', which was not asked for", lasting=True
        )
    unpack = zlib.decompressobj(_PACKED[packing])
    left = most
    for block in answer.iter_raw():
        while block and not unpack.eof:
            try:
                piece = unpack.decompress(block, min(max(left + 1, 1), 1 << 20))
            except zlib.error:
                raise DownloadFault(f"what the server packed as {packing} cannot be unpacked") from None
            block = unpack.unconsumed_tail
            left -= len(piece)
            if piece:
                yield piece
            if left < 0:
                return
