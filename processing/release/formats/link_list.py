"""Link list: a file of links to a release in an object store, as its holder has it.

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

from processing.release.formats.errors import AccessError

HEAD = "# mien-links 1"
HOST = "links.invalid"  # never asked: holder.link_transport answers for it
_NAMED = re.compile(rf"{HEAD} ([A-Za-z0-9][A-Za-z0-9._-]{{0,63}}) ([1-9][0-9]{{0,8}})")


@dataclass(frozen=True)
class LinkList:
    """Links to the files of one version."""

    #: The release's name.
    name: str
    version: int
    #: Path in the release -> link.
    by_path: Mapping[str, str]

    @property
    def url(self) -> str:
        """The address to fetch from, for which the links are asked."""
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
