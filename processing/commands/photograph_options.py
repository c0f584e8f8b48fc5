"""Options that commands over a photograph take alike."""

from typing import Annotated

import typer

FocalPx = Annotated[
    float | None, typer.Option("--focal-px", help="Focal length in pixels. Default: EXIF's, or estimated.")
]
WhichFace = Annotated[
    str | None, typer.Option("--face", help="Which of several faces: 'left', '2nd from left', or its number.")
]
