"""`mien subject withdraw`: consents or one take, and what an erasure removes."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.terminal.options import AsJson, Database, Home, SubjectCode, print_json
from common.terminal.progress_bar import count_bar
from db.commands.subject_consent import scopes_of

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy.orm import Session

    from db.consents.withdrawals import Withdrawal
    from db.erasure.erasures import ErasureReport
    from db.erasure.take_withdrawals import WithdrawnTake
    from db.studio import StudioRecords


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
                done = withdraw_consent(tx, subject, scopes_of(scope) or tuple(ConsentScope))
            held = _held_by(tx, done.released)
        erased = _erase(studio, code) if erase else None
    if as_json:
        report = {"code": code, "withdrawn": done.closed, "stopped_runs": done.stopped, "in_releases": done.released,
                  "in_models": done.models, "in_weights": done.weights, "held_by": held}  # fmt: skip
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
    _print_withdrawal(done.take, Withdrawal((), done.stopped, done.released, done.models, done.weights), erased, held)


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
    if done.models:
        names = list(dict.fromkeys(model.rpartition(" ")[0] for model in done.models))
        print(f"It is in the face models {', '.join(done.models)}, which are not to be used any more:")
        print("\n".join(f"  mien model rebuild {name}" for name in names))
    if done.weights:
        print(f"Weights were trained on it, which are not to be used any more: {', '.join(done.weights)}")
        print("  train again on the next version of the release (mien learn list), and delete these files")
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


def _stderr() -> "Console":
    from rich.console import Console

    return Console(stderr=True)
