"""`mien rig check`, `init` and `scene`: the rig file, and the lights by hand."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.terminal.options import AsJson, Home, print_json

if TYPE_CHECKING:
    from controller.rig_file import Rig


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
    from controller.rig_setup.rig_check import check_rig
    from controller.studio_settings import rig_path

    path = file or rig_path(home)
    found = check_rig(path)
    rig = found.rig
    told = [] if rig is None else summary(rig)
    if as_json:
        errors = [{"line": one.line, "key": one.key, "text": one.text} for one in found.errors]
        cameras = None if rig is None else len(rig.cameras)
        print_json({"file": str(path), "errors": errors, "cameras": cameras, "summary": told})
    else:
        for one in found.errors:
            print(f"{path}:{one.line}: {one.text}")
        count = len(found.errors)
        print("\n".join(told) if rig is not None else f"{count} error{'s' if count > 1 else ''}.")
    if rig is None:
        raise typer.Exit(4)


def summary(rig: "Rig") -> list[str]:
    """What a rig file says, in a few lines."""
    frontal = sum(camera.tier == "frontal" for camera in rig.cameras)
    serials = sum(bool(camera.serial) for camera in rig.cameras)
    profiles, scenes = ", ".join(("default", *sorted(rig.profiles))), ", ".join(sorted(rig.scenes)) or "none"
    lines = [
        f"Rig {rig.name}: {len(rig.cameras)} cameras, {frontal} frontal, {serials} known by serial.",
        f"Settings profiles: {profiles}. Light scenes: {scenes}.",
    ]
    if not frontal:
        lines.append('No camera is frontal: the checks ask those about the face. Mark them:  tier = "frontal"')
    return lines


def init(
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("rig.toml"),
    name: Annotated[str, typer.Option(help="The name of the rig; records carry it.")] = "studio",
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Begin a rig file from the nodes that answer; the studio runs, with --setup where it has no rig file yet."""
    from dataclasses import fields

    from common.files.atomic_write import write_new, write_whole
    from controller.client import StudioClient
    from controller.errors import ConfigurationError, RigNotReady
    from controller.rig_setup.rig_draft import AnnouncedCamera, draft_rig

    answer = StudioClient(home).get("/api/rig/announced")
    known = [field.name for field in fields(AnnouncedCamera)]
    cameras = [AnnouncedCamera(**{key: one[key] for key in known}) for one in answer["cameras"]]
    if not cameras:
        raise RigNotReady(
            "No node has announced a camera. Enrol the nodes (mien node enrol NAME), start them, and serve the studio"
            " with --setup; a node that is turned away says why in its log"
        )
    text = draft_rig(name, cameras)
    try:
        write_whole(out, text) if force else write_new(out, text)
    except FileExistsError:
        raise ConfigurationError(f"{out} is there already; --force writes over it, --out names another") from None
    if as_json:
        print_json({"file": str(out), "cameras": [one.camera for one in cameras]})
        return
    print(f"{out}: {len(cameras)} cameras. Look through it, then:  mien rig check {out}")
    if answer["setup"]:
        print("Then stop the studio and serve it without --setup.")
