"""`mien reconstruct`: a take's photographs become scan.ply."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(add_completion=False)


@app.command()
def reconstruct(
    take_dir: Annotated[Path, typer.Argument(help="A take: 0.jpg, 1.jpg, … and params.json.", metavar="TAKE_DIR")],
    out: Annotated[Path, typer.Option(help="The scan to write: PLY, mm, with vertex colours.")],
    rig: Annotated[Path | None, typer.Option(help="Cameras to use instead of the take's params.json.")] = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda where there is one.")] = "cpu",
    vertices: Annotated[int | None, typer.Option(help="About so many vertices at most.", metavar="N")] = None,
    megapixels: Annotated[
        float | None, typer.Option(help="Match photographs at no more than so many megapixels.", metavar="MP")
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            help="Gigabytes of photographs and depth maps held in memory; the rest lie in TMPDIR.", metavar="GB"
        ),
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Half of the views and fewer vertices, for a look.")] = False,
    watch: Annotated[
        bool, typer.Option(help="Hold the cameras against each other first; leave out or put right what moved.")
    ] = True,
    colours: Annotated[
        Path | None, typer.Option(help="Colour profiles of the views (mien cameras colours), instead of the rig's.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Also write a PNG of the scan's quality.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Reconstruct the surface that a take's calibrated photographs show."""
    from common.terminal.progress_bar import progress_bar
    from processing.camera_check.report import lines
    from processing.reconstruction.settings import FAST, ReconstructionSettings
    from processing.stages.support.take_scan import reconstruct_take, report_json, report_lines

    settings = FAST if fast else ReconstructionSettings()
    asked: dict[str, Any] = {"vertices": vertices, "max_megapixels": megapixels, "memory_gb": memory}
    settings = replace(settings, **{name: value for name, value in asked.items() if value is not None})
    with progress_bar() as progress:
        made = reconstruct_take(
            take_dir, out, rig=rig, device=device, settings=settings, watched=watch, colours=colours, picture=picture,
            progress=progress,
        )  # fmt: skip
    told = {f.camera for f in made.watch.troubles} if made.watch is not None else set()
    for view, reason in made.skipped.items():
        if str(view) not in told:
            typer.echo(f"warning: view {view} is not used: {reason}", err=True)
    for line in lines(made.watch) if made.watch is not None else ():
        typer.echo(f"warning: {line}", err=True)
    typer.echo(report_json(made) if as_json else report_lines(made, out))
