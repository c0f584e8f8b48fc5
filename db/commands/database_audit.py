"""`mien db audit`: the log, its guards, and whether the rows are what the log says."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from common.terminal.options import AsJson, Database, Home, print_json

if TYPE_CHECKING:
    from db.audit.audit_log import ChainReport

SHOWN = 40


def audit(
    known: Annotated[str | None, typer.Option(help="A head noted earlier, which must still be in the log.")] = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Verify the audit log: every entry as it was written, guarded, and the consents in the records as it says."""
    from db.audit.audit_log import verify_chain
    from db.audit.audit_triggers import missing_guards
    from db.audit_replay import differences, one_snapshot
    from db.consents.consent_rules import words_shown
    from db.engine import reading
    from db.errors import RecordError
    from db.studio import open_studio

    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        one_snapshot(tx)
        unguarded = missing_guards(tx)
        try:
            chain, differing = verify_chain(tx, known), differences(tx)
        except (ValueError, LookupError, TypeError) as error:  # what no program of ours writes, in a column
            what = words_shown(f"{type(error).__name__}: {error}")[:200]
            guards = f" ({', '.join(unguarded)})" if unguarded else ""
            raise RecordError(f"The database holds something that Mien never wrote: {what}{guards}") from error
    holds = chain.broken is None and chain.known_found is not False
    intact = holds and not unguarded and not differing
    if as_json:
        print_json(asdict(chain) | {"unguarded": unguarded, "differences": differing, "intact": intact})
    else:
        _print_chain(chain, known)
        _print_rows(unguarded, differing)
    if not intact:
        raise typer.Exit(4)


def _print_chain(found: "ChainReport", known: str | None) -> None:
    if found.broken is not None:
        at = f"{found.broken.at:%Y-%m-%d %H:%M:%S} UTC"
        print(f"The audit log breaks at entry {found.broken.entry} ({found.broken.action}, {at}):")
        print(f"  {found.broken.problem}")
        print(f"The {found.entries} entries before it hold. Compare with a backup to see what was changed.")
    elif found.known_found is False:
        print(f"The {found.entries} entries hold together, but the head {known} is not among them:")
        print("  entries were cut off the end, or the log was written anew. Compare with a backup.")
    else:
        print(f"The audit log holds: {found.entries} entries, head {found.head}")
        print("Note the head elsewhere; give it to the next audit as --known.")


def _print_rows(unguarded: list[str], differing: list[str]) -> None:
    if unguarded:
        print("The database does not refuse changes of the log any more:")
        print(*(f"  {problem}" for problem in unguarded), sep="\n")
        print("Find out who did that and what they changed since (a backup says), then restore the triggers from one.")
    if differing:
        print(f"The records are not what the log says, in {len(differing)} places:")
        print(*(f"  {problem}" for problem in differing[:SHOWN]), sep="\n")
        if len(differing) > SHOWN:
            print(f"  and {len(differing) - SHOWN} more: --json lists them all")
        print("The log was written with each act; whoever changed the rows did it past Mien. Compare with a backup.")
    else:
        print("The records of subjects, consents, withdrawals and erasures are what the log says.")
