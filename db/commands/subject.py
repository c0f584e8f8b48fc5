"""`mien subject`: the participants and their consents."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from common.terminal.options import AsJson, Database, Home, SubjectCode, print_json, print_table
from common.terminal.progress_bar import count_bar
from db.commands import personal_data, subject_rights

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.orm import Session

    from db.consents.withdrawals import Withdrawal
    from db.erasure.erasures import ErasureReport
    from db.erasure.take_withdrawals import WithdrawnTake
    from db.models import ConsentScope, Subject
    from db.studio import StudioRecords
    from db.subjects import SubjectLine

app = typer.Typer(no_args_is_help=True, help="Subjects and their consents.")
app.add_typer(personal_data.app, name="personal")
app.command(name="edit")(subject_rights.edit)
app.command(name="export")(subject_rights.export)
app.command(name="receipt")(subject_rights.receipt)
app.command(name="retention")(subject_rights.keep_until)

Scopes = Annotated[
    list[str] | None,
    typer.Option("--consent", help="research_release, publication or eyes_mosaicked; may be repeated."),
]
Document = Annotated[
    Path | None, typer.Option("--consent-document", exists=True, help="The signed form; its hash is kept.")
]
Version = Annotated[str | None, typer.Option("--consent-version", help="Which text was signed, as in '2026-01'.")]
Guardian = Annotated[
    bool, typer.Option("--guardian", help="A guardian signed for the subject; who, stays on the form.")
]
SharedForm = Annotated[
    str | None, typer.Option("--shared-form", help="Why the form is other subjects' as well, as in 'one for siblings'.")
]
Day = Annotated[datetime | None, typer.Option("--consent-date", formats=["%Y-%m-%d"], help="Day of the signature.")]


@app.command()
def add(
    age: Annotated[int | None, typer.Option(help="Years; voluntary.")] = None,
    gender: Annotated[str | None, typer.Option(help="female, male or other; voluntary.")] = None,
    job: Annotated[str | None, typer.Option(help="Voluntary.")] = None,
    consent: Scopes = None,
    consent_date: Day = None,
    consent_document: Document = None,
    consent_version: Version = None,
    guardian: Guardian = False,
    shared_form: SharedForm = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Add a subject under the next free code, with the consents it has signed."""
    from db.engine import transaction
    from db.errors import ConsentError
    from db.models import Gender
    from db.studio import open_studio
    from db.subjects import add_subject

    scopes = _scopes(consent)
    if not scopes and (consent_date or consent_document or consent_version or guardian or shared_form):
        raise ConsentError("--consent-date, --consent-document and --consent-version need --consent SCOPE")
    signed = _signed(consent_date, consent_document, consent_version, guardian, shared_form) if scopes else None
    known_gender = Gender(_choice(gender, Gender, "--gender")) if gender else None
    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        subject = add_subject(tx, age=age, gender=known_gender, job=job)
        if signed is not None:
            _give(tx, studio, subject, scopes, signed)
    print_json(_report(subject)) if as_json else print(subject.code)


@app.command()
def show(code: SubjectCode, home: Home = None, database: Database = None, as_json: AsJson = False) -> None:
    """Show a subject, its consents and the releases that contain it."""
    from db.engine import reading
    from db.release_records.releases import releases_of_subject
    from db.studio import open_studio
    from db.subjects import get_subject

    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        subject = get_subject(tx, code)
        report = _report(subject) | {"releases": [f"{r.name} {r.version}" for r in releases_of_subject(tx, subject)]}
    if as_json:
        print_json(report)
        return
    rows = [[key, value] for key, value in report.items() if not isinstance(value, list)]
    rows += [[f"consent: {c['scope']}", _consent_text(c)] for c in report["consents"]]
    rows += [["in release", name] for name in report["releases"]]
    print_table(f"Subject {code}", ["", ""], rows)


@app.command()
def history(code: SubjectCode, home: Home = None, database: Database = None, as_json: AsJson = False) -> None:
    """All that happened with a subject: sessions, takes, stage runs, releases, audit entries."""
    from db.engine import reading
    from db.reports.study_overview import subject_history
    from db.studio import open_studio
    from db.subject_data.rectification import changes_of
    from db.subjects import get_subject

    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        subject = get_subject(tx, code)
        found, changes = subject_history(tx, subject), changes_of(tx, subject)
    events = [
        {"at": e.at.isoformat(), "actor": e.actor, "action": e.action, "about": e.about_id, "detail": dict(e.detail)}
        for e in found.events
    ]
    if as_json:
        said = [asdict(change) for change in changes]
        print_json(asdict(replace(found, events=())) | {"put_right": said, "events": events})
        return
    rows: list[list[Any]] = [
        [s.code, s.state, f"{s.opened_at:%Y-%m-%d}", _counted(s.takes), s.photographs, f"{s.bytes / 1e9:.2f} GB"]
        for s in found.sessions
    ]
    print_table(f"Sessions of {code}", ["session", "state", "opened", "takes", "photographs", ""], rows)
    print_table("Stage runs", ["stage", "runs"], [[stage, _counted(states)] for stage, states in found.runs.items()])
    for name, withdrawn in found.releases:
        print(f"in release {name}" + (f", withdrawn {withdrawn:%Y-%m-%d}" if withdrawn else ""))
    print(f"{found.artefacts} artefacts, {found.artefact_bytes / 1e9:.2f} GB")
    rows = [[f"{c.changed_at:%Y-%m-%d %H:%M:%S}", c.field, c.before, c.after] for c in changes]
    if rows:
        print_table("Put right", ["when (UTC)", "", "before", "after"], rows)
    rows = [[f"{e.at:%Y-%m-%d %H:%M:%S}", e.actor, e.action, e.about_id] for e in found.events]
    print_table("Audit log", ["when (UTC)", "who", "what", "about"], rows)


@app.command(name="list")
def list_all(home: Home = None, database: Database = None, as_json: AsJson = False) -> None:
    """List all subjects with the scopes they consent to today."""
    from db.engine import reading
    from db.studio import open_studio
    from db.subjects import list_subjects

    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        reports = [_report(subject) for subject in list_subjects(tx)]
    if as_json:
        print_json(reports)
        return
    rows = [[r["code"], r["age"], r["gender"], r["job"], ", ".join(r["valid_today"]) or None] for r in reports]
    print_table("Subjects", ["code", "age", "gender", "job", "consents to"], rows)


@app.command()
def consent(
    code: SubjectCode,
    scopes: Annotated[
        list[str], typer.Option("--consent", help="research_release, publication or eyes_mosaicked; may be repeated.")
    ],
    consent_date: Day = None,
    consent_document: Document = None,
    consent_version: Version = None,
    guardian: Guardian = False,
    shared_form: SharedForm = None,
    home: Home = None,
    database: Database = None,
) -> None:
    """Record a consent signed after the subject was added."""
    from db.consents.withdrawals import releases_that_show_eyes
    from db.engine import transaction
    from db.models import ConsentScope
    from db.studio import open_studio
    from db.subjects import get_subject

    chosen = _scopes(scopes)
    signed = _signed(consent_date, consent_document, consent_version, guardian, shared_form)
    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        subject = get_subject(tx, code)
        _give(tx, studio, subject, chosen, signed)
        eyes = releases_that_show_eyes(tx, subject) if ConsentScope.EYES_MOSAICKED in chosen else ()
    print(f"{code} consents to {', '.join(chosen)} from {signed.day}")
    if eyes:
        print(f"Its eyes are to be seen in {', '.join(eyes)}: build the next version, and tell those who hold these")


@app.command()
def withdraw(
    code: SubjectCode,
    scope: Annotated[list[str] | None, typer.Option("--consent", help="Only this scope; may be repeated.")] = None,
    take: Annotated[str | None, typer.Option("--take", help="Only this take, as in S012-1-E04-2.")] = None,
    erase: Annotated[
        bool, typer.Option("--erase", help="Remove its photographs and artefacts from the store for good.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Erase without asking.")] = False,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw consents (all by default) or one take: pending work stops, the next release leaves it out."""
    from db import store_identity
    from db.consents.withdrawals import Withdrawal
    from db.engine import transaction
    from db.errors import ConsentError
    from db.models import ConsentScope
    from db.studio import open_studio
    from db.subjects import get_subject, withdraw_consent

    if scope and (erase or take):
        raise ConsentError("--erase removes everything of a subject, and --take all of a take: leave --consent out")
    if take:
        _withdraw_take(code, take, erase, yes, home, database, as_json)
        return
    with open_studio(home, database) as studio:
        if erase:
            store_identity.require(studio.engine, studio.store)  # before the consents close: nothing is changed in half
            _foretell(studio, code, yes)
        with transaction(studio.engine) as tx:
            subject = get_subject(tx, code)
            nothing_open = all(consent.withdrawn_at is not None for consent in subject.consents)
            if erase and nothing_open:  # withdrawn before, or erased in part
                done = Withdrawal(())
            else:
                done = withdraw_consent(tx, subject, _scopes(scope) or tuple(ConsentScope))
            held = _held_by(tx, done.released)
        erased = _erase(studio, code) if erase else None
    if as_json:
        report = {"code": code, "withdrawn": done.closed, "stopped_runs": done.stopped, "in_releases": done.released,
                  "held_by": held}  # fmt: skip
        print_json(report | ({"erased": asdict(erased)} if erased else {}))
    else:
        _print_withdrawal(code, done, erased, held)
    if erased and not erased.finished:
        raise typer.Exit(4)


def _foretell(studio: "StudioRecords", code: str, yes: bool) -> None:
    """Say what an erasure would remove, and ask for the subject's code unless `yes` was given with it."""
    from db.engine import reading
    from db.erasure.erasures import preview_erasure

    with reading(studio.engine) as tx:
        doomed = preview_erasure(tx, code)
    what = f"{doomed.files} files, {doomed.stage_runs} stage runs, {doomed.takes} takes' photographs"
    _stderr().print(f"An erasure of {code} removes for good: {what}", highlight=False, soft_wrap=True)
    if not yes and typer.prompt(f"Type {code} to go on", err=True) != code:
        raise typer.Abort


def _withdraw_take(
    code: str, take: str, erase: bool, yes: bool, home: Path | None, database: str | None, as_json: bool
) -> None:
    from db import store_identity
    from db.engine import transaction
    from db.erasure.take_withdrawals import withdraw_take
    from db.studio import open_studio

    if erase and not yes:
        typer.confirm(f"Remove every photograph and artefact of {take} for good?", abort=True, err=True)
    with open_studio(home, database) as studio:
        if erase:
            store_identity.require(studio.engine, studio.store)
        with transaction(studio.engine) as tx:
            done = withdraw_take(tx, code, take)
            held = _held_by(tx, done.released)
        erased = _erase(studio, code, take) if erase else None
    if as_json:
        print_json({"code": code, "held_by": held} | asdict(done) | ({"erased": asdict(erased)} if erased else {}))
    else:
        _print_take(done, erased, held)
    if erased and not erased.finished:
        raise typer.Exit(4)


def _print_take(done: "WithdrawnTake", erased: "ErasureReport | None", held: Sequence[str]) -> None:
    from db.consents.withdrawals import Withdrawal

    print(f"{done.take} was withdrawn before" if done.before else f"{done.take} leaves in no later release")
    _print_withdrawal(done.take, Withdrawal((), done.stopped, done.released), erased, held)


def _held_by(tx: "Session", releases: Sequence[str]) -> list[str]:
    """Recipients of these releases, by code, as the ledger knows them."""
    from db.release_records.release_holders import holders_by_name

    return list(dict.fromkeys(holder.recipient for holder in holders_by_name(tx, releases)))


def _erase(studio: "StudioRecords", code: str, take: str | None = None) -> "ErasureReport":
    from db.erasure.erasures import erase_subject
    from db.erasure.take_withdrawals import erase_take

    with count_bar(f"erasing {take or code}") as told:
        if take is not None:
            return erase_take(studio.engine, studio.store, code, take, told)
        return erase_subject(studio.engine, studio.store, code, told)


def _print_withdrawal(code: str, done: "Withdrawal", erased: "ErasureReport | None", held: Sequence[str] = ()) -> None:
    if done.closed:
        print(f"{code} no longer consents to {', '.join(done.closed)}")
    if done.stopped:
        print(f"{done.stopped} stage runs were stopped")
    if done.released:
        print(f"It is in {', '.join(done.released)}: build the next version, and tell those who hold these")
        if held:
            print(f"  held by {', '.join(held)}: mien release notices writes to them")
    if erased:
        shared = f"; {erased.shared} stay, because others have equal ones" if erased.shared else ""
        print(f"{erased.files} files of {code} are gone for good ({erased.bytes / 1e6:.1f} MB){shared}")
        if erased.absent:
            print(f"{erased.absent} were not in the store, or had been removed by a run that was interrupted")
        if erased.waiting:
            print(f"{erased.waiting} were filed again meanwhile, or their part of the store is not there")
        if erased.pages:
            print(f"Traces may remain in the database's own file: {erased.pages}")
        if not erased.finished:
            print("The erasure is not over: run the same command again")
            return
        if erased.trashed:
            print(f"{erased.trashed} files lie in the trash. Where some may be {code}'s: mien db trash empty --all")
        print("Backups, other machines' caches and built releases are not this command's: see docs/data-manager.md")


class _Signed(NamedTuple):
    day: date
    document: str
    version: str
    guardian: bool
    shared_form: str | None


def _give(
    tx: "Session", studio: "StudioRecords", subject: "Subject", scopes: "list[ConsentScope]", signed: _Signed
) -> None:
    from db.consents.study_settings import StudySettings
    from db.subjects import give_consent

    rules = StudySettings.of(studio.settings).rules
    said: dict[str, None] = {}  # once, however many scopes the form has
    for scope in scopes:
        give_consent(
            tx, subject, scope, signed.day, document_sha256=signed.document, form_version=signed.version,
            guardian=signed.guardian, shared_form=signed.shared_form, rules=rules, told=lambda t: said.setdefault(t),
        )  # fmt: skip
    for text in said:
        subject_rights.tell(text)


def _signed(
    day: datetime | None, document: Path | None, version: str | None, guardian: bool, shared_form: str | None
) -> _Signed:
    """What was signed. Raises ConsentError that names all that lacks."""
    from db.consents.consent_rules import hash_form
    from db.errors import ConsentError

    if day is None or document is None or not version:
        lacking = [
            *(["the day it was signed (--consent-date YYYY-MM-DD)"] if day is None else []),
            *(["the signed form (--consent-document FILE; its hash is kept)"] if document is None else []),
            *(["which text was signed (--consent-version)"] if not version else []),
        ]
        raise ConsentError(f"A consent needs {', and '.join(lacking)}")
    return _Signed(day.date(), hash_form(document), version, guardian, shared_form)


def _scopes(names: list[str] | None) -> "list[ConsentScope]":
    from db.models import ConsentScope

    chosen = {_choice(name, ConsentScope, "--consent") for name in names or []}
    return [scope for scope in ConsentScope if scope in chosen]  # in their order: a condition after what it limits


def _choice(value: str, allowed: Any, option: str) -> str:
    names = [str(member) for member in allowed]
    if value not in names:
        raise typer.BadParameter(f"'{value}' is none of {', '.join(names)}", param_hint=option)
    return value


def _report(subject: "Subject | SubjectLine") -> dict[str, Any]:
    today = date.today()
    return {
        "code": subject.code,
        "age": subject.age,
        "gender": subject.gender,
        "job": subject.job,
        "erased_at": subject.erased_at.isoformat() if subject.erased_at else None,
        "consents": [
            {
                "scope": str(c.scope),
                "given_on": c.given_on.isoformat(),
                "withdrawn_at": c.withdrawn_at.isoformat() if c.withdrawn_at else None,
                "document_sha256": c.document_sha256,
                "form_version": c.form_version,
                "guardian": c.guardian,
            }
            for c in subject.consents
        ],
        "valid_today": [str(c.scope) for c in subject.consents if c.valid_on(today)],
    }


def _consent_text(consent: dict[str, Any]) -> str:
    withdrawn = consent["withdrawn_at"]
    document, form = consent["document_sha256"], consent["form_version"]
    return ", ".join(
        [
            f"given {consent['given_on']}",
            f"form {form}" if form else "no version of the form",
            f"document {document[:12]}" if document else "no document",
            *(["signed by a guardian"] if consent["guardian"] else []),
            *([f"withdrawn {withdrawn[:10]}"] if withdrawn else []),
        ]
    )


def _counted(counts: Mapping[Any, int]) -> str | None:
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or None


def _stderr() -> "Console":
    from rich.console import Console

    return Console(stderr=True)
