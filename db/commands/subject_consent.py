"""`mien subject consent`, and what `mien subject add` takes of a signed form."""

from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.terminal.options import Database, Home, SubjectCode
from db.commands import subject_rights

if TYPE_CHECKING:
    from enum import StrEnum

    from sqlalchemy.orm import Session

    from db.consents.consent_rules import SignedForm
    from db.models import ConsentScope, Subject
    from db.studio import StudioRecords

Scopes = Annotated[
    list[str] | None,
    typer.Option(
        "--consent", help="research_release, publication, eyes_mosaicked or statistical_model; may be repeated."
    ),
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


def consent(
    code: SubjectCode,
    scopes: Annotated[
        list[str],
        typer.Option(
            "--consent", help="research_release, publication, eyes_mosaicked or statistical_model; may be repeated."
        ),
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

    chosen = scopes_of(scopes)
    day, signed = signed_form(consent_date, consent_document, consent_version, guardian, shared_form)
    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        subject = get_subject(tx, code)
        give(tx, studio, subject, chosen, day, signed)
        eyes = releases_that_show_eyes(tx, subject) if ConsentScope.EYES_MOSAICKED in chosen else ()
    print(f"{code} consents to {', '.join(chosen)} from {day}")
    if eyes:
        print(f"Its eyes are to be seen in {', '.join(eyes)}: build the next version, and tell those who hold these")


def give(
    tx: "Session",
    studio: "StudioRecords",
    subject: "Subject",
    scopes: "list[ConsentScope]",
    day: date,
    signed: "SignedForm",
) -> None:
    """Record what was signed under each of these scopes, and say what is odd about it."""
    from db.consents.study_settings import StudySettings
    from db.subjects import give_consent

    rules = StudySettings.of(studio.settings).rules
    said: dict[str, None] = {}  # once, however many scopes the form has
    for scope in scopes:
        give_consent(tx, subject, scope, day, **asdict(signed), rules=rules, told=lambda t: said.setdefault(t))
    for text in said:
        subject_rights.tell(text)


def signed_form(
    day: datetime | None, document: Path | None, version: str | None, guardian: bool, shared_form: str | None
) -> "tuple[date, SignedForm]":
    """The day and what was signed. Raises ConsentError that names all that lacks."""
    from db.consents.consent_rules import SignedForm, hash_form
    from db.errors import ConsentError

    if day is None or document is None or not version:
        lacking = [
            *(["the day it was signed (--consent-date YYYY-MM-DD)"] if day is None else []),
            *(["the signed form (--consent-document FILE; its hash is kept)"] if document is None else []),
            *(["which text was signed (--consent-version)"] if not version else []),
        ]
        raise ConsentError(f"A consent needs {', and '.join(lacking)}")
    return day.date(), SignedForm(hash_form(document), version, guardian, shared_form)


def scopes_of(names: list[str] | None) -> "list[ConsentScope]":
    """The scopes of these names. Raises typer.BadParameter."""
    from db.models import ConsentScope

    chosen = {choice(name, ConsentScope, "--consent") for name in names or []}
    return [scope for scope in ConsentScope if scope in chosen]  # in their order: a condition after what it limits


def choice(value: str, allowed: "type[StrEnum]", option: str) -> str:
    """One of the values that an option takes. Raises typer.BadParameter."""
    names = [str(member) for member in allowed]
    if value not in names:
        raise typer.BadParameter(f"'{value}' is none of {', '.join(names)}", param_hint=option)
    return value
