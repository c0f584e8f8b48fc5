"""mien process: photographs of one subject in, release layout out; no database."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def process(
    subject: Annotated[Path, typer.Argument(help="Folder of takes <k>_<name>/ with 0.jpg, 1.jpg, … and params.json.")],
    out: Annotated[Path, typer.Option(help="Folder for models_reg/, dpmap/, mesh/, rigs/ and report.html.")],
    template: Annotated[str | None, typer.Option(help="A template file (.npz); default: Mien's own.")] = None,
    expressions: Annotated[
        str | None, typer.Option(help="Some of the takes, as in neutral,smile; the neutral is always needed.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, or cuda where there is one.")] = "cpu",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="STAGE.NAME=VALUE", help="A stage's parameter.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Turn a subject's photographs into registered meshes, textures, displacement maps, scans and a report.

    Finished work is kept in OUT/.work: run the same command again after an interruption and it goes on.
    """
    from processing.farm.display.run_progress import RunProgressDisplay, show_processed
    from processing.farm.process_subject import ProcessOptions, process_subject
    from processing.stages.discovery import discover
    from processing.stages.parameters import parse_params

    chosen = [e.strip() for e in expressions.split(",") if e.strip()] if expressions else None
    options = ProcessOptions(template, chosen, parse_params(set_ or []), device)
    stages = discover()
    try:
        with RunProgressDisplay(stages) as display:
            made = process_subject(subject, out, stages, options, display)
    except KeyboardInterrupt:
        typer.echo(f"Interrupted; finished work is kept in {out}: run the same command again to go on.", err=True)
        raise typer.Exit(130) from None
    if as_json:
        typer.echo(json.dumps({"out": str(out), "seconds": round(made.seconds, 1), "runs": made.runs,
                               "warnings": list(made.warnings), "takes": made.quality}))  # fmt: skip
    else:
        show_processed(made)
