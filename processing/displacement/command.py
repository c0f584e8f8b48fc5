"""`mien displace`: a registered mesh and its displacement map back to a detailed mesh."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def displace(
    obj: Annotated[Path, typer.Argument(help="Registered mesh with UVs (OBJ, mm).")],
    dpmap: Annotated[Path, typer.Argument(help="Its displacement map (16-bit PNG).")],
    out: Annotated[Path, typer.Option("--out", help="The detailed mesh to write (PLY).")] = Path("detailed.ply"),
    subdivisions: Annotated[int, typer.Option(min=0, max=5, help="Each makes four triangles of one.")] = 2,
    scale_mm: Annotated[
        float | None, typer.Option(min=1e-6, help="Height of half the 16-bit range, for a PNG that does not say it.")
    ] = None,
) -> None:
    """Apply a displacement map to a registered mesh."""
    from processing.displacement import displace as apply
    from processing.displacement import read_relief
    from processing.mesh_files import read_obj, write_ply

    mesh, relief = read_obj(obj), read_relief(dpmap, scale_mm=scale_mm)
    detailed = apply(mesh, relief, subdivisions=subdivisions)
    write_ply(out, detailed)
    share = float(relief.valid.mean())
    typer.echo(f"{out}: {len(detailed.vertices_mm):,} vertices, {share:.0%} of the map measured")
