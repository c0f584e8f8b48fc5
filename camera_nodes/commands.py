"""`mien node`: run a camera's node, make its keys, let it in at the studio."""

import dataclasses
import difflib
import json
import logging
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from camera_nodes.errors import BadSettings

if TYPE_CHECKING:
    from camera_nodes.agent import AgentSettings

app = typer.Typer(no_args_is_help=True, help="A camera's node: run it, make its keys, enrol it at the studio.")

KeysOption = Annotated[Path, typer.Option(envvar="MIEN_KEYS", help="Folder of key files (mode 0700).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def run(
    settings_file: Annotated[Path | None, typer.Argument(help="TOML file; flags override it.")] = None,
    camera: Annotated[str | None, typer.Option(help='The rig\'s name of the camera, such as "cam-07".')] = None,
    url: Annotated[
        str | None, typer.Option(help="The camera: gphoto2:usb:001,004, gphoto2:, sim:lag_ms=58 ...")
    ] = None,
    control: Annotated[str | None, typer.Option(help="The studio's control endpoint, tcp://HOST:PORT.")] = None,
    bulk: Annotated[str | None, typer.Option(help="The studio's bulk endpoint, tcp://HOST:PORT.")] = None,
    keys: Annotated[Path | None, typer.Option(envvar="MIEN_KEYS", help="Folder of key files (mode 0700).")] = None,
    spool: Annotated[Path | None, typer.Option(help="Folder for photographs not yet stored.")] = None,
    node: Annotated[str | None, typer.Option(help="Name of the node's key, by default the camera's.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Serve one camera until SIGTERM or Ctrl-C."""
    from camera_nodes import agent

    given = {"camera": camera, "url": url, "control": control, "bulk": bulk, "keys": keys, "spool": spool, "node": node}
    settings = agent_settings(settings_file, {name: value for name, value in given.items() if value is not None})
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    agent.run(settings)


@app.command()
def keys(
    name: Annotated[str, typer.Argument(help='The node\'s name, such as "cam-07"; "controller" for the studio.')],
    keys: KeysOption = Path("keys"),
    as_json: JsonOption = False,
) -> None:
    """Show a node's public key; the pair is made when it is not there."""
    from camera_nodes.transport import ensure_keys

    pair = ensure_keys(keys, name)
    if as_json:
        typer.echo(json.dumps({"name": name, "public": pair.public, "keys": str(keys)}))
        return
    typer.echo(pair.public)
    typer.echo(f"Let it in at the studio:  mien node enrol {name} '{pair.public}'", err=True)


@app.command()
def enrol(
    name: Annotated[str, typer.Argument(help='The node\'s name, such as "cam-07".')],
    public: Annotated[str, typer.Argument(help="Its public key, as `mien node keys` shows it.")] = "",
    keys: KeysOption = Path("keys"),
    remove: Annotated[bool, typer.Option("--remove", help="Let it in no longer.")] = False,
    as_json: JsonOption = False,
) -> None:
    """At the studio: put a node on the allow-list.  Shows the studio's public key, which the node needs."""
    from camera_nodes.transport import CONTROLLER, AllowList, ensure_keys

    allowed = AllowList(keys)
    if remove:
        allowed.remove(name)
    elif public:
        allowed.add(name, public)
    else:
        raise BadSettings(f"give the public key of {name}: `mien node keys {name}` on that node shows it")
    controller = ensure_keys(keys, CONTROLLER)
    nodes = allowed.names()
    if as_json:
        typer.echo(json.dumps({"nodes": nodes, "controller": controller.public}))
        return
    typer.echo(f"{name} {'is off the list' if remove else 'may connect'}; {len(nodes)} nodes may.")
    typer.echo(f"On the node, {CONTROLLER}.pub in its keys folder holds:  {controller.public}")


def agent_settings(file: Path | None, overrides: dict[str, Any]) -> "AgentSettings":
    """AgentSettings from a TOML file and overrides.

    Folders in the file are relative to the file.  Raises BadSettings naming file, key and the likely meant key.
    """
    from camera_nodes.agent import AgentSettings

    fields = {field.name: field for field in dataclasses.fields(AgentSettings)}
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise BadSettings(f"{file} cannot be read: {error}") from None
    where = file or "the node's settings"
    for key, value in values.items():
        if key not in fields:
            close = difflib.get_close_matches(key, list(fields), n=1)
            meant = f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(fields)}"
            raise BadSettings(f"{where}: unknown key {key!r}{meant}")
        kind = fields[key].type
        wanted: Any = str if kind in (str, Path) else (int, float) if kind in (float, float | None) else kind
        if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
            raise BadSettings(f"{where}: {key} is {value!r}, which is of the wrong type")
    for name in ("keys", "spool"):
        if file is not None and name in values:
            values[name] = file.parent / Path(values[name]).expanduser()
    values |= overrides
    missing = [name for name in ("camera", "url", "control", "bulk") if name not in values]
    if missing:
        flags = ", ".join(f"--{name}" for name in missing)
        raise BadSettings(f"{where}: missing {', '.join(missing)} (in the file, or {flags})")
    values.setdefault("keys", Path("keys"))
    values.setdefault("spool", Path("spool") / str(values["camera"]))
    return AgentSettings(**values | {name: Path(values[name]).expanduser() for name in ("keys", "spool")})
