"""`mien displace`: a registered mesh and its displacement map back to a detailed mesh."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def displace(
    obj: Annotated[Path, typer.Argument(help="Registered mesh with UVs (OBJ, mm); where it has none it stays.")],
    dpmap: Annotated[Path, typer.Argument(help="Its displacement map (16-bit PNG, or EXR).")],
    out: Annotated[Path, typer.Option("--out", help="The detailed mesh to write (PLY).")] = Path("detailed.ply"),
    subdivisions: Annotated[int, typer.Option(min=0, max=5, help="Each makes four triangles of one.")] = 2,
    scale_mm: Annotated[
        float | None,
        typer.Option(min=1e-6, help="For a map without one: mm of half a PNG's range, of 1 in an EXR."),
    ] = None,
) -> None:
    """Apply a displacement map to a registered mesh."""
    from processing.displacement.apply_displacement import displace as apply
    from processing.files.displacement_exr import read_displacement_exr
    from processing.files.displacement_png import read_displacement_png
    from processing.files.mesh_files import read_mesh
    from processing.files.ply import write_ply

    read = read_displacement_exr if dpmap.suffix.lower() == ".exr" else read_displacement_png
    mesh, relief = read_mesh(obj), read(dpmap, scale_mm=scale_mm)
    detailed = apply(mesh, relief, subdivisions=subdivisions)
    write_ply(out, detailed)
    share = float(relief.valid.mean())
    typer.echo(f"{out}: {len(detailed.vertices_mm):,} vertices, {share:.0%} of the map measured")
    if bare := int(mesh.without_uvs.sum()):
        typer.echo(f"{bare:,} of {len(mesh.triangles):,} triangles have no UVs and are left as they are")
