"""`mien learn models`: small models of a synthetic study, to try a photograph with."""

from pathlib import Path
from typing import Annotated

import typer

from common.terminal.options import AsJson, print_json


def models(
    out: Annotated[Path, typer.Option("--out", help="Folder for study, model and networks.")] = Path("models"),
    as_json: AsJson = False,
) -> None:
    """Make people of a study that never was, their face model and the three networks; half an hour on two cores.

    By the commands that a studio types, each with its log; an interrupted call goes on.
    """
    from common.terminal.progress_bar import progress_bar
    from processing.training.small_models import make_small_models

    with progress_bar(quiet=as_json) as progress:
        made = make_small_models(out, progress=progress)
    if as_json:
        print_json({"folder": str(out), "seconds": made.seconds})
        return
    took = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in made.seconds.items())
    print(f"{out}: a synthetic study's model, regressor, detail and avatar ({took}). Try them:")
    model = f"--model {made.model}"
    print(f"  mien avatar {made.photograph} --weights {made.weights('avatar')} {model} --out avatar.glb")
    print(f"  mien face detail {made.photograph} {model} --weights {made.weights('detail')} --out detailed-face")
    print(f"  mien face fit {made.photograph} {model} --learned {made.weights('regressor')} --out fit")
