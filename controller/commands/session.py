"""`mien session`: a subject in the chair."""

from typing import Annotated, Any

import typer

from controller.commands.checks import checks
from db.commands.options import AsJson, Home, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="A subject in the chair: fire, accept, take again, skip, pause, close.")

Expression = Annotated[
    str | None, typer.Argument(help="smile, 2, or S012-1-E02 with the session; the next open one by default.")
]


Session = Annotated[str | None, typer.Argument(help="The session's code; the open one by default.")]
Profile = Annotated[str | None, typer.Option(help="Settings and lights of this take; the session's by default.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return once every photograph is safe on its node.")]


@app.command()
def start(
    subject: Annotated[str, typer.Argument(help="The subject's code, as in S012.")],
    protocol: Annotated[str | None, typer.Option(help="Which expressions; facescape20 by default.")] = None,
    version: Annotated[int | None, typer.Option(help="The protocol's version; the newest by default.")] = None,
    profile: Annotated[str, typer.Option(help="Settings and lights of its takes, as in rig.toml.")] = "default",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Open a session."""
    from controller.client import StudioClient

    asked = {"subject": subject, "protocol": protocol, "version": version, "profile": profile}
    answer = StudioClient(home).post("/api/sessions", **asked)
    print_json(answer) if as_json else print(f"{answer['session']}  next: {answer['next']}")


@app.command()
def fire(
    expression: Expression = None,
    profile: Profile = None,
    no_wait: NoWait = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Fire one take and wait until it is whole, or known not to be."""
    _shoot("fire", expression, profile, no_wait, home, as_json)


@app.command()
def retake(
    expression: Annotated[str, typer.Argument(help="smile, 2, or S012-1-E02 with the session.")],
    profile: Profile = None,
    no_wait: NoWait = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Fire an expression again; the old take is kept, superseded by a new one that is whole."""
    _shoot("retake", expression, profile, no_wait, home, as_json)


@app.command()
def accept(
    expression: Expression = None,
    without: Annotated[
        list[str] | None,
        typer.Option(
            help="Keep the last take, which failed, although this camera's photograph is missing (cam-07,...)."
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why it is kept without; stays with the take.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Accept the latest whole take of an expression; by default the one that waits."""
    from controller.client import StudioClient
    from controller.commands.aside import camera_names

    client = StudioClient(home)
    session, wanted = _where(client, expression)
    if without and wanted is not None:
        wanted = expression  # a take's code means that attempt
    asked = {"expression": wanted, "without": camera_names(without or []), "reason": reason}
    answer = client.post(f"/api/sessions/{session}/accept", **asked)
    flags = f" although {answer['flags']}" if answer["flags"] else ""
    told = f"{answer['take']} {answer['state']}{flags}  {_following(answer['next'], session)}"
    print_json(answer) if as_json else print(told)


@app.command()
def skip(
    expression: Annotated[str, typer.Argument(help="smile, 2, or S012-1-E02 with the session.")],
    reason: Annotated[str | None, typer.Option(help="Why the session does without it; kept with the session.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Ask for it after all.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Do without an expression, for a reason; firing it asks for it again."""
    from controller.client import StudioClient
    from controller.errors import SessionError

    if undo == (reason is not None):
        raise SessionError(f"Say why:  mien session skip {expression} --reason '...'  (or --undo)")
    client = StudioClient(home)
    session, wanted = _where(client, expression)
    answer = client.post(f"/api/sessions/{session}/skip", expression=wanted, reason=reason)
    done = "asked for again" if undo else "skipped"
    print_json(answer) if as_json else print(f"{expression} {done}  {_following(answer['next'], session)}")


@app.command()
def pause(session: Session = None, home: Home = None, as_json: AsJson = False) -> None:
    """Pause a session; the rig is free for another one, and this one goes on at any later day."""
    from controller.client import StudioClient

    client = StudioClient(home)
    answer = client.post(f"/api/sessions/{session or _open(client)}/pause")
    told = f"{answer['session']} paused. To go on:  mien session resume {answer['session']}"
    print_json(answer) if as_json else print(told)


@app.command()
def resume(
    session: Annotated[str | None, typer.Argument(help="The session's code; the paused one when there is one.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Go on with a paused session at the expression where it stands."""
    from controller.client import StudioClient

    client = StudioClient(home)
    answer = client.post(f"/api/sessions/{session or _paused(client)}/resume")
    told = f"{answer['session']} open  {_following(answer['next'], answer['session'])}"
    print_json(answer) if as_json else print(told)


@app.command("list")
def list_sessions(home: Home = None, as_json: AsJson = False) -> None:
    """List the rig's sessions, newest first, and how far each is."""
    from controller.client import StudioClient

    answer = StudioClient(home).get("/api/sessions")
    if as_json:
        print_json(answer)
        return
    rows = [
        [
            line["session"],
            line["subject"],
            line["state"],
            line["opened_at"][:16].replace("T", " "),
            f"{line['accepted']} of {line['expressions']}",
            line["skipped"] or "-",
        ]
        for line in answer["sessions"]
    ]
    print_table("Sessions", ["session", "subject", "state", "opened (UTC)", "accepted", "skipped"], rows)


@app.command()
def close(
    session: Session = None,
    incomplete: Annotated[bool, typer.Option(help="Although expressions are not accepted.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Close a session: the farm takes over."""
    from controller.client import StudioClient
    from controller.commands.tables import print_without

    client = StudioClient(home)
    answer = client.post(f"/api/sessions/{session or _open(client)}/close", incomplete=incomplete)
    told = f"{answer['session']} closed: {len(answer['takes'])} takes, {answer['photographs']} photographs for the farm"
    print_json(answer) if as_json else print(told)
    if not as_json:
        print_without(answer["without"])


@app.command()
def show(session: Session = None, home: Home = None, as_json: AsJson = False) -> None:
    """Show a session: expressions, every take with its three numbers, what comes next."""
    from controller.client import StudioClient
    from controller.commands.tables import print_session

    client = StudioClient(home)
    answer = client.get(f"/api/sessions/{session or _open(client, or_paused=True)}")
    print_json(answer) if as_json else print_session(answer)


app.command()(checks)


def _shoot(verb: str, expression: str | None, profile: str | None, no_wait: bool, home: Any, as_json: bool) -> None:
    from controller.client import StudioClient
    from controller.commands.checks import print_after_fire
    from controller.commands.tables import ms, print_warnings

    client = StudioClient(home)
    session, wanted = _where(client, expression)
    asked = {"expression": wanted, "profile": profile, "wait": not no_wait}
    answer = client.post(f"/api/sessions/{session}/{verb}", **asked)
    if as_json:
        print_json(answer)
    else:
        skew = answer["skew"]
        print(answer["message"])
        print(f"  command skew      {ms(skew['command_skew_ms'])}")
        print(f"  clock uncertainty {ms(skew['clock_uncertainty_ms'])}")
        print(f"  exposure skew     {ms(skew['exposure_skew_ms'])} ({skew['exposure_source'].replace('_', ' ')})")
        print_warnings(answer["warnings"])
        for camera, advice in answer["advice"].items():
            print(f"  look at {camera}: {advice}")
        if answer["kept"]:
            print_after_fire(client, answer["take"])
            keep = "Keep it all the same" if answer["flags"] else "Keep it"
            print(f"{keep}:  mien session accept {session}-E{answer['position']:02d}")
    if not answer["kept"] and not answer["coming_in"]:
        raise typer.Exit(3)


def _following(name: str | None, session: str) -> str:
    return f"next: {name}" if name else f"nothing is left:  mien session close {session}"


def _where(client: Any, expression: str | None) -> tuple[str, str | None]:
    """The session and expression that an argument means; the open session unless it names one."""
    from controller.script import split_reference

    if expression is None:
        return _open(client), None
    session, part = split_reference(expression)
    return (session, part) if part is not None else (_open(client), expression)


def _open(client: Any, or_paused: bool = False) -> str:
    from controller.errors import SessionError

    answer = client.get("/api/sessions/open")
    if answer["session"] is not None:
        return str(answer["session"])
    if or_paused and len(answer["paused"]) == 1:
        return str(answer["paused"][0])
    told = "No session is open on this rig. To open one:  mien session start SUBJECT"
    if answer["paused"]:
        told += f"\nPaused: {', '.join(answer['paused'])}. To go on:  mien session resume {answer['paused'][0]}"
    raise SessionError(told)


def _paused(client: Any) -> str:
    from controller.errors import SessionError

    paused = client.get("/api/sessions/open")["paused"]
    if len(paused) != 1:
        told = f"Say which: {', '.join(paused)}" if paused else "No session of this rig is paused"
        raise SessionError(told)
    return str(paused[0])
