"""`mien model`: the statistical model of a study's faces, and what is done with its file."""

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def model() -> None:
    """Face models: a study's identities and expressions, to look at, sample and fit."""
