"""What happened after a copy was made, where it can be learnt, and what of it is done again when the copy is restored.

From the later snapshots, from the journal beside the store, and from the old database where it can still be read.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from common.files.json_object import read_json_object
from common.take_codes import SubjectCode, TakeCode
from db.audit import audit_log
from db.audit.irreversible_acts import IrreversibleActs, irreversible_acts
from db.audit.number_floors import NumberFloors
from db.audit.restore_journal import read_journal
from db.backups.age_encryption import Opener
from db.backups.backup_repository import ABOUT, LARGEST_JSON, BackupFolder, Snapshot, Stored, private, room
from db.captures import close_session, get_session, unclosed_sessions
from db.engine import reading, transaction
from db.erasure.erasures import erase_subject
from db.erasure.take_withdrawals import erase_take, withdraw_take
from db.errors import BackupError, RecordError
from db.models import CaptureSession, Consent, ConsentScope, SessionState, Subject, Take
from db.store import Store
from db.subjects import withdraw_consent

SKIP = 10  # numbers passed over where nobody can say which were given


class CodesUnknown(BackupError):
    """Nothing that can be read says which codes were given after the copy: the person has to."""

    exit_code = 2


@dataclass(frozen=True)
class ActsKnown:
    """What is known of the time after the copy."""

    acts: IrreversibleActs
    exact: bool  # from something that saw everything
    sources: tuple[str, ...]  # in words


@dataclass
class RestoreReport:
    """What was restored, what the copy lacks, what was repeated, and what a person has to do."""

    home: str
    snapshot: str
    made_at: str  # of the snapshot, ISO 8601
    revision: str  # of its schema
    rows_equal: bool = False
    files: int = 0
    bytes: int = 0
    next_code: str = ""  # the first that is given now
    exact: bool = False  # something that saw everything since could be read
    sources: tuple[str, ...] = ()  # what was read of the time since, in words
    missing: list[dict[str, Any]] = field(default_factory=list)  # files that rows name and the backup has not sound
    newer: list[str] = field(default_factory=list)  # what happened after the copy and is not in it
    repeated: list[str] = field(default_factory=list)  # withdrawals and erasures that were made again
    to_do: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class BackupReader:
    """A folder of backups that is read back."""

    folder: BackupFolder
    opener: Opener | None  # opens its files, where they are sealed
    work: Path  # where they lie in clear meanwhile

    def fetch(self, path: Path, stored: Stored, target: Path) -> None:
        """A file of the backup in clear at `target`. Raises ValueError, OSError, BackupError, BackupKeyError."""
        target.unlink(missing_ok=True)
        with room(target.parent), private(target) as file:
            self.folder.get(path, stored, file, self.opener)

    def about(self, snapshot: Snapshot) -> dict[str, Any]:
        """What a snapshot says of the studio then: its acts, and the files that it lacks. Raises as fetch."""
        path, stored = snapshot.part(snapshot.manifest(), ABOUT)
        plain = self.work / f"{snapshot.name}.about"
        try:
            self.fetch(path, stored, plain)
            return read_json_object(plain, BackupError, most=LARGEST_JSON)
        finally:
            plain.unlink(missing_ok=True)


def known_since(reader: BackupReader, engines: Sequence[Engine], journals: Sequence[Path]) -> ActsKnown:
    """What all snapshots, these databases and these journals know together.

    A journal or a database saw everything when it knows of every number that any of the others does: one that stopped
    early, or was put back by hand, does not.
    """
    together, sources, witnesses = IrreversibleActs(), [], []
    for snapshot in reader.folder.snapshots():
        with suppress(BackupError, OSError, ValueError, KeyError, TypeError, AttributeError):
            together |= IrreversibleActs.from_json(reader.about(snapshot)["acts"])
            sources = [f"the snapshots up to {snapshot.name}"]
    for path in journals:
        found = read_journal(path)
        if found is not None:
            witnesses.append((f"the journal {path}", found))
    for engine in engines:
        where = f"the database {engine.url.render_as_string()}"
        try:
            with reading(engine) as tx:
                witnesses.append((where, irreversible_acts(tx)))
        except (RecordError, DBAPIError, ValueError) as error:
            sources.append(f"not {where}, which cannot be read ({type(error).__name__})")
    for _, acts in witnesses:
        together |= acts
    for name, acts in witnesses:
        sources.append(name if _saw_everything(acts, together) else f"{name}, which does not know of everything")
    return ActsKnown(together, any(_saw_everything(acts, together) for _, acts in witnesses), tuple(sources))


def floors_for(tx: Session, known: ActsKnown, codes_from: str | None) -> NumberFloors:
    """The numbers never to give again.

    codes_from: the first code that may be given. Raises BackupError when that or a later one was given already,
    CodesUnknown when nothing says what was given and neither does `codes_from`.
    """
    highest = known.acts.subjects
    if codes_from is not None:
        said = SubjectCode.find(codes_from.strip().upper())
        if said is None:
            raise CodesUnknown(
                f"'{codes_from}' is no subject code; give the first that is free, as in {SubjectCode(highest + 1)}"
            )
        if said.number <= highest:
            raise BackupError(
                f"{said} cannot be the next code: {SubjectCode(highest)} was given. "
                f"--codes-from {SubjectCode(highest + 1)} or later"
            )
        highest = said.number - 1
    elif not known.exact:
        raise CodesUnknown(
            f"Codes up to {SubjectCode(highest)} are known to have been given, and nothing says whether there were "
            "more: no journal, no old database. Look at the signed forms, then give the first free code, as in "
            f"--codes-from {SubjectCode(highest + SKIP)}; or show the studio as it was with --old HOME"
        )
    skipped = 0 if known.exact else SKIP
    sessions = dict(known.acts.sessions)
    for code in tx.scalars(select(Subject.code)):
        sessions[code] = sessions.get(code, 0) + skipped
    attempts = {
        code: last + SKIP
        for code, last in tx.execute(
            select(CaptureSession.code, func.coalesce(func.max(Take.attempt), 0))
            .outerjoin(Take, Take.session_id == CaptureSession.id)
            .where(CaptureSession.state != SessionState.CLOSED)
            .group_by(CaptureSession.code)
        )
    }
    releases = {name: version + skipped for name, version in known.acts.releases.items()}
    models = {name: version + skipped for name, version in known.acts.models.items()}
    return NumberFloors(highest, {code: last for code, last in sessions.items() if last}, attempts, releases, models)


def name_what_is_newer(then: IrreversibleActs, known: IrreversibleActs, report: RestoreReport) -> None:
    """What happened after the copy, and is not in it."""
    if known.subjects > then.subjects:
        first, last = SubjectCode(then.subjects + 1), SubjectCode(known.subjects)
        report.newer.append(f"subjects {first} to {last}" if first != last else f"subject {first}")
    for code, number in sorted(known.sessions.items()):
        report.newer += [f"session {code}-{n}" for n in range(then.sessions.get(code, 0) + 1, number + 1)]
    for name, version in sorted(known.releases.items()):
        report.newer += [f"release {name} {n}" for n in range(then.releases.get(name, 0) + 1, version + 1)]
    for name, version in sorted(known.models.items()):
        report.newer += [f"face model {name} {n}" for n in range(then.models.get(name, 0) + 1, version + 1)]
    for what, at in sorted(known.given.items()):
        if at > then.given.get(what, ""):
            code, _, scope = what.partition(" ")
            report.newer.append(f"consent of {code} for {scope}, entered {at[:10]}")
            subject = SubjectCode.find(code)
            if subject is not None and subject.number <= then.subjects:
                report.to_do.append(f"enter the consent of {code} for {scope} of {at[:10]} anew, from its form")
    for code in then.open_sessions:
        report.to_do.append(f"session {code} was not closed: takes it made after the copy are not in it")


def repeat(
    engine: Engine, store: Store, then: IrreversibleActs, known: IrreversibleActs, report: RestoreReport
) -> None:
    """Withdrawals and erasures that the copy does not know of are made again; what cannot be is named."""
    since: dict[str, dict[str, str]] = {}
    for what, at in known.withdrawn.items():
        if at > then.withdrawn.get(what, ""):
            code, _, scope = what.partition(" ")
            since.setdefault(code, {})[scope] = at
    for code, scopes in sorted(since.items()):
        _attempt(report, f"mien subject withdraw {code}", partial(_withdraw, engine, code, scopes, report))
    for take, at in sorted(known.taken.items()):
        found = TakeCode.find(take)
        if found and (take not in then.taken or (take in known.taken_files and take not in then.taken_files)):
            files = take in known.taken_files
            what = f"mien subject withdraw {found.subject} --take {take}" + (" --erase" if files else "")
            _attempt(report, what, partial(_withdraw_take, engine, store, found, at, files, report))
    for code, at in sorted(known.erased.items()):
        if code not in then.erased:
            what = f"{code} was erased on {at[:10]}: mien subject withdraw {code} --erase"
            _attempt(report, what, partial(_erase, engine, store, code, at, report))


def _attempt(report: RestoreReport, by_hand: str, act: Callable[[], None]) -> None:
    try:
        act()
    except RecordError as error:
        report.to_do.append(f"{by_hand} ({error})")


def _withdraw(engine: Engine, code: str, scopes: dict[str, str], report: RestoreReport) -> None:
    with transaction(engine) as tx:
        subject = tx.scalar(select(Subject).where(Subject.code == code))
        if subject is None:
            return
        still = [
            consent.scope
            for consent in subject.consents
            if consent.withdrawn_at is None and consent.recorded_at.isoformat() < scopes.get(consent.scope, "")
        ]
        if still:
            withdraw_consent(tx, subject, still)
            said = ", ".join(f"{scope} on {scopes[scope][:10]}" for scope in still)
            report.repeated.append(f"{code} withdrew {said}")


def _withdraw_take(engine: Engine, store: Store, code: TakeCode, at: str, files: bool, report: RestoreReport) -> None:
    subject, take = str(code.subject), str(code)
    with transaction(engine) as tx:
        if tx.scalar(select(Take.id).where(Take.code == take)) is None:
            return
        withdraw_take(tx, subject, take)
    said = f"{take} was withdrawn on {at[:10]}"
    if files:
        said += f": erased again, {erase_take(engine, store, subject, take).files} files"
    report.repeated.append(said)


def _erase(engine: Engine, store: Store, code: str, at: str, report: RestoreReport) -> None:
    with transaction(engine) as tx:
        subject = tx.scalar(select(Subject).where(Subject.code == code))
        if subject is None:
            return
        still = tx.scalars(
            select(Consent.scope).where(Consent.subject_id == subject.id, Consent.withdrawn_at.is_(None))
        )
        scopes: list[ConsentScope] = list(still)
        if scopes:
            withdraw_consent(tx, subject, scopes)
        for session in unclosed_sessions(tx, subject.id):
            close_session(tx, get_session(tx, session), incomplete=True)
            audit_log.record(tx, "session.close", "session", session, {"incomplete": True})
    erased = erase_subject(engine, store, code)
    report.repeated.append(f"{code} was erased on {at[:10]}: erased again, {erased.files} files")


def _saw_everything(acts: IrreversibleActs, together: IrreversibleActs) -> bool:
    return acts.subjects >= together.subjects and all(
        acts.sessions.get(code, 0) >= number for code, number in together.sessions.items()
    )
