"""`mien protocol`: which expressions a session asks for."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.terminal.options import AsJson, Database, Home, print_json, print_table

if TYPE_CHECKING:
    from db.models import Protocol

app = typer.Typer(no_args_is_help=True, help="Capture protocols: versioned lists of expressions.")


@app.command(name="list")
def list_all(home: Home = None, database: Database = None, as_json: AsJson = False) -> None:
    """List the protocols."""
    from db.engine import reading
    from db.protocols import list_protocols
    from db.studio import open_studio

    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        reports = [_report(protocol) for protocol in list_protocols(tx)]
    if as_json:
        print_json(reports)
    else:
        rows = [[r["name"], r["version"], len(r["expressions"])] for r in reports]
        print_table("Protocols", ["name", "version", "expressions"], rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Protocol name.")] = "facescape20",
    version: Annotated[int | None, typer.Option(help="The newest by default.")] = None,
    home: Home = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Show a protocol's expressions and what the operator says for each."""
    from db.engine import reading
    from db.protocols import get_protocol
    from db.studio import open_studio

    with open_studio(home, database) as studio, reading(studio.engine) as tx:
        report = _report(get_protocol(tx, name, version))
    if as_json:
        print_json(report)
    else:
        rows = [[e["position"], e["name"], e["instruction"]] for e in report["expressions"]]
        print_table(f"{report['name']} version {report['version']}", ["", "expression", "instruction"], rows)


@app.command()
def load(
    path: Annotated[Path, typer.Argument(help="TOML: name, version, and a table for each expression.")],
    home: Home = None,
    database: Database = None,
) -> None:
    """Enter a protocol from a TOML file."""
    from db.engine import transaction
    from db.protocols import install_protocol, load_protocol
    from db.studio import open_studio

    data = load_protocol(path)
    with open_studio(home, database) as studio, transaction(studio.engine) as tx:
        install_protocol(tx, data)
    print(f"{data.name} version {data.version}: {len(data.expressions)} expressions")


def _report(protocol: "Protocol") -> dict[str, Any]:
    return {
        "name": protocol.name,
        "version": protocol.version,
        "expressions": [
            {"position": e.position, "name": e.name, "instruction": e.instruction} for e in protocol.expressions
        ],
    }
