"""Numbers that are never given again, though the rows that had them are gone.

A database that was restored from an older copy does not know whom it gave codes to since. `mien db restore` writes what
is known of that into the audit log, which nobody can take away again; whoever gives the next code, session number,
attempt or release version asks here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import AuditEvent

ACTION, KIND, ABOUT = "studio.restore", "studio", "numbers"


@dataclass(frozen=True)
class NumberFloors:
    """The highest numbers that may have been given."""

    subjects: int = 0  # as in S012
    sessions: Mapping[str, int] = field(default_factory=dict)  # by subject
    attempts: Mapping[str, int] = field(default_factory=dict)  # of a take, by session
    releases: Mapping[str, int] = field(default_factory=dict)  # versions by name
    models: Mapping[str, int] = field(default_factory=dict)  # versions of face models by name


def floors_of(tx: Session) -> NumberFloors:
    """All of them together."""
    found = NumberFloors()
    for detail in _details(tx):
        found = NumberFloors(
            max(found.subjects, int(detail.get("subjects", 0))),
            *(
                _merged(getattr(found, kind), detail.get(kind, {}))
                for kind in ("sessions", "attempts", "releases", "models")
            ),
        )
    return found


def subjects_given(tx: Session) -> int:
    """The highest subject number that may have been given and is in no row; 0 when nothing was restored."""
    return max((int(detail.get("subjects", 0)) for detail in _details(tx)), default=0)


def sessions_given(tx: Session, subject: str) -> int:
    """The same for the sessions of a subject."""
    return _named(tx, "sessions", subject)


def attempts_given(tx: Session, session: str) -> int:
    """The same for the attempts at each expression of a session."""
    return _named(tx, "attempts", session)


def versions_given(tx: Session, release: str) -> int:
    """The same for the versions of a release."""
    return _named(tx, "releases", release)


def model_versions_given(tx: Session, model: str) -> int:
    """The same for the versions of a face model."""
    return _named(tx, "models", model)


def _named(tx: Session, kind: str, name: str) -> int:
    return max((int(detail.get(kind, {}).get(name, 0)) for detail in _details(tx)), default=0)


def _merged(one: Mapping[str, int], other: Mapping[str, Any]) -> dict[str, int]:
    return {name: max(one.get(name, 0), int(other.get(name, 0))) for name in {*one, *other}}


def _details(tx: Session) -> Iterator[Mapping[str, Any]]:
    query = select(AuditEvent.detail).where(AuditEvent.about_kind == KIND, AuditEvent.about_id == ABOUT)
    yield from tx.scalars(query.where(AuditEvent.action == ACTION))
