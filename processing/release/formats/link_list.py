"""A file of links to a release in an object store, as its holder has it, and fetching by it.

    # mien-links 1 faces 3
    https://bucket.../faces-3/manifest.json?X-Amz-...
      out=manifest.json

It is the input of `aria2c -i` as well.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import httpx

from processing.release.formats.errors import AccessError
from processing.release.holder.download import TIMEOUT

HEAD = "# mien-links 1"
HOST = "links.invalid"  # never asked: LinkListTransport answers for it
_NAMED = re.compile(rf"{HEAD} ([A-Za-z0-9][A-Za-z0-9._-]{{0,63}}) ([1-9][0-9]{{0,8}})")


@dataclass(frozen=True)
class LinkList:
    """Links by path. name, version: of the release."""

    name: str
    version: int
    by_path: Mapping[str, str]

    @property
    def url(self) -> str:
        return f"http://{HOST}/{self.name}-{self.version}"


def as_text(links: LinkList) -> str:
    """As a file of links: see above."""
    lines = [f"{HEAD} {links.name} {links.version}"]
    for path, url in links.by_path.items():
        lines += [url, f"  out={path}"]
    return "\n".join(lines) + "\n"


def read_links(file: Path) -> LinkList | None:
    """A file of links; None for another file. Raises AccessError for one that is damaged."""
    with suppress(OSError), file.open(encoding="utf-8", errors="replace") as lines:
        first = _NAMED.fullmatch(lines.readline(200).rstrip("\n"))
        if first is None:
            return None
        return LinkList(first[1], int(first[2]), dict(_pairs(file, lines)))
    return None


class LinkListTransport(httpx.BaseTransport):
    """Answers for a release's folder by asking its links."""

    def __init__(self, links: LinkList) -> None:
        self._links = links
        self._through = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = unquote(request.url.raw_path.decode("ascii")).removeprefix(f"/{self._links.name}-{self._links.version}/")
        url = self._links.by_path.get(path)
        if url is None:
            return httpx.Response(404, request=request)
        kept = {name: request.headers[name] for name in ("range", "accept-encoding") if name in request.headers}
        answer = self._through.handle_request(httpx.Request("GET", url, headers=kept))
        if answer.status_code == httpx.codes.FORBIDDEN:
            answer.close()
            raise AccessError(f"the links to {self._links.name} {self._links.version} have expired; ask for new ones")
        return answer

    def close(self) -> None:
        self._through.close()


def client_for(links: LinkList) -> httpx.Client:
    """A client for fetch_release(links.url, client=...)."""
    return httpx.Client(transport=LinkListTransport(links), timeout=TIMEOUT, headers={"Accept-Encoding": "identity"})


def _pairs(file: Path, lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    url = ""
    for line in lines:
        if line.startswith("  out=") and url:
            yield line.removeprefix("  out=").rstrip("\n"), url
            url = ""
        elif line.startswith(("https://", "http://")) and not url:
            url = line.strip()
        elif line.strip() and not line.startswith("#"):
            raise AccessError(f"{file} is damaged: ask for new links")
