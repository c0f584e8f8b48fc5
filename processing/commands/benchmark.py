"""`mien benchmark`: methods that find a face in one photograph, measured on faces of known shape."""

import typer

from processing.commands import benchmark_make

app = typer.Typer(no_args_is_help=True)


@app.callback()
def benchmark() -> None:
    """Benchmarks of single-view methods: make one, run methods on it, evaluate meshes, report."""


app.add_typer(benchmark_make.app, name="make")
