"""`mien face`: a face from photographs of a person."""

import typer

from processing.commands import face_animate, face_detail, face_edit, face_fit

app = typer.Typer(no_args_is_help=True)


@app.callback()
def face() -> None:
    """One photograph, or several of one person, to a face of a study's model."""


app.command("fit")(face_fit.fit)
app.command("edit")(face_edit.edit)
app.command("detail")(face_detail.detail)
app.command("animate")(face_animate.animate)
