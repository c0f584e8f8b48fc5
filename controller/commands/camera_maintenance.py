"""`mien rig recover`, `view` and `write-off`: what is done for one camera between takes."""

import json
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.files.atomic_write import write_whole
from common.terminal.options import AsJson, Home, print_json

if TYPE_CHECKING:
    from controller.client import StudioClient

STEP_WAIT_S = 10.0


class By(StrEnum):
    """How a body may be recovered, gentlest first."""

    REOPEN = "reopen"
    USB_RESET = "usb_reset"
    POWER_CYCLE = "power_cycle"


def recover(
    camera: Annotated[str, typer.Argument(help="The camera's name, as in cam-07.")],
    by: Annotated[
        list[By] | None, typer.Option("--by", help="Only this; may be repeated. All of them by default.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Get one body to answer again without touching its neighbours, each step told as it happens.

    It is reopened, then its USB socket is reset, then that socket's power is switched off and on where the hub can,
    until the body answers. Exit code 0 when it does, 3 when it does not.
    """
    from controller.client import StudioClient

    client = StudioClient(home)
    answer = client.post(f"/api/rig/cameras/{camera}/recover", **({"rungs": [one.value for one in by]} if by else {}))
    told = 0
    while True:
        for step in answer["steps"][told:]:
            if not as_json:
                print(f"{camera}  {step['line']}", flush=True)
        told = len(answer["steps"])
        if answer["done"]:
            break
        answer = client.get(f"/api/rig/recoveries/{answer['recovery']}?after={told}&wait_s={STEP_WAIT_S:g}")
    if as_json:
        print_json(answer)
    elif answer["often"]:
        print(f"warning: {answer['often']}")
    if not answer["answers"]:
        raise typer.Exit(3)


class Drive(StrEnum):
    """Which way a lens is moved."""

    AUTO = "auto"
    NEARER = "nearer"
    FARTHER = "farther"


def identify(
    cameras: Annotated[list[str], typer.Argument(help="Cameras by name, as in cam-07; one after the other.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Have cameras give signs by which a person finds them: the mirror goes up and down three times.

    A body without live view over its cable is woken by its half-press, where that is wired. Nothing is photographed,
    and a lens that is set to manual focus does not move.
    """
    from controller.client import StudioClient

    client = StudioClient(home)
    for camera in cameras:
        answer = client.post(f"/api/rig/cameras/{camera}/identify")
        print_json(answer) if as_json else print(f"{camera}  {answer['told']}", flush=True)


def focus(
    camera: Annotated[str, typer.Argument(help="The camera's name, as in cam-07.")],
    drive: Annotated[Drive, typer.Option("--drive", help="By the body's autofocus, or by a step.")] = Drive.AUTO,
    step: Annotated[int, typer.Option(min=1, max=3, help="How far nearer or farther; 1 is the least.")] = 1,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Move one camera's lens once, where its body lets that be done from here; kept in the audit log.

    A lens that has moved is another camera to the calibration: photograph the board again afterwards. How sharp the
    picture is says mien rig view.
    """
    from controller.client import StudioClient

    answer = StudioClient(home).post(f"/api/rig/cameras/{camera}/focus", drive=drive.value, step=step)
    print_json(answer) if as_json else print(f"{camera}  {answer['told']}")


def write_off(
    camera: Annotated[str, typer.Argument(help="The camera's name, as in cam-07.")],
    reason: Annotated[str, typer.Option(help="Why its photograph will not come; kept in the records.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Give up a photograph that never came, so that the camera can be armed again.

    A photograph that turns up later is kept as a stray.
    """
    from controller.client import StudioClient

    answer = StudioClient(home).post(f"/api/rig/cameras/{camera}/write-off", reason=reason)
    if as_json:
        print_json(answer)
    else:
        print(f"{camera}: the photograph of {answer['take']} is written off; the camera can be armed again.")


def view(
    cameras: Annotated[list[str] | None, typer.Argument(help="Cameras by name, as in cam-07 cam-08.")] = None,
    whole: Annotated[bool, typer.Option("--all", help="Every camera of the rig, worst focus first.")] = False,
    seconds: Annotated[int | None, typer.Option(min=1, help="Stop after so long; Ctrl-C by default.")] = None,
    every_ms: Annotated[
        int | None,
        typer.Option("--every", min=100, max=10_000, help="Milliseconds from frame to frame; 500, with --all 1000."),
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Keep each camera's newest frame here: cam-07.jpg.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Live view: how well in focus each camera is, once a second, relative to its best so far.

    Turn the focus ring until the figure falls again, then back to the best. The figure depends on what is in the
    picture: compare a camera with itself. A take that is fired ends live view; it comes back afterwards.
    """
    from controller.client import StudioClient

    if whole == bool(cameras):
        raise typer.BadParameter("name the cameras, or --all")
    look(StudioClient(home), [] if whole else list(cameras or []), seconds, every_ms or _pace(whole), save, as_json)


def _pace(whole: bool) -> int:
    return 1000 if whole else 500  # milliseconds: the whole rig's frames share one network


def look(
    client: "StudioClient", cameras: Sequence[str], seconds: int | None, every_ms: int, save: Path | None, as_json: bool
) -> None:
    """Ask once a second, and tell. Ends live view at the end; exit code 3 when no camera gave a frame."""
    from contextlib import nullcontext, suppress

    from controller.commands.live_view_table import ViewTable
    from controller.errors import ControllerError

    if save is not None:
        save.mkdir(parents=True, exist_ok=True)
    anything = False
    table = ViewTable() if not as_json and len(cameras) != 1 else None
    begun = time.monotonic()
    turn = 0
    try:
        with table if table is not None else nullcontext():
            while seconds is None or turn < seconds:
                turn += 1
                seen = client.post("/api/rig/view", cameras=list(cameras), every_ms=every_ms)["cameras"]
                anything = anything or any(one["focus"] is not None for one in seen)
                if save is not None:
                    _save(client, seen, save)
                if as_json:
                    print(json.dumps({"second": turn, "cameras": seen}), flush=True)
                elif table is not None:
                    table.show(seen)
                else:
                    print(line(seen[0]), flush=True)
                time.sleep(max(0.0, begun + turn - time.monotonic()))
    finally:
        with suppress(ControllerError):
            client.post("/api/rig/view/end", cameras=list(cameras))
    if not anything:
        raise typer.Exit(3)


def line(seen: Mapping[str, Any]) -> str:
    """ "cam-07  focus 412.3   97 % of its best (425.1)   0.3 s old" """
    if seen["focus"] is None:
        return f"{seen['camera']}  {seen['problem']}"
    told = f"{seen['camera']}  focus {seen['focus']:8.2f}  {seen['relative']:4.0%} of its best ({seen['best']:.2f})"
    told += f"  {seen['age_ms'] / 1e3:.1f} s old"
    return f"{told}  {seen['problem']}" if seen["problem"] else told


def _save(client: "StudioClient", seen: Sequence[Mapping[str, Any]], folder: Path) -> None:
    from controller.client import StudioRefusal

    for one in seen:
        if one["focus"] is None:
            continue
        try:
            jpeg = client.download(f"/api/rig/cameras/{one['camera']}/preview.jpg")
        except StudioRefusal:
            continue  # it has grown old since
        write_whole(folder / f"{one['camera']}.jpg", jpeg, durable=False)
