"""`mien model`: the statistical model of a study's faces, and what is done with its file."""

import typer

from processing.commands import model_evaluate, model_export, model_fit, model_show, model_study

app = typer.Typer(no_args_is_help=True)


@app.callback()
def model() -> None:
    """Face models: a study's identities and expressions, to look at, sample and fit."""


for command in (
    model_study.build,
    model_study.rebuild,
    model_study.status,
    model_show.show,
    model_show.sample,
    model_fit.fit,
    model_fit.rig,
    model_evaluate.evaluate,
    model_export.export,
):
    app.command()(command)
app.command("list")(model_study.list_models)
