"""`mien subject`: the participants and their consents."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.terminal.options import AsJson, Database, Home, SubjectCode, print_json, print_table
from db.commands import subject_personal_data, subject_rights
from db.commands.subject_consent import (
    Day,
    Document,
    Guardian,
    Scopes,
    SharedForm,
    Version,
    choice,
    consent,
    give,
    scopes_of,
    signed_form,
)
from db.commands.subject_withdraw import withdraw

if TYPE_CHECKING:
    from db.models import JobState, Subject, TakeState
    from db.subjects import SubjectLine

app = typer.Typer(no_args_is_help=True, help="Subjects and their consents.")
app.add_typer(subject_personal_data.app, name="personal")
app.command(name="edit")(subject_rights.edit)
app.command(name="export")(subject_rights.export)
app.command(name="receipt")(subject_rights.receipt)
app.command(name="retention")(subject_rights.keep_until)


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

    scopes = scopes_of(consent)
    if not scopes and (consent_date or consent_document or consent_version or guardian or shared_form):
        raise ConsentError("--consent-date, --consent-document and --consent-version need --consent SCOPE")
    signed = signed_form(consent_date, consent_document, consent_version, guardian, shared_form) if scopes else None
    known_gender = Gender(choice(gender, Gender, "--gender")) if gender else None
    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        subject = add_subject(tx, age=age, gender=known_gender, job=job)
        if signed is not None:
            give(tx, studio, subject, scopes, *signed)
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


app.command()(consent)
app.command()(withdraw)


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


def _counted(counts: "Mapping[TakeState, int] | Mapping[JobState, int]") -> str | None:
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or None
