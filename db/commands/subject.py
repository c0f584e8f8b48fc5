"""`mien subject`: the participants and their consents."""

from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from db.commands.options import AsJson, Database, Home, print_json, print_table

if TYPE_CHECKING:
    from db.models import ConsentScope, Subject

app = typer.Typer(no_args_is_help=True, help="Subjects and their consents.")

Scopes = Annotated[
    list[str] | None, typer.Option("--consent", help="research_release or publication; may be repeated.")
]
Day = Annotated[datetime | None, typer.Option("--consent-date", formats=["%Y-%m-%d"], help="Day of the signature.")]


@app.command()
def add(
    age: Annotated[int | None, typer.Option(help="Years; voluntary.")] = None,
    gender: Annotated[str | None, typer.Option(help="female, male or other; voluntary.")] = None,
    job: Annotated[str | None, typer.Option(help="Voluntary.")] = None,
    consent: Scopes = None,
    consent_date: Day = None,
    consent_document: Annotated[
        Path | None, typer.Option(exists=True, help="The signed form; its hash is kept.")
    ] = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Add a subject under the next free code, with the consents it has signed."""
    from db.engine import transaction
    from db.errors import ConsentError
    from db.models import Gender
    from db.store import hash_file
    from db.studio import open_studio
    from db.subjects import add_subject, give_consent

    scopes = _scopes(consent)
    if scopes and consent_date is None:
        raise ConsentError("A consent needs the day it was signed: add --consent-date YYYY-MM-DD")
    if not scopes and (consent_date or consent_document):
        raise ConsentError("--consent-date and --consent-document say nothing without --consent SCOPE")
    document = hash_file(consent_document) if consent_document else None
    known_gender = Gender(_choice(gender, Gender, "--gender")) if gender else None
    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        subject = add_subject(tx, age=age, gender=known_gender, job=job)
        for scope in scopes:
            assert consent_date is not None
            give_consent(tx, subject, scope, consent_date.date(), document_sha256=document)
    print_json(_report(subject)) if as_json else print(subject.code)


@app.command()
def show(code: str, home: Home = None, database: Database = None, as_json: AsJson = False) -> None:
    """Show a subject, its consents and the releases that contain it."""
    from db.engine import reading
    from db.releases import releases_of_subject
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
    code: str,
    scopes: Annotated[list[str], typer.Option("--consent", help="research_release or publication; may be repeated.")],
    consent_date: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Day of the signature.")],
    consent_document: Annotated[
        Path | None, typer.Option(exists=True, help="The signed form; its hash is kept.")
    ] = None,
    home: Home = None,
    database: Database = None,
) -> None:
    """Record a consent signed after the subject was added."""
    from db.engine import transaction
    from db.store import hash_file
    from db.studio import open_studio
    from db.subjects import get_subject, give_consent

    chosen = _scopes(scopes)
    document = hash_file(consent_document) if consent_document else None
    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        subject = get_subject(tx, code)
        for scope in chosen:
            give_consent(tx, subject, scope, consent_date.date(), document_sha256=document)
    print(f"{code} consents to {', '.join(chosen)} from {consent_date:%Y-%m-%d}")


@app.command()
def withdraw(
    code: str,
    scope: Annotated[list[str] | None, typer.Option("--consent", help="Only this scope; may be repeated.")] = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw a subject's consents (all of them by default); the next release leaves it out."""
    from db.engine import transaction
    from db.models import ConsentScope
    from db.releases import releases_of_subject
    from db.studio import open_studio
    from db.subjects import get_subject, withdraw_consent

    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        subject = get_subject(tx, code)
        closed = withdraw_consent(tx, subject, _scopes(scope) or tuple(ConsentScope))
        releases = [f"{r.name} {r.version}" for r in releases_of_subject(tx, subject)]
    if as_json:
        print_json({"code": code, "withdrawn": closed, "in_releases": releases})
        return
    print(f"{code} no longer consents to {', '.join(closed)}")
    if releases:
        print(f"It is in {', '.join(releases)}: build the next version, and tell those who hold these")


def _scopes(names: list[str] | None) -> "list[ConsentScope]":
    from db.models import ConsentScope

    return [ConsentScope(_choice(name, ConsentScope, "--consent")) for name in dict.fromkeys(names or [])]


def _choice(value: str, allowed: Any, option: str) -> str:
    names = [str(member) for member in allowed]
    if value not in names:
        raise typer.BadParameter(f"'{value}' is none of {', '.join(names)}", param_hint=option)
    return value


def _report(subject: "Subject") -> dict[str, Any]:
    today = date.today()
    return {
        "code": subject.code,
        "age": subject.age,
        "gender": subject.gender,
        "job": subject.job,
        "consents": [
            {
                "scope": str(c.scope),
                "given_on": c.given_on.isoformat(),
                "withdrawn_at": c.withdrawn_at.isoformat() if c.withdrawn_at else None,
                "document_sha256": c.document_sha256,
            }
            for c in subject.consents
        ],
        "valid_today": [str(c.scope) for c in subject.consents if c.valid_on(today)],
    }


def _consent_text(consent: dict[str, Any]) -> str:
    withdrawn = consent["withdrawn_at"]
    return f"given {consent['given_on']}" + (f", withdrawn {withdrawn[:10]}" if withdrawn else "")
