"""`mien session`: a subject in the chair."""

from typing import Annotated, Any

import typer

from db.commands.options import AsJson, Home, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="A subject in the chair: fire, accept, take again, close.")

Expression = Annotated[
    str | None, typer.Argument(help="smile, 2, or S012-1-E02 with the session; the next open one by default.")
]


@app.command()
def start(
    subject: Annotated[str, typer.Argument(help="The subject's code, as in S012.")],
    protocol: Annotated[str | None, typer.Option(help="Which expressions; facescape20 by default.")] = None,
    version: Annotated[int | None, typer.Option(help="The protocol's version; the newest by default.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Open a session."""
    from controller.client import StudioClient

    answer = StudioClient(home).post("/api/sessions", subject=subject, protocol=protocol, version=version)
    print_json(answer) if as_json else print(f"{answer['session']}  next: {answer['next']}")


@app.command()
def fire(expression: Expression = None, home: Home = None, as_json: AsJson = False) -> None:
    """Fire one take and wait until it is whole, or known not to be."""
    _shoot("fire", expression, home, as_json)


@app.command()
def retake(
    expression: Annotated[str, typer.Argument(help="smile, 2, or S012-1-E02 with the session.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Fire an expression again; the old take is kept, superseded by a new one that is whole."""
    _shoot("retake", expression, home, as_json)


@app.command()
def accept(expression: Expression = None, home: Home = None, as_json: AsJson = False) -> None:
    """Accept the latest whole take of an expression; by default the one that waits."""
    from controller.client import StudioClient

    client = StudioClient(home)
    session, wanted = _where(client, expression)
    answer = client.post(f"/api/sessions/{session}/accept", expression=wanted)
    following = f"next: {answer['next']}" if answer["next"] else f"all accepted:  mien session close {session}"
    print_json(answer) if as_json else print(f"{answer['take']} {answer['state']}  {following}")


@app.command()
def close(
    session: Annotated[str | None, typer.Argument(help="The session's code; the open one by default.")] = None,
    incomplete: Annotated[bool, typer.Option(help="Although expressions are not accepted.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Close a session: the farm takes over."""
    from controller.client import StudioClient

    client = StudioClient(home)
    answer = client.post(f"/api/sessions/{session or _open(client)}/close", incomplete=incomplete)
    told = f"{answer['session']} closed: {len(answer['takes'])} takes, {answer['photographs']} photographs for the farm"
    print_json(answer) if as_json else print(told)


@app.command()
def show(
    session: Annotated[str | None, typer.Argument(help="The session's code; the open one by default.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show a session: expressions, takes, what comes next."""
    from controller.client import StudioClient

    client = StudioClient(home)
    answer = client.get(f"/api/sessions/{session or _open(client)}")
    if as_json:
        print_json(answer)
        return
    title = f"{answer['session']}  subject {answer['subject']}  {answer['state']}  next: {answer['next'] or '-'}"
    rows = []
    for line in answer["expressions"]:
        for take in line["takes"] or [{}]:
            numbers = [_ms(take.get(key)) for key in ("command_skew_ms", "clock_uncertainty_ms", "exposure_skew_ms")]
            state = take.get("state", "-")
            rows.append(
                [line["position"], line["name"], take.get("code", "-"), state, take.get("frames", "-"), *numbers]
            )
    heads = ["", "expression", "take", "state", "frames", "command skew", "clock", "exposure skew"]
    print_table(title, heads, rows)


def _shoot(verb: str, expression: str | None, home: Any, as_json: bool) -> None:
    from controller.client import StudioClient

    client = StudioClient(home)
    session, wanted = _where(client, expression)
    answer = client.post(f"/api/sessions/{session}/{verb}", expression=wanted)
    if as_json:
        print_json(answer)
    else:
        skew = answer["skew"]
        print(answer["message"])
        print(f"  command skew      {_ms(skew['command_skew_ms'])}")
        print(f"  clock uncertainty {_ms(skew['clock_uncertainty_ms'])}")
        print(f"  exposure skew     {_ms(skew['exposure_skew_ms'])} ({skew['exposure_source'].replace('_', ' ')})")
        for camera, advice in answer["advice"].items():
            print(f"  look at {camera}: {advice}")
        if answer["kept"]:
            print(f"Keep it:  mien session accept {session}-E{answer['position']:02d}")
    if not answer["kept"]:
        raise typer.Exit(3)


def _where(client: Any, expression: str | None) -> tuple[str, str | None]:
    """The session and expression that an argument means; the open session unless it names one."""
    from controller.script import split_reference

    if expression is None:
        return _open(client), None
    session, part = split_reference(expression)
    return (session, part) if part is not None else (_open(client), expression)


def _open(client: Any) -> str:
    from controller.errors import SessionError

    code = client.get("/api/sessions/open")["session"]
    if code is None:
        raise SessionError("No session is open on this rig. To open one:  mien session start SUBJECT")
    return str(code)


def _ms(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f} ms"
