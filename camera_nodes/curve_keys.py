"""CURVE key pairs on disk, and the controller's list of the nodes that may connect.

Secret keys live in a folder of mode 0700, in files of mode 0600; anything more open is refused.  A keys folder holds
`<name>.key` (secret), `<name>.pub`, and at the controller `nodes/<node>.pub`, the allow-list.
"""

import logging
import os
import re
import stat
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import zmq

from camera_nodes.errors import KeyRefused
from common.files.atomic_write import write_whole
from common.files.secret_files import NoSecret, check_private, write_secret

log = logging.getLogger(__name__)

CONTROLLER = "controller"  # name of the controller's key pair
_KEY_NAME = re.compile(r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,63}\Z")
_Z85 = re.compile(r"\A[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}\Z")


@dataclass(frozen=True)
class KeyPair:
    """A CURVE key pair in Z85 text."""

    public: str  # may be shown
    secret: str = field(repr=False)  # not shown by repr


def make_keys(folder: Path, name: str) -> KeyPair:
    """Make `<name>.key` and `<name>.pub` in `folder` (made with mode 0700 when it is not there).

    Raises KeyRefused when the pair exists, the name is no plain name, or the folder is open to others.
    """
    _check_name(name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_private(folder)
    pair = _draw_pair()
    path = folder / f"{name}.key"
    text = f"# secret key of {name}: never copy it to another machine\npublic = {pair.public}\nsecret = {pair.secret}\n"
    try:
        write_secret(path, text)
    except FileExistsError:
        raise KeyRefused(f"{path} exists already; remove it first if {name} shall have new keys") from None
    _write_public(folder / f"{name}.pub", pair.public)
    return pair


def _draw_pair() -> KeyPair:
    """A new pair whose public half begins with a letter or digit: typed after a command, "-abc" would be an option."""
    while True:
        public_bytes, secret_bytes = zmq.curve_keypair()
        if public_bytes[:1].isalnum():
            return KeyPair(public_bytes.decode(), secret_bytes.decode())


def load_keys(folder: Path, name: str) -> KeyPair:
    """The pair of `name`.  Raises KeyRefused: missing, malformed, or readable by others than its owner."""
    _check_name(name)
    path = folder / f"{name}.key"
    if not path.is_file():
        raise KeyRefused(f"no key file {path}: make one with `mien node keys {name} --keys {folder}`")
    _check_private(folder)
    _check_private(path)
    values: dict[str, str] = {}
    for line in path.read_text(encoding="ascii", errors="replace").splitlines():
        name_, separator, value = line.partition(" = ")
        if separator and not line.startswith("#"):
            values[name_.strip()] = value.strip()
    public, secret = values.get("public", ""), values.get("secret", "")
    if not (_Z85.match(public) and _Z85.match(secret)):
        raise KeyRefused(f"{path} is not a key file: it needs the lines 'public = ...' and 'secret = ...'")
    if zmq.curve_public(secret.encode()).decode() != public:
        raise KeyRefused(f"{path}: the public key does not belong to the secret one")
    return KeyPair(public, secret)


def ensure_keys(folder: Path, name: str) -> KeyPair:
    """The pair of `name`, made now if it is not there."""
    return load_keys(folder, name) if (folder / f"{name}.key").exists() else make_keys(folder, name)


def load_public(path: Path) -> str:
    """The public key in a `.pub` file.  Raises KeyRefused: missing, malformed, or writable by others."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise KeyRefused(f"cannot read the public key {path}: {error.strerror}") from None
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise KeyRefused(f"{path} can be changed by others: chmod 644 {path}")
    return check_public(text, str(path))


def is_public(text: str) -> bool:
    """Whether it can be a public key: 40 characters of Z85."""
    return _Z85.match(text) is not None


def check_public(key: str, where: str) -> str:
    """`key` itself if it is a Z85 public key; KeyRefused naming `where` otherwise."""
    if not _Z85.match(key):
        raise KeyRefused(f"{where}: a public key is 40 characters of Z85, not {key[:50]!r}")
    return key


def _check_name(name: str) -> None:
    if not _KEY_NAME.match(name):
        raise KeyRefused(
            f"{name!r} cannot name a key: letters, digits, '.', '_' and '-', not beginning with '.' or '-'"
        )


def _check_private(path: Path) -> None:
    try:
        check_private(path, owners=(os.geteuid(), 0))
    except NoSecret as error:
        if error.fault == "owner":
            raise KeyRefused(f"{path} belongs to another user (uid {error.uid})") from None
        wanted = "700" if path.is_dir() else "600"
        raise KeyRefused(f"{path} is open to other users (mode {error.mode:o}): chmod {wanted} {path}") from None


def pin_controller(folder: Path, public: str) -> bool:
    """Write the controller's key where the node looks for it.  True when another one was pinned before."""
    path = folder / f"{CONTROLLER}.pub"
    known = path.read_text(encoding="ascii", errors="replace").strip() if path.exists() else public
    _write_public(path, check_public(public, "the controller's key"))
    return known != public


def _write_public(path: Path, public: str) -> None:
    write_whole(path, public + "\n", mode=0o644, durable=False)


class KnownKeys(Protocol):
    """Who may connect: the name behind a public key, or None."""

    def name_of(self, public: str) -> str | None: ...


class AllowList:
    """The nodes that may connect: one `<node>.pub` a node in `<keys>/nodes`.  Read anew when the folder changes."""

    def __init__(self, keys_folder: Path) -> None:
        self.folder = keys_folder / "nodes"
        self._stamp = -1
        self._names: dict[str, str] = {}  # public key -> node

    def add(self, node: str, public: str) -> None:
        """Let `node` in.  Raises KeyRefused when the key is malformed or enrolled under another name."""
        _check_name(node)
        check_public(public, node)
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        other = self.name_of(public)
        if other not in (None, node):
            raise KeyRefused(f"this key is enrolled as {other}: every node has its own (`mien node keys {node}`)")
        _write_public(self.folder / f"{node}.pub", public)

    def remove(self, node: str) -> None:
        """Let `node` in no longer (from its next connection on)."""
        _check_name(node)
        (self.folder / f"{node}.pub").unlink(missing_ok=True)

    def name_of(self, public: str) -> str | None:
        """The node whose key this is, or None."""
        self._refresh()
        return self._names.get(public)

    def key_of(self, node: str) -> str | None:
        """The public key under which `node` is enrolled, or None.  Raises KeyRefused for what cannot be a name."""
        _check_name(node)
        self._refresh()
        return next((public for public, name in self._names.items() if name == node), None)

    def names(self) -> list[str]:
        """The enrolled nodes, sorted."""
        self._refresh()
        return sorted(self._names.values())

    def _refresh(self) -> None:
        try:
            stamp = self.folder.stat().st_mtime_ns
        except FileNotFoundError:
            self._names = {}
            return
        if stamp == self._stamp and time.time_ns() - stamp > 2_000_000_000:  # a file system's stamps may be coarse
            return
        names: dict[str, str] = {}
        for path in sorted(self.folder.glob("[!.]*.pub")):
            try:
                names[load_public(path)] = path.stem
            except KeyRefused as refusal:
                log.error("allow-list: %s", refusal)
        self._names, self._stamp = names, stamp
