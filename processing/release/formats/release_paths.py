"""Names that a manifest may hold: what a release is called, and where its files lie. None leads anywhere else."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from common.guarding.safe_text import is_plain

PART = ".part"  # of a file that has not come whole; no file of a release ends so
MANIFESTS = ("manifest.json", "manifest.json.sha256", "manifest.json.minisig", "manifest.json.sig")
MAX_NAME = 100
MAX_PART_BYTES = 240  # a file system takes 255, with .part
MAX_PATH = 1_000
MAX_DEPTH = 16
# What Windows opens as a device, whatever follows the first dot.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:")


def name_problem(name: str) -> str | None:
    """Why a release may not be called so; None when it may. A name is one part of a path, of letters and digits."""
    if not name or len(name) > MAX_NAME:
        return f"has {len(name)} signs; it has 1 to {MAX_NAME}"
    if not is_plain(name):
        return "holds signs that cannot be printed"
    if any(sign in '/\\:*?[]{}<>|"' for sign in name):
        return 'holds one of / \\ : * ? [ ] { } < > | "'
    if name[0] in ".-~ " or name[-1] in ". " or _DEVICES.fullmatch(name):
        return "is no plain name of a folder"
    return None


def path_problem(path: str) -> str | None:
    """Why a path may not stand in a manifest; None when it may."""
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or _DRIVE.match(path):
        return "climbs out of the release"
    if "" in parts or "." in parts or "\\" in path:
        return "is not a plain relative path"
    if len(path) > MAX_PATH or len(parts) > MAX_DEPTH:
        return f"is longer than {MAX_PATH} signs or deeper than {MAX_DEPTH} folders"
    if path.lower() in MANIFESTS:
        return "is the manifest itself"
    return next((why for part in parts if (why := _part_problem(part)) is not None), None)


@lru_cache(maxsize=10_000)  # a study's million paths are made of some thousand parts
def _part_problem(part: str) -> str | None:
    if not is_plain(part):
        return "holds signs that cannot be printed"
    if len(part.encode()) > MAX_PART_BYTES:
        return f"has a part of more than {MAX_PART_BYTES} bytes"
    if part.startswith((".", "~")):
        return "is hidden"
    if part[-1] in ". " or part[0] == " " or ":" in part or _DEVICES.fullmatch(part):
        return "is no name on every system"
    if part.casefold().endswith(PART):
        return f"ends with {PART}, as what has not come whole does"
    return None


def collisions(paths: Iterable[str]) -> list[tuple[str, str]]:
    """(path, why) of those that cannot lie in one folder with the others, on a system that tells no a from A either.

    Twice the same, differing only in case or in how a letter is written, or a file where another needs a folder.
    """
    seen: dict[str, str] = {}
    found: list[tuple[str, str]] = []
    reported: set[str] = set()
    for path in paths:
        key = _folded(path)
        if key not in seen:
            seen[key] = path
        elif path not in reported:
            reported.add(path)
            twin = seen[key]
            found.append(
                (path, "stands more than once" if twin == path else f"is the same as '{twin}' on some systems")
            )
    folders: set[str] = set()
    for key, path in seen.items():
        at = key
        while (cut := at.rfind("/")) > 0:
            at = at[:cut]
            if at in folders:
                break
            folders.add(at)
            if at in seen:
                found.append((path, f"lies in '{seen[at]}', which is a file"))
    return found


def _folded(path: str) -> str:
    return (
        path.lower() if path.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFKC", path).casefold())
    )
