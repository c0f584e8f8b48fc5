"""`mien node`: run a camera's node, make its keys, let it in at the studio."""

import dataclasses
import json
import logging
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from camera_nodes.errors import BadSettings
from common.guarding.log_fields import LogFormat
from common.guarding.log_records import log_as_camera, log_to
from common.terminal.options import LogLines

app = typer.Typer(no_args_is_help=True, help="A camera's node: run it, make its keys, enrol it at the studio.")

KeysOption = Annotated[Path, typer.Option(envvar="MIEN_KEYS", help="Folder of key files (mode 0700).")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def run(
    settings_files: Annotated[
        list[Path] | None,
        typer.Argument(help="TOML file of a camera; or several, or a folder of them: a process a camera."),
    ] = None,
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
    log_format: LogLines = None,
) -> None:
    """Serve a camera, or all cameras of a computer, until SIGTERM or Ctrl-C. Flags go before what the file says."""
    from camera_nodes import agent
    from camera_nodes.agent_settings import agent_settings
    from camera_nodes.node_supervisor import NodeSupervisor

    given = {"camera": camera, "url": url, "control": control, "bulk": bulk, "keys": keys, "spool": spool, "node": node}
    overrides = {name: value for name, value in given.items() if value is not None}
    files = settings_files or []
    form = log_format or LogFormat.TEXT
    level = logging.DEBUG if verbose else logging.INFO
    log_to(level=level, fmt="%(asctime)s %(levelname)s %(message)s", form=form)
    if len(files) > 1 or any(file.is_dir() for file in files):
        if own := sorted(overrides.keys() & {"camera", "url", "spool", "node"}):
            raise BadSettings(f"--{own[0]} is one camera's, and {len(files)} files or a folder are given")
        NodeSupervisor(files, lambda file: agent_settings(file, overrides)).run()
    else:
        settings = agent_settings(files[0] if files else None, overrides)
        if form is LogFormat.JSON:
            log_as_camera(settings.camera)
        agent.run(settings)


@app.command()
def keys(
    name: Annotated[str, typer.Argument(help='The node\'s name, such as "cam-07"; "controller" for the studio.')],
    keys: KeysOption = Path("keys"),
    as_json: JsonOption = False,
) -> None:
    """Show a node's public key; the pair is made when it is not there."""
    from camera_nodes.curve_keys import ensure_keys

    pair = ensure_keys(keys, name)
    if as_json:
        typer.echo(json.dumps({"name": name, "public": pair.public, "keys": str(keys)}))
        return
    typer.echo(pair.public)
    typer.echo(f"Let it in at the studio:  mien node enrol {name} '{pair.public}'", err=True)


class _TakesKey(TyperCommand):
    """A command one of whose arguments is a public key: one that begins with "-" is no option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        from camera_nodes.curve_keys import is_public

        options = {name for parameter in self.params for name in parameter.opts}
        keys = [word for word in args if word[:1] == "-" and is_public(word) and word.partition("=")[0] not in options]
        if keys and "--" not in args:
            args = [*(word for word in args if word not in keys), "--", *keys]
        return super().parse_args(ctx, args)


@app.command(cls=_TakesKey)
def enrol(
    name: Annotated[str, typer.Argument(help='The node\'s name, such as "cam-07".')],
    public: Annotated[str, typer.Argument(help="At the studio: its public key, carried over by hand.")] = "",
    keys: KeysOption = Path("keys"),
    remove: Annotated[bool, typer.Option("--remove", help="At the studio: let it in no longer.")] = False,
    studio: Annotated[str, typer.Option(help="On the node: the studio's address, HOST or HOST:PORT.")] = "",
    code: Annotated[str, typer.Option(help="On the node: the studio's one-time code; asked for without this.")] = "",
    listen: Annotated[str, typer.Option(help="At the studio: where to wait for the code, HOST or HOST:PORT.")] = "",
    minutes: Annotated[float, typer.Option(help="At the studio: how long the code is good.", min=0.05, max=60)] = 15,
    as_json: JsonOption = False,
) -> None:
    """Put a node on the studio's allow-list.

    At the studio, `mien node enrol cam-07` shows a one-time code and waits; on the node,
    `mien node enrol cam-07 --studio HOST` asks for it. Then each side has the other's public key.
    """
    from camera_nodes.curve_keys import CONTROLLER, AllowList, ensure_keys

    if studio or code:
        if not studio or public or remove or listen:
            raise BadSettings("on a node: mien node enrol NAME --studio HOST [--code CODE], and nothing else")
        _join(keys, name, studio, code, as_json)
        return
    allowed = AllowList(keys)
    if remove:
        allowed.remove(name)
    elif public:
        allowed.add(name, public)
    else:
        _show_code(keys, name, listen, minutes * 60, as_json)
        return
    controller = ensure_keys(keys, CONTROLLER)
    nodes = allowed.names()
    if as_json:
        typer.echo(json.dumps({"nodes": nodes, "controller": controller.public}))
        return
    typer.echo(f"{name} {'is off the list' if remove else 'may connect'}; {len(nodes)} nodes may.")
    typer.echo(f"On the node, {CONTROLLER}.pub in its keys folder holds:  {controller.public}")


@app.command()
def strays(
    settings_file: Annotated[Path, typer.Argument(help="The node's TOML file.")],
    copy: Annotated[Path | None, typer.Option(help="Copy them into this folder, under their own names.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the tray: what the camera had and no take made, and why each file is filed in none."""
    from camera_nodes.agent_settings import agent_settings
    from camera_nodes.photo_transfer.stray_files import copy_stray_files, list_stray_files

    found = list_stray_files(agent_settings(settings_file, {}).spool)
    copied = copy_stray_files(found, copy) if copy is not None else []
    if as_json:
        typer.echo(json.dumps([one.as_json() for one in found]))
        return
    for one in found:
        typer.echo(
            f"{one.stray.path}  {one.stray.bytes:,} bytes, {one.stray.found_at}\n  {one.stray.reason}\n  {one.folder}"
        )
    typer.echo(f"{len(found)} files in the tray{f', {len(copied)} copied to {copy}' if copy is not None else ''}.")


def _show_code(keys: Path, name: str, listen: str, life_s: float, as_json: bool) -> None:
    """At the studio: a code for `name`, until it is used or worth nothing any more."""
    from camera_nodes.enrolment import Enrolment, listen_address, studio_addresses

    control, bulk = studio_addresses(keys)
    address = listen_address(listen, control)
    with Enrolment(keys, name, address, control=control, bulk=bulk, life_s=life_s) as enrolment:
        place = enrolment.endpoint.removeprefix("tcp://")
        if as_json:
            typer.echo(json.dumps({"node": name, "code": enrolment.code, "endpoint": enrolment.endpoint}))
        else:
            typer.echo(f"Code for {name}:  {enrolment.code}   (good for {life_s / 60:g} minutes, once)")
            typer.echo(f"On the node:  mien node enrol {name} --studio {place}")
        joined = enrolment.wait()
    if as_json:
        typer.echo(json.dumps({"node": name, "public": joined.public, "replaced": joined.replaced}))
        return
    typer.echo(f"{name} may connect{'; its earlier key may not any more' if joined.replaced else ''}.")


def _join(keys: Path, name: str, studio: str, code: str, as_json: bool) -> None:
    """On the node: present the code."""
    from camera_nodes.curve_keys import CONTROLLER
    from camera_nodes.enrolment import join

    pinned = join(keys, name, studio, code or typer.prompt("Code"))
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(pinned) | {"node": name}))
        return
    typer.echo(f"{name} is enrolled. The studio's key is pinned in {keys / f'{CONTROLLER}.pub'}.")
    if pinned.replaced:
        typer.echo("Another studio's key was pinned here before; it is no longer.")
    if pinned.control:
        typer.echo(f'In the node\'s settings:\n  control = "{pinned.control}"\n  bulk = "{pinned.bulk}"')
