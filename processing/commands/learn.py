"""`mien learn`: what a study teaches about one photograph, trained from its release."""

import typer

from processing.commands import learn_models, learn_records, learn_train

app = typer.Typer(no_args_is_help=True)


@app.callback()
def learn() -> None:
    """Train on a release's people: a fit of photographs, skin's detail, heads of avatars; and who is in it."""


for command in (
    learn_train.regressor,
    learn_train.detail,
    learn_train.avatar,
    learn_models.models,
    learn_records.show,
    learn_records.check,
    learn_records.record,
):
    app.command()(command)
app.command("list")(learn_records.list_weights)
