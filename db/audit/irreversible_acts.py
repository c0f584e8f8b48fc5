"""What happened that a restored copy must not forget: numbers given, withdrawals, erasures; and where to learn of it.

From a database that can still be read, from a backup's snapshots, and from the journal beside the store
(db.audit.restore_journal).
Codes and days alone: nothing here says who anybody is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from common.take_codes import SessionCode, SubjectCode, TakeCode
from db.audit.number_floors import floors_of
from db.engine import utc_now
from db.models import (
    CaptureSession,
    Consent,
    FaceModel,
    Release,
    ReleaseState,
    SessionState,
    Subject,
    Take,
    TakeWithdrawal,
)


@dataclass(frozen=True)
class IrreversibleActs:
    """What is known of a studio that cannot be taken back. Times are ISO 8601, UTC."""

    known_at: str = ""  # the newest look
    subjects: int = 0  # the highest number that was given
    sessions: Mapping[str, int] = field(default_factory=dict)  # the highest number by subject
    open_sessions: tuple[str, ...] = ()  # those that may still have taken photographs
    releases: Mapping[str, int] = field(default_factory=dict)  # the highest version by name
    erased: Mapping[str, str] = field(default_factory=dict)  # code -> when
    withdrawn: Mapping[str, str] = field(default_factory=dict)  # the newest withdrawal: 'S012 publication' -> when
    given: Mapping[str, str] = field(default_factory=dict)  # the newest consent: 'S012 publication' -> when
    taken: Mapping[str, str] = field(default_factory=dict)  # takes that were withdrawn by themselves -> when
    taken_files: Mapping[str, str] = field(default_factory=dict)  # ... and those whose files were erased -> when
    models: Mapping[str, int] = field(default_factory=dict)  # the highest version of a face model by name

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError for what is none."""
        return cls(
            known_at=str(value["known_at"]),
            subjects=int(value["subjects"]),
            sessions={str(k): int(v) for k, v in value["sessions"].items()},
            open_sessions=tuple(str(code) for code in value["open_sessions"]),
            releases={str(k): int(v) for k, v in value["releases"].items()},
            **{name: {str(k): str(v) for k, v in value[name].items()} for name in ("erased", "withdrawn", "given")},
            **{name: {str(k): str(v) for k, v in value.get(name, {}).items()} for name in ("taken", "taken_files")},
            models={str(k): int(v) for k, v in value.get("models", {}).items()},
        )

    def __or__(self, other: "IrreversibleActs") -> "IrreversibleActs":
        """What both know together."""
        return IrreversibleActs(
            max(self.known_at, other.known_at),
            max(self.subjects, other.subjects),
            _highest(self.sessions, other.sessions),
            tuple(sorted({*self.open_sessions, *other.open_sessions})),
            _highest(self.releases, other.releases),
            {**other.erased, **self.erased},
            _highest(self.withdrawn, other.withdrawn),
            _highest(self.given, other.given),
            {**other.taken, **self.taken},
            {**other.taken_files, **self.taken_files},
            _highest(self.models, other.models),
        )

    def followed_by(self, action: str, about: str, detail: Mapping[str, Any], at: str) -> "IrreversibleActs":
        """With one entry of the audit log more; those that are none of ours change nothing."""
        more = IrreversibleActs(known_at=at)
        code, session, take = SubjectCode.find(about), SessionCode.find(about), TakeCode.find(about)
        if action == "subject.add" and code:
            more = IrreversibleActs(at, subjects=code.number)
        elif action == "session.start" and session:
            more = IrreversibleActs(at, sessions={str(session.subject): session.number}, open_sessions=(about,))
        elif action in ("release.begin", "release.complete"):
            name, _, version = about.rpartition(" ")
            more = IrreversibleActs(at, releases={name: int(version)}) if version.isdecimal() else more
        elif action == "model.build":
            name, _, version = about.rpartition(" ")
            more = IrreversibleActs(at, models={name: int(version)}) if version.isdecimal() else more
        elif action == "consent.withdraw" and code:
            more = IrreversibleActs(at, withdrawn={f"{about} {detail.get('scope')}": at})
        elif action == "consent.give" and code:
            more = IrreversibleActs(at, given={f"{about} {detail.get('scope')}": at})
        elif action in ("subject.erase.begin", "subject.erase") and code:
            more = IrreversibleActs(at, erased={about: at})
        elif action == "take.withdraw" and take:
            more = IrreversibleActs(at, taken={about: at})
        elif action in ("take.erase.begin", "take.erase") and take:
            more = IrreversibleActs(at, taken_files={about: at})
        return self | more


def irreversible_acts(tx: Session) -> IrreversibleActs:
    """What a database knows."""
    sessions: dict[str, int] = {}
    for code, kept in tx.execute(select(CaptureSession.code, Subject.code).join(CaptureSession.subject)):
        sessions[kept] = max(sessions.get(kept, 0), SessionCode.parse(code).number)
    open_ones = select(CaptureSession.code).where(CaptureSession.state != SessionState.CLOSED)
    versions = select(Release.name, func.max(Release.version)).where(Release.state != ReleaseState.FAILED)
    models = select(FaceModel.name, func.max(FaceModel.version)).group_by(FaceModel.name)
    erased = select(Subject.code, Subject.erased_at).where(Subject.erased_at.is_not(None))
    consents = select(Subject.code, Consent.scope, func.max(Consent.withdrawn_at)).join(Consent.subject)
    given = select(Subject.code, Consent.scope, func.max(Consent.recorded_at)).join(Consent.subject)
    by_scope = (Subject.code, Consent.scope)
    floors = floors_of(tx)  # what an earlier restore knew
    codes = [SubjectCode.parse(code).number for code in tx.scalars(select(Subject.code))]
    released = {str(name): int(version) for name, version in tx.execute(versions.group_by(Release.name))}
    return IrreversibleActs(
        known_at=utc_now().isoformat(),
        subjects=max([floors.subjects, *codes]),
        sessions=_highest(sessions, floors.sessions),
        open_sessions=tuple(tx.scalars(open_ones)),
        releases=_highest(released, floors.releases),
        erased={code: at.isoformat() for code, at in tx.execute(erased) if at is not None},
        withdrawn=_times(tx, consents.where(Consent.withdrawn_at.is_not(None)).group_by(*by_scope)),
        given=_times(tx, given.group_by(*by_scope)),
        **_taken(tx),
        models=_highest({str(name): int(version) for name, version in tx.execute(models)}, floors.models),
    )


def _taken(tx: Session) -> dict[str, dict[str, str]]:
    rows = tx.execute(
        select(Take.code, TakeWithdrawal.withdrawn_at, TakeWithdrawal.erasure_id)
        .join(Take, Take.id == TakeWithdrawal.take_id)
        .order_by(Take.id)
    ).all()
    return {
        "taken": {code: at.isoformat() for code, at, _ in rows},
        "taken_files": {code: at.isoformat() for code, at, erasure in rows if erasure is not None},
    }


def _times(tx: Session, query: Select[Any, Any, Any]) -> dict[str, str]:
    return {f"{code} {scope}": at.isoformat() for code, scope, at in tx.execute(query)}


def _highest(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {name: max(at for at in (one.get(name), other.get(name)) if at is not None) for name in {*one, *other}}
