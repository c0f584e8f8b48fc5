"""`mien studio account`: who may use the console, by the owner of the home, with or without a studio that runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from common.terminal.options import Database, Home, print_table

if TYPE_CHECKING:
    from controller.accounts.accounts_desk import AccountFacts, AccountsDesk

app = typer.Typer(no_args_is_help=True, help="Who may use the console.")

Name = Annotated[str, typer.Argument(help="The account's name.")]
Role = Annotated[str, typer.Option(help="viewer (looks), operator (runs sessions) or manager (everything).")]


@app.callback()
def group() -> None:
    """Who may use the console."""


@app.command()
def add(name: Name, role: Role = "operator", home: Home = None, database: Database = None) -> None:
    """Let somebody in: prints a link by which they choose a password. It works once, for 24 hours."""
    from db.accounts.accounts import person_role

    with _desk(home, database) as (desk, url):
        token = desk.add(name, person_role(role))
    typer.echo(f"{url}/link#{token}")


@app.command("list")
def list_(home: Home = None, database: Database = None) -> None:
    """Every account: role, how it signs in, whether it is disabled."""
    with _desk(home, database) as (desk, _):
        found = desk.all()
    if not found:
        typer.echo("Nobody has an account. To let somebody in:  mien studio account add NAME --role manager")
        return
    rows = [[one.name, one.role.value, _ways(one), "disabled" if one.disabled else ""] for one in found]
    print_table("Accounts", ["name", "role", "signs in with", ""], rows)


@app.command()
def role(
    name: Name,
    role: Annotated[str, typer.Argument(help="viewer, operator or manager.")],
    home: Home = None,
    database: Database = None,
) -> None:
    """Give an account another role, from now on."""
    from db.accounts.accounts import person_role

    with _desk(home, database) as (desk, _):
        desk.set_role(name, person_role(role))
    typer.echo(f"{name} is {role} now.")


@app.command()
def disable(
    name: Name,
    undo: Annotated[bool, typer.Option("--undo", help="Let them in again.")] = False,
    home: Home = None,
    database: Database = None,
) -> None:
    """Let somebody in no more: signed in browsers are out within seconds. The account's acts stay in the audit log."""
    with _desk(home, database) as (desk, _):
        desk.set_disabled(name, not undo)
    typer.echo(f"{name} may come in again." if undo else f"{name} may come in no more.")


@app.command()
def link(
    name: Annotated[str | None, typer.Argument(help="The account; without one the studio's first.")] = None,
    home: Home = None,
    database: Database = None,
) -> None:
    """Print another link: for who has forgotten the password. It works once; those before it no more."""
    from controller.errors import SessionError

    with _desk(home, database) as (desk, url):
        token = desk.first_link() if name is None else desk.link(name)
    if token is None:
        raise SessionError("This studio has a manager. Say whom the link is for:  mien studio account link NAME")
    typer.echo(f"{url}/link#{token}")


def _ways(account: "AccountFacts") -> str:
    ways = [*(["password"] if account.password else []), *(f"passkey for {key.host}" for key in account.passkeys)]
    return ", ".join(ways) or "nothing yet: its link is open"


@contextmanager
def _desk(home: Home, database: Database) -> Iterator[tuple["AccountsDesk", str]]:
    """The accounts of a home, and where its console is."""
    from controller.accounts.accounts_desk import AccountsDesk
    from controller.client import console_url
    from db.studio import open_studio

    with open_studio(home, database) as studio:
        yield AccountsDesk(studio.engine), console_url(studio.settings)
