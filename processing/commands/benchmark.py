"""`mien benchmark`: methods that find a face in one photograph, measured on faces of known shape."""

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def benchmark() -> None:
    """Benchmarks of single-view methods: make one, run methods on it, evaluate meshes, report."""
