"""`mien rig check`, `init` and `scene`: the rig file, and the lights by hand."""

from pathlib import Path
from typing import Annotated

import typer

from common.terminal.options import AsJson, Home, print_json


def scene(
    name: Annotated[str, typer.Argument(help="A scene of the rig file.")] = "",
    off: Annotated[bool, typer.Option("--off", help="Hold none any more.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Switch a light scene on and hold it: after each take the lights go back to it. Without a name: what is lit."""
    from controller.client import StudioClient

    if name and off:
        raise typer.BadParameter("give a scene, or --off")
    client = StudioClient(home)
    answer = client.post("/api/rig/scene", scene=name or None) if name or off else client.get("/api/rig")
    held, sent = answer["held_scene"], answer["scene"]
    if as_json:
        print_json({"held_scene": held, "scene": sent})
        return
    lit = f"Lit: {sent}." if sent else "The rig file has no light scene."
    print(f"Held: {held}. {lit}" if held else f"No scene is held. {lit}")


def check(
    file: Annotated[Path | None, typer.Argument(help="The rig file; by default the home's.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Check a rig file as a whole: every error at once, with its line. Exit code 4 where there are any."""


def init() -> None:
    """placeholder"""
