"""`mien rig shoot`: boards, ColorCheckers and tests, photographed by the rig without a subject."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.terminal.options import AsJson, Home, print_json, print_table

if TYPE_CHECKING:
    from controller.client import StudioClient

app = typer.Typer(
    no_args_is_help=True,
    help="Photograph without a subject: the board for a calibration, a ColorChecker, a test. Nobody sits in the chair.",
)
Cameras = Annotated[list[str] | None, typer.Argument(help="Only these, as in cam-07; by default all that are ready.")]
Profile = Annotated[str, typer.Option(help="The settings profile, with its light scene.")]
SHOT_S = 90.0  # for a shot: bodies that still write, arming, fire, stamps
SETTLE_S = 120.0  # for the last photographs to come in and be looked at
POLL_S = 0.5


@app.command()
def board(
    poses: Annotated[int, typer.Option(min=1, max=999, help="Poses of the board; 40 to 100 are good.")] = 60,
    every: Annotated[
        float | None, typer.Option(min=1, max=600, help="Photograph every so many seconds; else at each Enter.")
    ] = None,
    frame: Annotated[
        bool, typer.Option("--frame", help="The first pose is the head frame: upright where the face will be.")
    ] = False,
    measures: Annotated[
        Path | None, typer.Option("--board", help="The board's board.toml; by default the home's.")
    ] = None,
    profile: Profile = "default",
    resume: Annotated[str, typer.Option(help="Go on with this series, as in board-20261128T231644Z.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Photograph poses of the board for `mien calibrate`, and see which camera has seen it where.

    Hold the board still at each shot. Ctrl-C ends; --resume goes on.
    """
    from controller.client import StudioClient
    from controller.errors import ConfigurationError

    client = StudioClient(home)
    asked: dict[str, Any] = {"kind": "board", "poses": poses, "profile": profile, "resume": resume, "frame": frame}
    if measures is not None:
        from common.configuration.loader import read_toml

        asked["board"] = read_toml(measures, ConfigurationError)
    if every is not None:
        asked["every_s"] = every
    state = client.post("/api/rig/shoot", **asked)
    _say(f"{state['folder']}: {state['done']} of {state['total']} poses. Ctrl-C ends, --resume {state['id']} goes on.")
    try:
        state = _follow(client) if every is not None else _at_each_enter(client)
    except KeyboardInterrupt:
        client.post("/api/rig/shoot/stop")
        raise
    _finish(client, state, as_json)


@app.command()
def colours(
    cameras: Cameras = None,
    profile: Profile = "default",
    resume: Annotated[
        str, typer.Option(help="Photograph these cameras again into an earlier series, as in colours-20261128T231644Z.")
    ] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Photograph a ColorChecker, a shot of all cameras or of some, for `mien cameras colours`."""
    _single({"kind": "colours", "cameras": cameras or [], "profile": profile, "resume": resume}, home, as_json)


@app.command("test")
def one_shot(cameras: Cameras = None, profile: Profile = "default", home: Home = None, as_json: AsJson = False) -> None:
    """Photograph once with the whole rig, or with these cameras: is it in focus, is it lit, does it come in?"""
    _single({"kind": "test", "cameras": cameras or [], "profile": profile}, home, as_json)


def _single(asked: dict[str, Any], home: Path | None, as_json: bool) -> None:
    from controller.client import StudioClient

    client = StudioClient(home)
    _finish(client, client.post("/api/rig/shoot", SHOT_S, **asked), as_json)


def _at_each_enter(client: "StudioClient") -> dict[str, Any]:
    from controller.client import StudioRefusal

    state = client.get("/api/rig/shoot")
    while state["state"] == "running":
        if not _enter(f"Enter photographs pose {state['done'] + 1} of {state['total']}: "):
            return client.post("/api/rig/shoot/stop")
        try:
            state = client.post("/api/rig/shoot/pose", SHOT_S)
            _line(state)
        except StudioRefusal as refusal:  # the next Enter tries again
            _say(str(refusal))
    return state


def _follow(client: "StudioClient") -> dict[str, Any]:
    done, told = -1, ""
    while True:
        state = client.get("/api/rig/shoot")
        if state["told"] and state["told"] != told:
            _say(state["told"])
        told = state["told"]
        if state["done"] != done and done >= 0:
            _line(state)
        done = state["done"]
        if state["state"] != "running":
            return state
        time.sleep(POLL_S)


def _finish(client: "StudioClient", state: dict[str, Any], as_json: bool) -> None:
    end = time.monotonic() + SETTLE_S
    while (_coming(state) or state["looking"]) and time.monotonic() < end:
        time.sleep(POLL_S)
        state = client.get("/api/rig/shoot")
    if as_json:
        print_json(state)
    else:
        _table(state)
    if state["state"] == "failed":
        raise typer.Exit(3)


def _coming(state: dict[str, Any]) -> list[str]:
    """Cameras whose photograph of the last shot is not there and may come still."""
    pose = state["pose"] or {"fired": [], "in": [], "lacking": {}}
    return [camera for camera in pose["fired"] if camera not in pose["in"] and camera not in pose["lacking"]]


def _line(state: dict[str, Any]) -> None:
    """What the last shot was, and how it stands."""
    pose = state["pose"]
    if pose is None:
        return
    lacking = "; ".join(f"{camera} {why}" for camera, why in list(pose["lacking"].items())[:4])
    enough = sum(camera["enough"] for camera in state["cameras"].values())
    told = f"pose {pose['name']}: {len(pose['fired'])} cameras; {enough} of {len(state['cameras'])} have enough"
    _say(told + (f"; without {lacking}" if lacking else ""))
    if state["advice"]:
        _say(f"  next: {state['advice']}")


def _table(state: dict[str, Any]) -> None:
    board = state["kind"] == "board"
    lacking = state["pose"]["lacking"] if state["pose"] else {}
    rows = []
    for name, camera in state["cameras"].items():
        told = "; ".join(filter(None, (camera.get("lacks"), camera.get("problem"), lacking.get(name))))
        figures = [camera["poses"], f"{100 * camera['covered']:.0f} %"] if board else []
        rows.append([name, camera["photographs"], *figures, told or ("enough" if board else "")])
    columns = ["camera", "photographs", *(["board seen", "covered"] if board else []), ""]
    print_table(f"{state['id']}: {state['done']} of {state['total']}", columns, rows)
    if state["told"]:
        print(state["told"])
    if board and state["state"] != "done":
        print(f"To go on:  mien rig shoot board --resume {state['id']} --poses {state['total']}")
    if board:
        print(f"When it is enough:  mien calibrate {state['folder']} --rig-file rig.toml --out rig.json")
    elif state["kind"] == "colours":
        print(f"Next:  mien cameras colours {state['folder']} --out rig.json")
    else:
        print(f"The photographs are in {state['folder']}")


def _enter(prompt: str) -> bool:
    """Whether Enter came, and not the end of the input."""
    print(prompt, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not sys.stdin.isatty():
        print(file=sys.stderr)
    return line != ""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
