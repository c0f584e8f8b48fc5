"""`mien face animate`: a recording of weights played on a face."""

from pathlib import Path
from typing import Annotated

import typer

from common.terminal.options import AsJson, print_json


def animate(
    weights: Annotated[Path, typer.Argument(metavar="WEIGHTS.csv", help="The recording, as Live Link Face writes it.")],
    face: Annotated[Path, typer.Option("--face", help="A detailed face's folder, or a rig (.npz).")],
    out: Annotated[Path, typer.Option("--out", help="Folder for glTF, maps and clip; an interrupted one goes on.")],
    gltf: Annotated[bool, typer.Option("--gltf/--no-gltf", help="face.glb: morph targets that play.")] = True,
    maps: Annotated[bool, typer.Option("--maps/--no-maps", help="dpmap/: displacement of the frames.")] = True,
    clip: Annotated[bool, typer.Option("--clip/--no-clip", help="clip.mp4: the face with its detail.")] = True,
    fps: Annotated[float, typer.Option("--fps", help="Frames a second of maps and clip.")] = 30.0,
    every: Annotated[int, typer.Option("--every", help="A map of every n-th frame.")] = 1,
    size_px: Annotated[int, typer.Option("--size-px", help="Side of the maps.")] = 1024,
    height_px: Annotated[int, typer.Option("--height-px", help="Height of the clip.")] = 720,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="How far weights may lie from the line between keyframes.")
    ] = 0.002,
    plain: Annotated[
        bool, typer.Option("--plain", help="Detail by the published equations alone: key expressions are not returned.")
    ] = False,
    clay: Annotated[bool, typer.Option("--clay", help="The clip without the face's texture.")] = False,
    flip: Annotated[
        str, typer.Option("--flip", help="Turns that go the other way, of yaw,pitch,roll: trackers differ.")
    ] = "",
    degrees: Annotated[bool, typer.Option("--degrees", help="The file's turns are in degrees.")] = False,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Frames a second of the recording, where timecodes do not say it.")
    ] = None,
    template: Annotated[
        Path | None, typer.Option("--template", help="Template of the rig's topology. Default: the built-in one.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play facial animation (ARKit's 52 weights) on a face: glTF, displacement maps of every frame, a clip."""
    from dataclasses import asdict

    from common.terminal.progress_bar import progress_bar
    from processing.animation.animate_files import AnimateSettings, animate_files

    flipped = tuple(turn for turn in flip.replace(" ", "").split(",") if turn)
    settings = AnimateSettings(
        gltf, maps, clip, fps, every, size_px, height_px, tolerance, plain, clay, flipped, rate, degrees
    )
    with progress_bar(quiet=as_json) as progress:
        made = animate_files(weights, face, out, settings, template=template, progress=progress)
    if as_json:
        print_json(asdict(made) | {"out": str(made.out)})
    else:
        print(made.as_text())
