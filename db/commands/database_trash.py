"""`mien db trash`: what was removed from the store lies there. `mien db adopt-store`: whose store this is."""

import sys
from typing import Annotated

import typer

from common.terminal.options import AsJson, Database, Home, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="What was removed from the store and can be brought back.")

Confirm = Annotated[
    str | None, typer.Option("--confirm", help="The number that the refusal names, when much would go.")
]


@app.command(name="list")
def list_all(home: Home = None, database: Database = None, as_json: AsJson = False) -> None:
    """What lies in the trash, by the command that put it there, and when its term ends."""
    from db.erasure.store_trash import Trash
    from db.studio import open_studio

    with open_studio(home, database) as studio:
        batches = Trash(studio.store).batches()
    mb = {batch.name: sum(thrown.bytes for thrown in batch.files) / 1e6 for batch in batches}
    if as_json:
        print_json(
            [
                {
                    "batch": b.name, "command": b.command, "by": b.actor, "thrown_at": b.thrown_at, "until": b.until,
                    "mb": mb[b.name], "files": [thrown.path for thrown in b.files],
                }
                for b in batches
            ]
        )  # fmt: skip
        return
    rows = [
        [
            b.name,
            len(b.files),
            f"{mb[b.name]:.1f} MB",
            b.command or None,
            b.actor or None,
            f"{b.until:%Y-%m-%d}",
        ]
        for b in batches
    ]
    print_table("Trash", ["batch", "files", "", "by", "who", "until"], rows)
    print("mien db trash restore BATCH brings one back" if rows else "The trash is empty")


@app.command()
def restore(
    batch: Annotated[str, typer.Argument(help="What one act removed, as `trash list` names it.")],
    home: Home = None,
    database: Database = None,
) -> None:
    """Bring a batch back into the store. Files that have changed in the trash stay there (exit code 4)."""
    from db import store_identity
    from db.audit import audit_log
    from db.engine import transaction
    from db.erasure.store_trash import Trash
    from db.studio import open_studio

    with open_studio(home, database) as studio:
        store_identity.require(studio.engine, studio.store)
        back, rotten = Trash(studio.store).restore(batch)
        with transaction(studio.engine) as tx:
            audit_log.record(tx, "store.trash.restore", "trash", batch, {"files": back, "rotten": len(rotten)})
    print(f"{back} files are back in the store")
    for path in rotten:
        print(f"  {path} has changed in the trash, and stays there")
    if rotten:
        raise typer.Exit(4)


@app.command()
def empty(
    everything: Annotated[bool, typer.Option("--all", help="What is within its term too.")] = False,
    confirm: Confirm = None,
    home: Home = None,
    database: Database = None,
) -> None:
    """Remove for good what is past its term; with --all, everything that lies there."""
    from db import store_identity
    from db.audit import audit_log
    from db.engine import transaction, utc_now
    from db.erasure.destructive_plan import DestructiveEffect, DestructivePlan, typed
    from db.erasure.store_trash import Trash
    from db.studio import open_studio

    with open_studio(home, database) as studio:
        store_identity.require(studio.engine, studio.store)
        trash = Trash(studio.store)
        batches = trash.batches()
        over = [batch for batch in batches if everything or batch.until < utc_now()]
        total, number = (sum(len(batch.files) for batch in some) for some in (batches, over))
        young = sum(len(batch.files) for batch in over if batch.until >= utc_now())
        effect = DestructiveEffect(
            "files that are within their term removed from the trash for good", young, total, always=True
        )
        typed(confirm)(DestructivePlan((effect,), "mien db trash empty --all"))
        for batch in over:
            store_identity.still(studio.engine, studio.store)
            with transaction(studio.engine) as tx:
                audit_log.record(tx, "store.trash.empty", "trash", batch.name, {"files": len(batch.files)})
            trash.empty(batch.name)
    print(f"{number} files of the trash are gone for good; {total - number} stay")


def adopt_store(confirm: Confirm = None, home: Home = None, database: Database = None, as_json: AsJson = False) -> None:
    """Confirm that this database and this store are the truth from now on: after a restore, or a change of either."""
    from db import store_identity
    from db.engine import reading
    from db.erasure.destructive_plan import DestructiveEffect, DestructivePlan, typed
    from db.studio import open_studio

    with open_studio(home, database) as studio:
        verdict = store_identity.check(studio.engine, studio.store)
        found = store_identity.agreement(studio.engine, studio.store)
        with reading(studio.engine) as tx:
            own = store_identity.read(tx)
        print(f"the database  {f'is of studio {own.studio[:8]}' if own else 'carries no identity'}", file=sys.stderr)
        print(f"the store     {store_identity.described(studio.store)}", file=sys.stderr)
        print(f"in them       {found}", file=sys.stderr)
        if not verdict.same:
            print(f"they are      {verdict.standing}\n", file=sys.stderr)
            missing = DestructiveEffect(
                "files that are named and that this store lacks", found.missing, found.named, always=True
            )
            unnamed = DestructiveEffect(
                "files that no record of this database names", found.unnamed, found.there + found.unnamed, always=True
            )
            overruled = f"note overruled, by which it is: {verdict.standing}"
            same_day = DestructiveEffect(overruled, int(found.enough), 1, always=True)
            known = verdict.standing is store_identity.IdentityStanding.NEW
            typed(confirm)(DestructivePlan(() if known else (missing, unnamed, same_day), "mien db adopt-store"))
            store_identity.accept_as_current(studio.engine, studio.store)
        verdict = store_identity.check(studio.engine, studio.store)
    if as_json:
        print_json({"standing": verdict.standing, "missing": found.missing, "unnamed": found.unnamed})
    else:
        print("This database and this store belong together from now on" if verdict.same else verdict.message)
