"""A gated server on loopback over real release folders, with a ledger, for tests."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from db.engine import transaction, utc_now
from db.models import Recipient
from db.release_records.access_grants import add_grant, new_token
from db.release_records.recipients import accept_licence, add_recipient
from db.release_records.releases import begin_release, complete_release
from processing.release.formats.manifest import ManifestHead, make_manifest, write_manifest
from processing.release.formats.released_files import LAYOUT
from processing.release.studio.access.access_control import AccessControl
from processing.release.studio.access.delivery_ledger import Ledger
from processing.release.studio.access.file_server import ReleaseServer, RequestLimits
from processing.release.studio.access.served_release import ServedRelease
from processing.release.studio.access.server_process import ListenSettings, make_server, open_listener
from processing.release.studio.access.signed_links import server_key

LICENCE_TEXT = b"You may look.\n"
FILES = {
    "mesh/1/1_neutral.ply": hashlib.shake_256(b"scan").digest(900_000),
    "1/models_reg/1_neutral.obj": b"v 0 0 0\n" * 500,
    "1/models_reg/1_neutral.jpg": b"texture",
    "img/1/1_neutral/0.jpg": b"a photograph",
    "meta/1/1_neutral.json": b"{}",
    "info_list.txt": b"1 - - 10000\n",
    "empty.txt": b"",
    "LICENCE.txt": LICENCE_TEXT,
}


def make_release(engine: Engine, folder: Path, files: dict[str, bytes] = FILES, name: str = "faces") -> Path:
    """A release folder that the records know; its version is the next."""
    with transaction(engine) as tx:
        release = begin_release(tx, name, schema_version=2, consent_day=date(2026, 1, 1), criteria={})
        place = folder / f"{name}-{release.version}"
        for path, data in files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(data)
        manifest = make_manifest(
            place, files, ManifestHead(name=name, version=release.version, consent_day="2026-01-01", subjects=("S001",))
        )
        complete_release(tx, release, write_manifest(place, manifest), [])
    return place


def make_recipient(engine: Engine, institution: str = "University of Somewhere") -> Recipient:
    with transaction(engine) as tx:
        return add_recipient(tx, institution)


def make_grant(
    engine: Engine, recipient: Recipient, *, kinds: Any = tuple(LAYOUT.kinds), days: float = 30,
    licence: bytes | None = LICENCE_TEXT, name: str = "faces", first: int = 1, last: int | None = None,
) -> tuple[str, str]:  # fmt: skip
    """(code, token) of a grant, with its licence accepted."""
    token = new_token()
    with transaction(engine) as tx:
        recipient = tx.get_one(Recipient, recipient.id)
        if licence is not None:
            signed = hashlib.sha256(f"signed by {recipient.code} {name}".encode() + licence).hexdigest()
            accept_licence(
                tx, recipient, name, text_sha256=hashlib.sha256(licence).hexdigest(), text_version="1",
                document_sha256=signed, signed_on=date(2026, 2, 1),
            )  # fmt: skip
        grant = add_grant(
            tx, recipient, name, first_version=first, last_version=last, kinds=kinds,
            until=utc_now() + timedelta(days=days), token=token,
        )  # fmt: skip
    return grant.code, token


@dataclass
class Gated:
    """The server that runs."""

    url: str
    key: bytes
    ledger: Ledger
    gate: AccessControl
    app: ReleaseServer
    stop: Any = field(repr=False, default=None)


@contextmanager
def serving(
    engine: Engine, folders: list[Path], keys: Path, limits: RequestLimits | None = None, **door_says: Any
) -> Iterator[Gated]:
    door = ListenSettings(port=0, **door_says)
    key = server_key(keys)
    gate, ledger = AccessControl(engine, [ServedRelease(folder) for folder in folders], key), Ledger(engine)
    app = ReleaseServer(gate, ledger, limits or RequestLimits(recheck_s=0.0))
    listener = open_listener(door)
    server = make_server(app, door)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        scheme = "https" if door.certificate else "http"
        yield Gated(f"{scheme}://127.0.0.1:{listener.getsockname()[1]}", key, ledger, gate, app)
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
        ledger.flush()
