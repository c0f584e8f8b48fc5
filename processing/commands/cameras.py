"""`mien cameras`: the board to print, and files of calibrated cameras."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="The calibration board, and calibrated cameras in other programs' files.")
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_Scale = Annotated[
    float, typer.Option(help="Millimetres a unit of what is read: 1000 for a model in metres.", min=1e-9)
]


@app.command()
def board(
    out: Annotated[Path, typer.Option("--out", "-o", help="board.pdf or board.png; board.toml is written beside it.")],
    squares: Annotated[str, typer.Option(help="Squares over width and height.")] = "9x13",
    square_mm: Annotated[float, typer.Option(help="A square's side.", min=1, max=1000)] = 20.0,
    marker_mm: Annotated[float | None, typer.Option(help="A marker's side; by default three quarters of it.")] = None,
    dictionary: Annotated[str, typer.Option(help="OpenCV's dictionary of markers, without DICT_.")] = "5X5_100",
    dpi: Annotated[int, typer.Option(help="Dots an inch.", min=72, max=2400)] = 600,
) -> None:
    """Draw the board at true size, with the file that says its measures."""
    from PIL import Image

    from common.charuco.charuco_board import Board, board_toml
    from common.files.atomic_write import atomic_write

    wide, _, high = squares.lower().partition("x")
    if not (wide.isdecimal() and high.isdecimal()):
        raise typer.BadParameter(f"{squares!r} is not a number of squares such as 9x13", param_hint="--squares")
    if out.suffix.lower() not in (".pdf", ".png"):
        raise typer.BadParameter(f"{out} ends neither in .pdf nor in .png", param_hint="--out")
    made = Board(int(wide), int(high), square_mm, marker_mm or 0.75 * square_mm, dictionary)
    picture = Image.fromarray(made.picture(dpi / 25.4))
    with atomic_write(out) as temporary:
        if out.suffix.lower() == ".pdf":
            picture.convert("1", dither=Image.Dither.NONE).save(temporary, "PDF", resolution=dpi)
        else:
            picture.save(temporary, "PNG", dpi=(dpi, dpi))
    with atomic_write(out.with_suffix(".toml")) as temporary:
        temporary.write_text(board_toml(made), encoding="utf-8")
    w, h = made.size_mm
    typer.echo(f"{out}: {wide} x {high} squares, {w:g} x {h:g} mm, and {out.with_suffix('.toml').name}")
    typer.echo("Print at 100 %, glue it to something flat, measure ten squares, and correct board.toml.")


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A params.json or rig.json, or a folder with a COLMAP model.")],
    target: Annotated[Path, typer.Argument(help="NAME.json for FaceScape's params.json, else a folder for COLMAP.")],
    scale: _Scale = 1.0,
    binary: Annotated[bool, typer.Option("--binary", help="COLMAP's .bin files instead of .txt.")] = False,
    as_json: _Json = False,
) -> None:
    """Bring calibrated cameras from COLMAP, take them there, or bring a params.json to millimetres.

    Which photograph is which view stands in what is written: as '<v>_ori' in params.json, as names in images.txt.
    """
    from processing.files.camera_models import convert_cameras
    from processing.geometry.camera_units import other_unit

    made = convert_cameras(source, target, scale=scale, binary=binary)
    unlikely = other_unit(list(made.cameras.values()))
    if unlikely:
        typer.echo(f"warning: {unlikely}. --scale gives the millimetres of a unit of {source}", err=True)
    if as_json:
        views = {str(view): name for view, name in made.photographs.items()}
        typer.echo(json.dumps({"cameras": len(made.cameras), "out": str(target), "photographs": views}))
        return
    typer.echo(f"{target}: {len(made.cameras)} cameras")
    for view, name in made.photographs.items():
        if Path(name).stem != str(view):
            typer.echo(f"view {view} is {name}")


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Calibrated cameras: a params.json, or a COLMAP folder.")],
    second: Annotated[Path, typer.Argument(help="The same rig's at another time.")],
    as_json: _Json = False,
) -> None:
    """How far each camera is in the second file from where the first has it, whatever their frames."""
    from rich.console import Console
    from rich.table import Table

    from processing.calibration.calibration_report import differences
    from processing.files.camera_models import read_cameras

    found = differences(read_cameras(first), read_cameras(second))
    if as_json:
        typer.echo(json.dumps({"views": found}))
        return
    table = Table("view", "centre", "turn", "focal length", "principal point", title="Second against first")
    for d in found:
        table.add_row(
            f"{d['view']:.0f}", f"{d['centre_mm']:.3f} mm", f"{d['turn_deg']:.4f}°", f"{d['focal_percent']:+.3f} %",
            f"{d['principal_px']:.2f} px",
        )  # fmt: skip
    Console().print(table)


@app.command()
def colours(
    folder: Annotated[Path, typer.Argument(help="0.jpg, 1.jpg, …: each view's photograph of a ColorChecker.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A rig.json, whose views get their profiles, or a new file of them.")
    ],
    as_json: _Json = False,
) -> None:
    """Colour profiles of the views, from photographs of a ColorChecker (24 patches) in the studio's light."""
    from processing.files.camera_models import read_params, write_params
    from processing.files.colour_profiles import params_of_profiles
    from processing.photometry.colour_checker_folder import fit_colour_checkers

    params = read_params(out) if out.exists() else {}
    found = fit_colour_checkers(folder)
    write_params(out, params | params_of_profiles({view: fit.profile for view, fit in found.fits.items()}))
    if as_json:
        errors = {str(view): fit.error for view, fit in found.fits.items()}
        refused = {str(view): why for view, why in found.refused.items()}
        typer.echo(json.dumps({"out": str(out), "errors": errors, "refused": refused}))
        return
    for view, fit in found.fits.items():
        typer.echo(f"view {view}  {fit.patches} patches, {100 * fit.error:.1f} % of full scale remain")
    for view, why in found.refused.items():
        typer.echo(f"warning: view {view} has no profile: {why}", err=True)
    typer.echo(f"{out}: colour profiles of {len(found.fits)} views")


@app.command()
def check(
    take_dir: Annotated[Path, typer.Argument(help="A take: 0.jpg, 1.jpg, … and params.json.", metavar="TAKE_DIR")],
    rig: Annotated[Path | None, typer.Option(help="Cameras to use instead of the take's params.json.")] = None,
    as_json: _Json = False,
) -> None:
    """Which cameras of a take do not stand where they are calibrated, or photographed badly; the farm asks the same."""
    from processing.camera_check.report import lines
    from processing.farm.check_take_cameras import judge_take_cameras

    found = judge_take_cameras(take_dir, rig)
    if as_json:
        typer.echo(json.dumps(found.as_dict()))
        raise typer.Exit(4 if found.refused else 0)
    for view, why in found.skipped.items():
        typer.echo(f"warning: view {view} is not used: {why}", err=True)
    if found.report is None:
        typer.echo(found.refused, err=True)
        raise typer.Exit(4)
    for line in lines(found.report):
        typer.echo(line)
    typer.echo(f"{found.report.judged} of {found.report.cameras} cameras stand where they are calibrated")
