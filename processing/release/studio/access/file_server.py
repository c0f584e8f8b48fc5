"""File server: one file a request, by range where it is asked for, each byte into the delivery ledger.

GET and HEAD alone, no body, no listing. `Authorization: Bearer TOKEN`, or a link that was signed (processing.release.
links). Who was refused learns why in the header X-Mien-Refusal and in a line of JSON; whether a release is here at all
learns only who may have it.
"""

import asyncio
import json
import logging
import os
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from db.errors import RecordError
from processing.release.formats.access_protocol import ALLOWED_KINDS_HEADER, REFUSAL_HEADER
from processing.release.formats.manifest import MANIFEST
from processing.release.formats.released_files import LAYOUT
from processing.release.studio.access.access_control import AccessControl, AccessGranted, AccessRefused
from processing.release.studio.access.delivery_ledger import DeliveredParts, Ledger
from processing.release.studio.access.served_release import NotServed

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]

BLOCK = 1 << 18
log = logging.getLogger("mien.release.serve")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_BEARER = re.compile(r"Bearer ([A-Za-z0-9_-]{20,200})", re.IGNORECASE)
_TYPES = {".json": "application/json", ".jpg": "image/jpeg", ".png": "image/png", ".txt": "text/plain; charset=utf-8"}


@dataclass(frozen=True)
class RequestLimits:
    """What a server takes from one client."""

    #: Requests of one grant at a time.
    of_grant: int = 32
    #: Refusals that an address may collect in failures_s.
    failures: int = 40
    #: Seconds.
    failures_s: float = 60.0
    #: How long a client may take nothing.
    send_s: float = 60.0
    #: How long a revocation may take to cut what is being sent.
    recheck_s: float = 1.0


class ConnectionCut(Exception):
    """The answer ends here: the connection is to be closed, not kept."""


class ReleaseServer:
    """An ASGI application. Raises nothing: what is wrong in here is one line of the log and status 500 or a cut."""

    def __init__(self, access: AccessControl, ledger: Ledger, limits: RequestLimits | None = None) -> None:
        self._access, self._ledger, self._limits = access, ledger, limits or RequestLimits()
        self._busy: Counter[int] = Counter()
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            await self._answer(scope, receive, send)
        except (ConnectionCut, OSError, TimeoutError):
            _abort(scope)
        except Exception as error:
            log.error("a request failed: %s", type(error).__name__)  # its text may hold what is a secret
            _abort(scope)

    async def _answer(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): text.decode("latin-1") for name, text in scope["headers"]}
        address = (scope.get("client") or ("", 0))[0]
        if scope["method"] not in ("GET", "HEAD"):
            return await _refuse(
                send, AccessRefused(405, "method", "only GET and HEAD are answered"), {"allow": "GET, HEAD"}
            )
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            return await _refuse(
                send, AccessRefused(413, "body", "a request has no body here"), {"connection": "close"}
            )
        if self._too_many_failures(address):
            return await _refuse(
                send, AccessRefused(429, "rate", "too many refusals; wait a minute"), {"retry-after": "60"}
            )
        bearer = _BEARER.fullmatch(headers.get("authorization", "").strip())
        token = bearer[1] if bearer else ("-" if "authorization" in headers else None)
        try:
            judged = await asyncio.to_thread(self._access.judge, str(scope["path"]).removeprefix("/"), token)
        except RecordError:
            log.error("the records do not answer; nothing is given meanwhile")
            return await _refuse(
                send, AccessRefused(503, "records", "the server cannot look it up"), {"retry-after": "5"}
            )
        if isinstance(judged, AccessRefused):
            if judged.status == 401:
                self._failures.setdefault(address, []).append(time.monotonic())
            more = {"www-authenticate": 'Bearer realm="mien release"'} if judged.status == 401 else {}
            return await _refuse(send, judged, more)
        grant = judged.access.grant_id
        if self._busy[grant] >= self._limits.of_grant:
            why = AccessRefused(429, "busy", f"{self._limits.of_grant} requests of this grant are under way")
            return await _refuse(send, why, {"retry-after": "1"})
        self._busy[grant] += 1
        try:
            return await self._give(judged, scope["method"] == "HEAD", headers, address, receive, send)
        finally:
            self._busy[grant] -= 1
            if not self._busy[grant]:
                del self._busy[grant]

    async def _give(
        self, opened: AccessGranted, head: bool, asked: Mapping[str, str], address: str, receive: Receive, send: Send
    ) -> None:
        item, served = opened.item, opened.served
        etag = f'"{item.sha256}"'
        headers = {
            "etag": etag, "accept-ranges": "bytes", "cache-control": "private, no-transform",
            "x-content-type-options": "nosniff", "content-disposition": "attachment",
            "content-type": _TYPES.get(PurePosixPath(item.path).suffix, "application/octet-stream"),
        }  # fmt: skip
        if item.path == MANIFEST:
            headers[ALLOWED_KINDS_HEADER.lower()] = _in_order(opened.access.kinds)
        if etag in asked.get("if-none-match", ""):
            return await _start(send, 304, headers, last=True)
        span = _span(asked, item.bytes, etag)
        if span is None:
            headers["content-range"] = f"bytes */{item.bytes}"
            return await _start(send, 416, headers | {"content-length": "0"}, last=True)
        start, end = span
        status = 200 if "range" not in asked or (start, end) == (0, item.bytes) else 206
        if status == 206:
            headers["content-range"] = f"bytes {start}-{end - 1}/{item.bytes}"
        headers["content-length"] = str(end - start)
        if head:
            return await _start(send, status, headers, last=True)
        try:
            file = await asyncio.to_thread(served.open, item)
        except NotServed as error:
            log.error("%s", error)
            return await _refuse(
                send, AccessRefused(503, "damaged", "the file is not as it was released; tell the studio")
            )
        try:
            progress = await asyncio.to_thread(
                self._ledger.begin, opened.access.grant_id, opened.release_id, served, opened.access.kinds, address,
                asked.get("user-agent", "")[:200],
            )  # fmt: skip
            await _start(send, status, headers)
            await self._stream(opened, file, start, end, progress, receive, send)
        finally:
            os.close(file)

    async def _stream(
        self,
        opened: AccessGranted,
        file: int,
        start: int,
        end: int,
        progress: DeliveredParts,
        receive: Receive,
        send: Send,
    ) -> None:
        item, at, checked = opened.item, start, time.monotonic()
        gone = asyncio.create_task(_until_gone(receive))
        try:
            if start == end:
                _note(progress, item.number, start, 0, item.bytes)
            while at < end:
                if time.monotonic() - checked >= self._limits.recheck_s:
                    if not await asyncio.to_thread(self._access.still, opened.access):
                        raise ConnectionCut
                    checked = time.monotonic()
                block = await asyncio.to_thread(os.pread, file, min(BLOCK, end - at), at)
                if not block:
                    log.error("%s/%s grew shorter while it was sent", opened.served.place, item.path)
                    raise ConnectionCut
                if gone.done():
                    return
                # Written down before it is sent: whoever gets a byte stands in the ledger with it.
                _note(progress, item.number, at, len(block), item.bytes)
                at += len(block)
                body = {"type": "http.response.body", "body": block, "more_body": at < end}
                await asyncio.wait_for(send(body), self._limits.send_s)
            if start == end:
                await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()

    def _too_many_failures(self, address: str) -> bool:
        now, since = time.monotonic(), self._limits.failures_s
        while len(self._failures) > 10_000:
            self._failures.popitem(last=False)
        recent = [at for at in self._failures.get(address, ()) if now - at < since]
        if recent:
            self._failures[address] = recent
        else:
            self._failures.pop(address, None)
        return len(recent) >= self._limits.failures


def _note(progress: DeliveredParts, number: int | None, start: int, count: int, size: int) -> None:
    if number is not None:
        progress.add(number, start, count, size)


def _span(asked: Mapping[str, str], size: int, etag: str) -> tuple[int, int] | None:
    """[from, to) of what is asked for (RFC 9110, section 14); None when it cannot be. What is no single range of bytes,
    or is for another content, is a request for all of it.
    """
    found = _RANGE.fullmatch(asked.get("range", "").replace(" ", ""))
    if found is None or asked.get("if-range", etag) != etag or found.groups() == ("", ""):
        return 0, size
    first, last = found.groups()
    if first == "":
        return (max(0, size - int(last)), size) if int(last) and size else None
    start, end = int(first), min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return 0, size
    return (start, end) if start < size else None


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _start(send: Send, status: int, headers: Mapping[str, str], *, last: bool = False) -> None:
    lines = [(name.encode("latin-1"), text.encode("latin-1")) for name, text in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    if last:
        await send({"type": "http.response.body", "body": b""})


async def _refuse(send: Send, refused: AccessRefused, more: Mapping[str, str] | None = None) -> None:
    body = json.dumps({"refusal": refused.refusal, "why": refused.why}).encode()
    headers = {
        REFUSAL_HEADER.lower(): refused.refusal, "content-type": "application/json", "content-length": str(len(body)),
        "cache-control": "no-store", **(more or {}),
    }  # fmt: skip
    if refused.refusal == "kind":
        headers[ALLOWED_KINDS_HEADER.lower()] = _in_order(refused.kinds)
    await _start(send, refused.status, headers)
    await send({"type": "http.response.body", "body": body})


def _in_order(kinds: frozenset[str]) -> str:
    return ",".join(kind for kind in LAYOUT.kinds if kind in kinds)


def _abort(scope: Mapping[str, Any]) -> None:
    abort = scope.get("extensions", {}).get("mien.abort")
    if abort is not None:
        abort()
