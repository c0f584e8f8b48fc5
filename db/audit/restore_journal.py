"""A journal outside the database of what a restored copy must not forget, kept beside the store.

Whoever opens a studio's database says where its store is (`keep_journal`); from then on the entries of the audit log
that matter (db.audit.irreversible_acts) are appended to `journal.jsonl` before their transaction commits. An entry
whose transaction
failed afterwards skips a number or names a withdrawal twice, which harms nobody. The first line says what the database
held when the journal began, so the journal alone knows all.

After such an act SQLite's log is carried into its main file too, so that even a bare copy of the file has it. Takes are
no such acts: firing is not slowed.
"""

import json
import logging
import sqlite3
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from common.files.append_lines import append_lines
from db.audit.irreversible_acts import IrreversibleActs, irreversible_acts
from db.engine import reading

NAME = "journal.jsonl"
WATCHED = frozenset(
    {
        *("subject.add", "session.start", "consent.give", "consent.withdraw"),
        *("take.withdraw", "take.erase.begin", "take.erase"),
        *("subject.erase.begin", "subject.erase", "release.begin", "release.complete", "model.build", "studio.restore"),
    }
)
_KEPT: weakref.WeakKeyDictionary[Engine, Path] = weakref.WeakKeyDictionary()
_SETTLE = "mien_settle"
_LARGEST = 64 << 20  # bytes of journal that are read; a study of ten years has a tenth
_log = logging.getLogger(__name__)


def place(store: str, home: Path) -> Path:
    """The journal of a studio: at the root of its store, or in the home when the store is elsewhere."""
    return (home if "://" in store else Path(store)) / NAME


def keep_journal(engine: Engine, path: Path) -> None:
    """Write what happens in this database from now on to the journal at `path`; creates nothing before that."""
    _KEPT[engine] = path


def begin_journal(engine: Engine) -> None:
    """Begin the journal now, where there is none, and not only with the next act."""
    path = _KEPT.get(engine)
    if path is not None and path.parent.is_dir() and not path.exists():
        with reading(engine) as tx:
            base = {"base": asdict(irreversible_acts(tx))}
        with suppress(OSError):  # the next act says that it cannot be written
            append_lines(path, json.dumps(base) + "\n")


def read_journal(path: Path) -> IrreversibleActs | None:
    """What a journal knows; None when there is none. A last line that was cut off by a crash is passed over."""
    try:
        with path.open("rb") as file:
            lines = file.read(_LARGEST).splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    acts: IrreversibleActs | None = None
    for line in lines:
        with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            written = json.loads(line)
            if "base" in written:
                base = IrreversibleActs.from_json(written["base"])
                acts = base if acts is None else acts | base
            elif acts is not None:
                acts = acts.followed_by(written["action"], written["about"], written["detail"], written["at"])
    return acts


def note(tx: Session, entries: Sequence[Mapping[str, Any]]) -> None:
    """Before a commit: append those of the audit log's new entries that matter. Called by db.audit.audit_log."""
    watched = [entry for entry in entries if entry["action"] in WATCHED]
    if not watched:
        return
    tx.info[_SETTLE] = True
    engine = tx.get_bind()
    path = _KEPT.get(engine) if isinstance(engine, Engine) else None
    if path is None:
        return
    lines = []
    if not path.exists():
        lines.append({"base": asdict(irreversible_acts(tx))})
    for entry in watched:
        said = {"scope": str(entry["detail"]["scope"])} if "scope" in entry["detail"] else {}
        at = entry["at"].isoformat()
        lines.append({"at": at, "action": entry["action"], "about": entry["about_id"], "detail": said})
    try:
        append_lines(path, "".join(json.dumps(line) + "\n" for line in lines))
    except OSError as error:
        _log.warning("The journal %s cannot be written (%s): make backups until it can", path, error.strerror)


@event.listens_for(Session, "after_commit")
def _settle(tx: Session) -> None:
    if not tx.info.pop(_SETTLE, False):
        return
    engine = tx.get_bind()
    if not isinstance(engine, Engine) or engine.dialect.name != "sqlite":
        return
    # Best effort, and nobody waits for it: PASSIVE carries over what no reader still needs.
    with suppress(SQLAlchemyError, sqlite3.Error):
        connection = engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").close()
        finally:
            connection.close()


@event.listens_for(Session, "after_rollback")
def _forget(tx: Session) -> None:
    tx.info.pop(_SETTLE, None)
