"""`mien session checks`: what the second look at a take found."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.terminal.options import AsJson, Home, print_json

if TYPE_CHECKING:
    from controller.client import StudioClient

MARKS = {"ok": "ok", "advice": "LOOK", "not_done": "-"}
WAIT_S = 20.0


def checks(
    take: Annotated[str | None, typer.Argument(help="A take (S012-1-E02-1); the newest whole one by default.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Look again, by the rig file's thresholds of today.")] = False,
    sheet: Annotated[Path | None, typer.Option(help="Write the contact sheet (JPEG) here.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show what was checked in a take's photographs, with reasons and figures."""
    from controller.client import StudioClient
    from controller.errors import SessionError

    client = StudioClient(home)
    code = take or _newest(client)
    if again:
        answer = client.post(f"/api/takes/{code}/checks")
    else:
        answer = client.get(f"/api/takes/{code}/checks?wait_s={WAIT_S:g}")
    review = answer["review"]
    if review is None:
        raise SessionError(f"{code} has not been looked at. To do it:  mien session checks {code} --again")
    if sheet is not None:
        if review["sheet"] is None:
            raise SessionError(f"{code} has no contact sheet. To make it:  mien session checks {code} --again")
        sheet.write_bytes(client.download(f"/sheets/{review['sheet']}.jpg"))
    if as_json:
        print_json(review)
        return
    print(f"{code}: {told(review)}, {review['seconds']:.1f} s after the last photograph")
    print_checks(review)


def told(review: Mapping[str, Any]) -> str:
    """In one phrase how many results deserve a look."""
    return f"{review['advice']} to look at" if review["advice"] else "nothing to look at"


def print_checks(review: Mapping[str, Any], only_advice: bool = False) -> None:
    """One line a result, cameras under their check."""
    width = max((len(check["check"]) for check in review["checks"]), default=0)
    for check in review["checks"]:
        if only_advice and check["state"] != "advice":
            continue
        if check["camera"]:
            print(f"  {'':<4}  {'':<{width}}    {check['camera']}  {check['reason']}")
        else:
            print(f"  {MARKS[check['state']]:<4}  {check['check']:<{width}}  {check['reason']}")


def print_after_fire(client: "StudioClient", take: str) -> None:
    """Wait for the checks of a take that was just fired, and say what deserves a look."""
    review = client.get(f"/api/takes/{take}/checks?wait_s={WAIT_S:g}")["review"]
    if review is None:
        print(f"The photographs are still being looked at:  mien session checks {take}")
        return
    print(f"Checks: {told(review)}.")
    print_checks(review, only_advice=True)


def _newest(client: "StudioClient") -> str:
    from controller.errors import SessionError

    session = client.get("/api/sessions/open")["session"]
    if session is None:
        raise SessionError("No session is open; say which take:  mien session checks S012-1-E02-1")
    script = client.get(f"/api/sessions/{session}")
    newest = script["last_take"]
    if newest is None:
        raise SessionError(f"Session {session} has no whole take yet")
    return str(newest)
