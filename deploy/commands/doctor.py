"""`mien doctor`: what this machine can run, what is missing, how to get it."""

from typing import Annotated

import typer

from common.terminal.options import print_json

app = typer.Typer()


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """What this machine can run, what is missing, how to get it."""
    from deploy.system_check import examine

    findings = examine()
    if as_json:
        print_json([finding._asdict() for finding in findings])
        return
    for finding in findings:
        mark = {"ok": "ok     ", "note": "note   ", "missing": "MISSING"}[finding.state]
        print(f"{mark}  {finding.what:<28} {finding.found}")
        if finding.remedy:
            print(f"{'':9}{'':28} {finding.remedy}")
