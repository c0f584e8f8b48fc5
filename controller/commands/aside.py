"""`mien rig aside` and `mien rig back`: going on without a camera, and with it again."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from common.terminal.options import AsJson, Home, print_json


def aside(
    cameras: Annotated[list[str] | None, typer.Argument(help="cam-07, or several; none shows who is aside.")] = None,
    reason: Annotated[str, typer.Option(help="Why; kept with it and with each take fired without it.")] = "",
    until: Annotated[
        str, typer.Option(help="session (the open one is closed), today, back (mien rig back), or a time as in 2h.")
    ] = "today",
    length: Annotated[str | None, typer.Option("--for", help="For so long: 90m, 2h, 3d.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Go on without a camera that is broken; `mien rig back` brings it back.

    rig.toml says how many may be aside, by tier, and whether two neighbours may (\\[aside]).
    """
    from controller.client import StudioClient

    client = StudioClient(home)
    names = camera_names(cameras or [])
    if names or reason:
        answer = client.post("/api/rig/aside", cameras=names, reason=reason, until=length or until)
    else:
        answer = client.get("/api/rig/aside")
    print_json(answer) if as_json else _print_aside(answer)


def back(
    cameras: Annotated[list[str], typer.Argument(help="cam-07, or several.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Take a camera in again that was set aside."""
    from controller.client import StudioClient

    names = camera_names(cameras)
    answer = StudioClient(home).post("/api/rig/back", cameras=names)
    if as_json:
        print_json(answer)
        return
    for camera in names:
        problems = answer["problems"].get(camera)
        print(f"{camera} is back{', but ' + '; '.join(problems) if problems else ''}.")
    _print_aside(answer)


def camera_names(given: Iterable[str]) -> list[str]:
    """Names given one by one or with commas between them."""
    return [name.strip() for text in given for name in text.split(",") if name.strip()]


def _print_aside(answer: Mapping[str, Any]) -> None:
    for camera in answer["aside"]:
        print(f"{camera['camera']} is aside: {camera['told']}")
    if not answer["aside"]:
        print(f"No camera is aside; {answer['limits']['max']} may be.")
