"""`mien reconstruct`: a take's photographs become scan.ply."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(add_completion=False)


@app.command()
def reconstruct(
    take_dir: Annotated[Path, typer.Argument(help="A take: 0.jpg, 1.jpg, … and params.json.", metavar="TAKE_DIR")],
    out: Annotated[
        Path, typer.Option(help="The scan to write: PLY, mm, with vertex colours; with --preview also .glb, in metres.")
    ],
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
    preview: Annotated[
        bool,
        typer.Option("--preview", help="Frontal views at a quarter of their size, a coarse mesh, open holes: seconds."),
    ] = False,
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
    from processing.farm.reconstruct_take import CameraFiles, preview_take, reconstruct_take
    from processing.reconstruction.settings import FAST, ReconstructionSettings
    from processing.stages.reconstruct import Reconstruct

    if preview:
        if fast or vertices or megapixels or colours or picture:
            raise typer.BadParameter("goes with --rig, --device and --json alone", param_hint="--preview")
        with progress_bar() as progress:
            report = preview_take(take_dir, out, rig=rig, device=device, progress=progress)
        told = f"{out}: {report['vertices']} vertices from {report['depth_views']} of {report['views']} frontal views"
        typer.echo(json.dumps(report) if as_json else told)
        return
    surface, asked = FAST if fast else ReconstructionSettings(), {"vertices": vertices, "max_megapixels": megapixels}
    changed: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    surface = replace(surface, **changed)
    params = Reconstruct.Params(surface=surface, watch=watch).to_mapping()
    with progress_bar() as progress:
        made = reconstruct_take(
            take_dir, out, params, cameras=CameraFiles(rig, colours), picture=picture, device=device,
            memory_gb=memory, progress=progress,
        )  # fmt: skip
    for line in made.warnings():
        typer.echo(f"warning: {line}", err=True)
    typer.echo(json.dumps(made.as_dict(), indent=2) if as_json else made.as_text(out))
