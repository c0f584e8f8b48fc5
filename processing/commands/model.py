"""`mien model`: the statistical model of a study's faces, and what is done with its file."""

import typer

from processing.commands import model_export, model_study

app = typer.Typer(no_args_is_help=True)


@app.callback()
def model() -> None:
    """Face models: a study's identities and expressions, to look at, sample and fit."""


app.command()(model_study.build)
app.command()(model_study.rebuild)
app.command("list")(model_study.list_models)
app.command()(model_study.status)
app.command()(model_export.export)
