"""`mien release recipient`, `grant`, `licence`, `revoke`, `handed`, `holders`, `notices`: who may
have a release, who has it, and what they are told."""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.terminal.options import AsJson, Database, Home, print_json, print_table

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from db.models import Recipient
Name = Annotated[str, typer.Argument(help="The release's name.")]
GrantCode = Annotated[str, typer.Argument(metavar="GRANT", help="As in G001; mien release holders lists them.")]
LicenceText = Annotated[Path | None, typer.Option(help="The text that was signed: LICENCE.txt of the release.")]
LicenceVersion = Annotated[str | None, typer.Option(help="How the studio calls this text, as in 2026-01.")]
LicenceDocument = Annotated[Path | None, typer.Option(help="The signed document; its hash is kept, the document not.")]
SignedOn = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day on which it was signed.")]


def grant(
    name: Name,
    to: Annotated[str, typer.Option(help="The recipient, as in R001; see mien release recipient.")],
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The last day (UTC).")],
    version: Annotated[
        int | None, typer.Option(min=1, help="This version alone (without it: the newest, and later).")
    ] = None,
    and_later: Annotated[bool, typer.Option("--and-later", help="The --version, and later ones.")] = False,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="A kind of files that may be fetched, as of fetch; repeatable (all but photographs)."),
    ] = None,
    photographs: Annotated[bool, typer.Option("--photographs", help="The photographs as well.")] = False,
    licence_text: LicenceText = None,
    licence_version: LicenceVersion = None,
    licence_document: LicenceDocument = None,
    signed_on: SignedOn = None,
    token_to: Annotated[Path | None, typer.Option(help="The file for the token (NAME-GRANT.token).")] = None,
    show_token: Annotated[
        bool, typer.Option("--show-token", help="Print the token instead; screens are read.")
    ] = False,
    server: Annotated[
        str | None, typer.Option(help="The server's address: the token's file names it, and it goes nowhere else.")
    ] = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Let a recipient fetch a release. The token is made once, for its file; what is kept is its hash."""
    from processing.release.studio.access.grants import GrantRequest, IssuedGrant, Licence, give

    licence = Licence.of(licence_text, licence_version, licence_document, signed_on)
    request = GrantRequest(name, to, until, version, and_later, kind, photographs)
    place = None if show_token else token_to or Path()
    given: IssuedGrant = give(home, database, request, licence=licence, token_to=place, server=server)
    if as_json:
        print_json(given.as_report(with_token=show_token))
        return
    print(f"{given.grant} lets {given.recipient} fetch {given.what} until {until:%Y-%m-%d}: {', '.join(given.kinds)}")
    print(f"Its token: {given.token}" if show_token else f"Its token is in {given.file}; send it by a safe way.")
    if not given.licensed:
        print(
            f"It opens nothing until the licence is accepted: mien release licence {name} --from {given.recipient} ..."
        )


def licence(
    name: Name,
    of: Annotated[str, typer.Option("--from", help="The recipient who signed, as in R001.")],
    licence_text: LicenceText = None,
    licence_version: LicenceVersion = None,
    licence_document: LicenceDocument = None,
    signed_on: SignedOn = None,
    home: Home = None,
    database: Database = None,
) -> None:
    """Accept a signed licence: from now on the recipient's grants open versions with this text."""
    from db.engine import transaction
    from db.release_records.recipients import get_recipient
    from db.studio import open_studio
    from processing.release.formats.errors import AccessError
    from processing.release.studio.access.grants import Licence

    signed = Licence.of(licence_text, licence_version, licence_document, signed_on)
    if signed is None:
        raise AccessError("say what was signed: --licence-text, --licence-version, --licence-document, --signed-on")
    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        kept = signed.accept(tx, get_recipient(tx, of), name)
    print(f"R{kept.recipient_id:03d} signed version {kept.text_version} on {kept.signed_on}; accepted.")


def revoke(code: GrantCode, home: Home = None, database: Database = None) -> None:
    """End a grant now: its token and links open nothing more, and what is being sent is cut."""
    from db.engine import transaction
    from db.release_records.access_grants import get_grant, revoke_grant
    from db.studio import open_studio

    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        found = get_grant(tx, code)
        revoke_grant(tx, found)
        recipient = found.recipient.code
    print(f"{found.code} of {recipient} is revoked. What it holds it holds still: mien release holders.")


def handed(
    code: GrantCode,
    version: Annotated[int, typer.Option(min=1, help="The version that was handed over.")],
    home: Home = None,
    database: Database = None,
) -> None:
    """Record that a version went out on a disk, or otherwise past the server: its holder is told like all others."""
    from db.engine import transaction
    from db.models import Way
    from db.release_records.access_grants import get_grant
    from db.release_records.release_holders import hand_over
    from db.release_records.releases import get_release
    from db.studio import open_studio
    from processing.release.formats.errors import AccessError

    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        found = get_grant(tx, code)
        last = found.last_version or version
        if not found.first_version <= version <= last:
            raise AccessError(f"{found.code} is not for version {version}; give another: mien release grant")
        hand_over(tx, found, get_release(tx, found.release_name, version), Way.HANDED)
        said = f"{found.recipient.code} holds {found.release_name} {version}, handed over under {found.code}."
    print(said)


def holders(
    name: Annotated[str | None, typer.Argument(help="Of this release alone.")] = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Show who may have a release, who has which version under which licence, and what they were told."""
    from db.engine import reading
    from db.studio import open_studio
    from processing.release.studio.withdrawals.recipient_holdings import as_outline, as_report, holdings

    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        lines = holdings(tx, name)
        if as_json:
            print_json([as_report(line) for line in lines])
            return
        print("\n".join(as_outline(lines)) or "Nobody was given a release yet: mien release grant")


def notices(
    name: Name,
    to: Annotated[Path, typer.Option("--to", help="The folder for the messages.")] = Path("notices"),
    sender: Annotated[str | None, typer.Option("--from", help="Your address, for the messages.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Those too that were sent and not confirmed.")] = False,
    sent: Annotated[list[str] | None, typer.Option(help="This notice (N001) was sent; repeatable.")] = None,
    confirmed: Annotated[
        list[str] | None, typer.Option(help="This notice was answered: it is deleted; repeatable.")
    ] = None,
    home: Home = None,
    database: Database = None,
) -> None:
    """Write a message to each holder who must delete something; or record which were sent, which were confirmed."""
    from db.engine import transaction
    from db.release_records.release_holders import mark_notices
    from db.studio import open_studio
    from processing.release.studio.withdrawals.withdrawal_notices import make_notices, write_messages

    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        if sent or confirmed:
            marked = [*mark_notices(tx, name, sent or (), confirmed=False)]
            marked += mark_notices(tx, name, confirmed or (), confirmed=True)
            print(f"Recorded: {', '.join(dict.fromkeys(notice.code for notice in marked))}.")
            return
        messages = make_notices(tx, name, sender=sender, again=again)
        files = write_messages(to, messages)
    if not messages:
        print(f"No holder of {name} has anything to delete of which it was not told.")
        return
    rows = [
        [m.notice.code, m.recipient, m.institution, file, "" if m.addressed else "NO ADDRESS KEPT"]
        for m, file in zip(messages, files, strict=True)
    ]
    print_table(f"Notices to holders of {name}", ["notice", "recipient", "institution", "message", ""], rows)
    codes = " ".join(f"--sent {message.notice.code}" for message in messages)
    print(f"Read and send them, then: mien release notices {name} {codes}")


recipient = typer.Typer(
    no_args_is_help=True, help="Those outside who may have a release: codes, institutions, contacts."
)
Institution = Annotated[str, typer.Option(help="The institution, as it signs; no person's name.")]
RecipientCode = Annotated[str, typer.Argument(metavar="RECIPIENT", help="As in R001.")]


@recipient.command("add")
def add(
    institution: Institution,
    contact: Annotated[bool, typer.Option(help="Ask whom to write to (or JSON on standard input).")] = True,
    home: Home = None,
    database: Database = None,
) -> None:
    """Add a recipient. Whom to write to is asked for and kept sealed (MIEN_PERSONAL_KEY), never an argument."""
    from db.engine import transaction
    from db.release_records.recipients import add_recipient
    from db.studio import open_studio

    said = _asked_contact() if contact else None
    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        code = add_recipient(tx, institution, said).code
    print(code)


@recipient.command("contact")
def change_contact(code: RecipientCode, home: Home = None, database: Database = None) -> None:
    """Keep another person to write to, in place of whom there was."""
    from db.release_records.recipients import keep_contact

    said = _asked_contact()
    _with_recipient(code, home, database, lambda tx, found: keep_contact(tx, found, said))


@recipient.command("forget")
def forget(
    code: RecipientCode,
    institution: Annotated[bool, typer.Option("--institution", help="Its name too.")] = False,
    home: Home = None,
    database: Database = None,
) -> None:
    """Remove the person to write to. What the recipient holds stays in the ledger, under its code."""
    from db.release_records.recipients import forget_recipient

    _with_recipient(code, home, database, lambda tx, found: forget_recipient(tx, found, institution=institution))


@recipient.command("list")
def list_all(home: Home = None, database: Database = None, as_json: AsJson = False) -> None:
    """List recipients by code; contacts are not opened for it."""
    from db.engine import reading
    from db.release_records.recipients import list_recipients
    from db.studio import open_studio

    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        rows = [
            {"recipient": r.code, "institution": r.institution, "contact": r.contact is not None, "since": r.created_at}
            for r in list_recipients(tx)
        ]
    if as_json:
        print_json(rows)
        return
    table = [
        [r["recipient"], r["institution"], "kept" if r["contact"] else None, f"{r['since']:%Y-%m-%d}"] for r in rows
    ]
    print_table("Recipients", ["recipient", "institution", "contact", "since"], table)


def _asked_contact() -> dict[str, str]:
    """Whom to write to: asked for, or a JSON object on standard input. Raises AccessError, never with what was said."""
    from db.release_records.recipients import FIELDS
    from processing.release.formats.errors import AccessError

    if sys.stdin.isatty():
        return {name: typer.prompt(name, default="", show_default=False) for name in FIELDS}
    try:
        said = json.loads(sys.stdin.read(1 << 16))
    except ValueError:
        said = None
    if not isinstance(said, dict) or not all(isinstance(text, str) for text in said.values()):
        raise AccessError('standard input is no JSON object of texts: {"name": …, "email": …}; or use --no-contact')
    return said


def _with_recipient(code: str, home: Path | None, database: str | None, act: "Act") -> None:
    from db.engine import transaction
    from db.release_records.recipients import get_recipient
    from db.studio import open_studio

    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        found = get_recipient(tx, code)
        act(tx, found)
    print(f"{found.code}: done")


if TYPE_CHECKING:
    from collections.abc import Callable

    Act = Callable[[Session, Recipient], None]
