"""`mien calibrate`: photographs of the board become rig.json."""

import os
from pathlib import Path
from typing import Annotated

import typer

from common.terminal.options import print_json

app = typer.Typer(add_completion=False)


@app.command()
def calibrate(
    board_dir: Annotated[
        Path, typer.Argument(help="Photographs as <pose>/<camera>.jpg, and board.toml.", metavar="BOARD_DIR")
    ],
    out: Annotated[Path, typer.Option(help="The cameras to write: rig.json.")],
    board: Annotated[Path | None, typer.Option(help="The board's measures, instead of BOARD_DIR/board.toml.")] = None,
    rig_file: Annotated[
        Path | None, typer.Option(help="rig.toml: which camera is which view, and which are frontal.")
    ] = None,
    frame: Annotated[
        str,
        typer.Option(
            help="The head frame: rig, pose:NAME or like:EARLIER.json. Default: the pose named frame, else rig."
        ),
    ] = "",
    front: Annotated[str, typer.Option(help="Views before the face, such as 0-29,40; tells the frame's front.")] = "",
    allow_unlinked: Annotated[
        bool, typer.Option("--allow-unlinked", help="Write the linked cameras where others cannot be placed.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Photographs looked at at once.", min=1)] = os.cpu_count() or 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Calibrate a rig from photographs of a ChArUco board: lenses, places, and how well each is known.

    Print a board with `mien cameras board`. Keep the result with `mien rig calibration rig.json`.
    """
    from rich.console import Console
    from rich.table import Table

    from common.terminal.progress_bar import progress_bar
    from processing.calibration.calibration_folder import FolderOptions, calibrate_folder
    from processing.calibration.calibration_report import HEADINGS, lines, report, rows

    with progress_bar() as progress:
        found, shots, chosen = calibrate_folder(
            board_dir, out, FolderOptions(board, rig_file, frame, _views(front), allow_unlinked), workers=workers,
            progress=progress,
        )  # fmt: skip
    if as_json:
        print_json(report(found, chosen))
        return
    table = Table(*HEADINGS, title=f"{len(found.cameras)} cameras from {len(found.poses)} poses")
    for row in rows(found):
        table.add_row(*row)
    Console().print(table)
    for line in lines(found):
        typer.echo(line)
    if not shots.numbered and rig_file is None:
        order = ", ".join(f"{place.name} = {place.view}" for place in shots.cameras[:4])
        typer.echo(f"views were counted in the order of the names ({order}, ...); --rig-file says otherwise")
    typer.echo(f"{out}: {found.rms_px:.3f} px RMS over {found.corners} corners; frame: {chosen}")


def _views(text: str) -> tuple[int, ...]:
    views: list[int] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        first, _, last = word.partition("-")
        if not first.isdecimal() or (last and not last.isdecimal()):
            raise typer.BadParameter(f"{word!r} is not a view nor a range of views such as 0-29", param_hint="--front")
        views += range(int(first), int(last or first) + 1)
    return tuple(views)
