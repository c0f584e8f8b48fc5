"""What a person may ask for: `mien subject edit`, `export`, `receipt` and `retention`, `mien study retention`."""

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.terminal.options import AsJson, Database, Home, SubjectCode, print_json, print_table
from common.terminal.progress_bar import count_bar

if TYPE_CHECKING:
    from db.subject_data.consent_receipts import Receipt


def tell(text: str) -> None:
    """What may be wrong and was done all the same: on the other channel, so that programs read what they asked for."""
    typer.echo(f"Note: {text}", err=True)


def edit(
    code: SubjectCode,
    age: Annotated[int | None, typer.Option(help="Years.")] = None,
    gender: Annotated[str | None, typer.Option(help="female, male or other.")] = None,
    job: Annotated[str | None, typer.Option(help="Voluntary; in place of what it said.")] = None,
    clear: Annotated[
        list[str] | None, typer.Option("--clear", help="age, gender or job: it says nothing of that any more.")
    ] = None,
    home: Home = None,
    database: Database = None,
) -> None:
    """Put right what a subject said of itself; what it had said before is kept (subject history) until it is erased."""
    from db.consents.study_settings import StudySettings
    from db.engine import transaction
    from db.studio import open_studio
    from db.subject_data.rectification import edit_subject
    from db.subjects import get_subject

    said = {name: value for name, value in (("age", age), ("gender", gender), ("job", job)) if value is not None}
    with open_studio(home, database) as studio:
        rules = StudySettings.of(studio.settings).rules
        with transaction(studio.engine) as tx:
            subject = get_subject(tx, code)
            changed = edit_subject(tx, subject, said, cleared=clear or (), rules=rules, told=tell)
    print(f"{code}: {', '.join(changed)} put right")


def export(
    code: SubjectCode,
    to: Annotated[Path, typer.Option("--to", help="The ZIP file to make.")],
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """All that is kept of one person in one archive, which only you may read. Exit code 4 when a file is missing."""
    from db.consents.study_settings import StudySettings
    from db.release_records.release_holders import holders_told_to
    from db.studio import open_studio
    from db.subject_data.subject_archive import export_subject

    with open_studio(home, database) as studio, count_bar(code) as told:
        study = StudySettings.of(studio.settings)
        report = export_subject(studio.engine, studio.store, study, code, to, holders=holders_told_to, told=told)
    if as_json:
        print_json(asdict(report))
    else:
        print(f"All that is kept of {code}: {report.path}, {report.files} files, {report.bytes / 1e6:.1f} MB")
        print(f"Name and how to reach it: {report.personal}")
        print(
            *(f"Missing: {name}: {why}" for name, why in report.missing), sep="\n", end="\n" if report.missing else ""
        )
        print("Hand it over as you would the photographs themselves, and remove your copy.")
    _tell_lacking(study.lacking())
    if report.missing:
        raise typer.Exit(4)


def receipt(
    code: SubjectCode,
    to: Annotated[
        Path | None, typer.Option("--to", help="A file to write, by its ending: .html, .txt, .json or .jsonld.")
    ] = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """What a subject consented to, in plain words: for the person to keep. --json: for programs (ISO/IEC TS 27560)."""
    from db.consents.study_settings import StudySettings
    from db.engine import transaction
    from db.studio import open_studio
    from db.subject_data.consent_receipts import as_record, as_text, make_receipt
    from db.subjects import get_subject

    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        made = make_receipt(tx, get_subject(tx, code), StudySettings.of(studio.settings))
    if to is not None:
        _write_receipt(made, to)
        print(f"Receipt of {code}: {to}")
    elif as_json:
        print_json(as_record(made))
    else:
        print(as_text(made))
    _tell_lacking(made.lacking)


def _write_receipt(made: "Receipt", to: Path) -> None:
    import json

    from common.files.atomic_write import write_new
    from db.errors import AlreadyThere, RecordError
    from db.subject_data.consent_receipts import as_html, as_record, as_text

    match to.suffix:
        case ".html":
            text = as_html(made)
        case ".txt":
            text = as_text(made) + "\n"
        case ".json" | ".jsonld":
            text = json.dumps(as_record(made), indent=2, ensure_ascii=False) + "\n"
        case _:
            raise typer.BadParameter("the ending says what to write: .html, .txt, .json or .jsonld", param_hint="--to")
    try:
        write_new(to, text, mode=0o600)
    except FileExistsError:
        raise AlreadyThere(f"{to} is there already: another name, or remove it first") from None
    except OSError as error:
        raise RecordError(f"{to} cannot be written: {error.strerror}") from error


def _tell_lacking(lacking: list[str]) -> None:
    if lacking:
        tell(f"the study has not said {', '.join(lacking)}: [records] in studio.toml (docs/data-manager.md)")


def keep_until(
    code: SubjectCode,
    until: Annotated[datetime, typer.Option("--until", formats=["%Y-%m-%d"], help="The last day.")],
    reason: Annotated[str, typer.Option("--reason", help="Why this subject has a term of its own; no names.")],
    scope: Annotated[
        list[str] | None,
        typer.Option("--consent", help="research_release, publication or statistical_model; all by default."),
    ] = None,
    home: Home = None,
    database: Database = None,
) -> None:
    """Until when a subject's data is kept, in place of the studio's own term (mien study retention)."""
    from db.consents.study_settings import LASTING
    from db.engine import transaction
    from db.models import ConsentScope
    from db.studio import open_studio
    from db.subject_data.retention import set_term
    from db.subjects import get_subject

    wrong = sorted(set(scope or ()) - {str(member) for member in LASTING})
    if wrong:
        raise typer.BadParameter(f"'{wrong[0]}' is none of {', '.join(LASTING)}", param_hint="--consent")
    scopes = tuple(ConsentScope(name) for name in dict.fromkeys(scope)) if scope else LASTING
    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        set_term(tx, get_subject(tx, code), until.date(), reason, scopes)
    print(f"{code} is kept until {until:%Y-%m-%d} under {', '.join(scopes)}")


def retention(
    soon: Annotated[int, typer.Option(min=0, help="Days ahead that count as due.")] = 90,
    everything: Annotated[bool, typer.Option("--all", help="Also what is kept for longer.")] = False,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Whose data has been kept as long as was said, and what to do; deletes nothing. Exit code 4: some is overdue."""
    from db.consents.study_settings import StudySettings
    from db.engine import reading
    from db.studio import open_studio
    from db.subject_data.retention import retention as look

    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        found = look(tx, StudySettings.of(studio.settings), soon_days=soon)
    shown = [due for due in found if everything or due.standing != "kept"]
    overdue = sum(due.standing == "overdue" for due in found)
    if as_json:
        print_json([asdict(due) for due in shown])
    else:
        rows: list[list[Any]] = [[d.code, d.scope or "withdrew", d.since, d.until, d.standing, d.to_do] for d in shown]
        title = f"{overdue} overdue, {sum(d.standing == 'due' for d in found)} due within {soon} days, of {len(found)}"
        print_table(title, ["subject", "kept under", "since", "until", "", "what to do"], rows)
    if overdue:
        raise typer.Exit(4)
