"""`mien reconstruct`: a take's photographs become scan.ply."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def reconstruct(
    take_dir: Annotated[Path, typer.Argument(help="A take: 0.jpg, 1.jpg, ... and params.json.", metavar="TAKE_DIR")],
    out: Annotated[Path, typer.Option(help="The scan to write, PLY with vertex colours, mm.")],
    rig: Annotated[Path | None, typer.Option(help="Cameras to use instead of the take's params.json.")] = None,
    device: Annotated[str, typer.Option(help="Where to compute: cpu.")] = "cpu",
    fast: Annotated[bool, typer.Option("--fast", help="A coarser scan in a fraction of the time.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Reconstruct the surface that a take's calibrated photographs show."""
    from processing.reconstruction.files import reconstruct_take, report_json, report_lines

    with _progress(quiet=as_json) as progress:
        scan, skipped = reconstruct_take(take_dir, out, rig=rig, device=device, fast=fast, progress=progress)
    for view, reason in skipped.items():
        typer.echo(f"warning: view {view} is not used: {reason}", err=True)
    typer.echo(report_json(scan, skipped) if as_json else report_lines(scan, out))
