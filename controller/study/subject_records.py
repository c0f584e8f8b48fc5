"""Subjects and their consents as the page shows and records them: a code and an age, never a name."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from controller.study.farm_records import run_data
from controller.study.stage_outputs import RIG_PICTURE
from db.consents.capture_consent import CaptureConsent, today
from db.consents.consent_rules import SignedForm
from db.consents.study_settings import StudySettings
from db.consents.withdrawals import releases_that_show_eyes
from db.engine import reading, transaction
from db.errors import ConsentError
from db.models import CaptureSession, ConsentScope, Gender, Subject
from db.settings import Settings
from db.stage_runs.subject_runs import subject_runs
from db.subject_data.retention import retention
from db.subjects import ConsentLine, SubjectLine, add_subject, get_subject, give_consent, list_subjects


@dataclass(frozen=True)
class ConsentShown:
    """A consent of a subject."""

    scope: str
    given_on: date
    form_version: str | None
    guardian: bool
    withdrawn_on: date | None
    kept_until: date | None  # what it allows may be kept until then; None where no term is set
    ended: bool  # that day has passed


@dataclass(frozen=True)
class SubjectShown:
    """A subject of the study."""

    code: str
    age: int | None  # years, as it said when it was added
    standing: str  # of its consent today: a CaptureConsent's value, or "erased"
    consents: tuple[ConsentShown, ...]  # the newest of each scope
    sessions: tuple[str, ...]  # codes, the oldest first


@dataclass(frozen=True)
class RigShown:
    """The newest run that makes a subject's rig of all its takes."""

    session: str
    takes: tuple[str, ...]  # labels of those that it was made of
    stands: bool  # whether these are the session's accepted takes still
    state: str
    reason: str  # why it is not done; "" when it is
    verdict: str | None
    reasons: tuple[str, ...]
    picture: str | None  # SHA-256 of the sheet of its units; None where nothing may be shown


@dataclass(frozen=True)
class SignedConsent:
    """What was signed: one form, for one or more scopes."""

    scopes: Sequence[ConsentScope]
    given_on: date
    form: SignedForm


@dataclass(frozen=True)
class RecordedConsent:
    """What recording a consent has said."""

    subject: str
    told: tuple[str, ...]  # what is odd about it, and was not refused
    eyes_in: tuple[str, ...]  # releases that show the eyes which are to be mosaicked from now on


class SubjectRecords:
    """The study's subjects. Methods may be called from any thread."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings

    def all(self) -> list[SubjectShown]:
        """In order of code. Raises SettingsError for a studio.toml whose [records] cannot be used."""
        study = StudySettings.of(self._settings)
        with reading(self._engine) as tx:
            lines = list_subjects(tx)
            until = {(due.code, str(due.scope)): due.until for due in retention(tx, study) if due.scope}
            sessions: dict[str, list[str]] = {}
            query = select(Subject.code, CaptureSession.code).join(Subject, Subject.id == CaptureSession.subject_id)
            for code, session in tx.execute(query.order_by(CaptureSession.id)):
                sessions.setdefault(code, []).append(session)
        return [_shown(line, until, tuple(sessions.get(line.code, ()))) for line in lines]

    def rig(self, code: str) -> RigShown | None:
        """The subject's rig as the farm has it; None where none was asked for. Raises NotFound."""
        stage, output = RIG_PICTURE
        with reading(self._engine) as tx:
            get_subject(tx, code)
            runs = subject_runs(tx, stage, [code])
        if not runs:
            return None
        newest = runs[0]
        data = run_data(newest.run)
        made = newest.run.files.get(output)
        return RigShown(
            newest.session, newest.takes, newest.stands, data["state"], data["reason"], newest.run.verdict,
            tuple(newest.run.reasons), made.sha256 if made else None,
        )  # fmt: skip

    def add(self, age: int | None, gender: Gender | None, consent: SignedConsent | None) -> RecordedConsent:
        """A new subject under the next free code, with what it has signed. Raises RecordError, ConsentError."""
        with transaction(self._engine) as tx:
            subject = add_subject(tx, age=age, gender=gender)
            told = self._give(tx, subject, consent) if consent is not None else ()
            return RecordedConsent(subject.code, told, ())

    def record_consent(self, code: str, consent: SignedConsent) -> RecordedConsent:
        """A consent that was signed after the subject was added. Raises NotFound, ConsentError, AlreadyThere."""
        with transaction(self._engine) as tx:
            subject = get_subject(tx, code)
            told = self._give(tx, subject, consent)
            mosaic = ConsentScope.EYES_MOSAICKED in consent.scopes
            return RecordedConsent(code, told, releases_that_show_eyes(tx, subject) if mosaic else ())

    def _give(self, tx: Session, subject: Subject, consent: SignedConsent) -> tuple[str, ...]:
        form = consent.form
        if form.document_sha256 is None or not form.form_version or not consent.scopes:
            raise ConsentError(
                "A consent needs what it allows, the day it was signed, the signed form (its hash is kept) and which "
                "text was signed"
            )
        rules = StudySettings.of(self._settings).rules
        said: dict[str, None] = {}  # once, however many scopes the form has
        for scope in (s for s in ConsentScope if s in consent.scopes):  # a condition after what it limits
            give_consent(
                tx, subject, scope, consent.given_on, **asdict(form), rules=rules, told=lambda t: said.setdefault(t)
            )
        return tuple(said)


def _shown(line: SubjectLine, until: dict[tuple[str, str], date | None], sessions: tuple[str, ...]) -> SubjectShown:
    newest = {consent.scope: consent for consent in line.consents}
    consents = tuple(
        _consent(newest[scope], until.get((line.code, str(scope)))) for scope in ConsentScope if scope in newest
    )
    return SubjectShown(line.code, line.age, _standing(line), consents, sessions)


def _consent(consent: ConsentLine, until: date | None) -> ConsentShown:
    withdrawn = consent.withdrawn_at.date() if consent.withdrawn_at else None
    ended = until is not None and until < today()
    return ConsentShown(
        str(consent.scope), consent.given_on, consent.form_version, consent.guardian, withdrawn, until, ended
    )


def _standing(line: SubjectLine) -> str:
    """As db.consents.capture_consent.consenting has it, of a line of the list."""
    if line.erased_at is not None:
        return "erased"
    counted = [consent for consent in line.consents if consent.scope != ConsentScope.EYES_MOSAICKED]
    still_open = [consent for consent in counted if consent.withdrawn_at is None]
    if any(consent.given_on <= today() for consent in still_open):
        return CaptureConsent.GIVEN.value
    if still_open:
        return CaptureConsent.NOT_YET.value
    return (CaptureConsent.WITHDRAWN if counted else CaptureConsent.NONE).value
