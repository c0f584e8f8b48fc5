"""`mien model`: the statistical model of a study's faces, and what is done with its file."""

import typer

from processing.commands import model_export

app = typer.Typer(no_args_is_help=True)


@app.callback()
def model() -> None:
    """Face models: a study's identities and expressions, to look at, sample and fit."""


app.command()(model_export.export)
