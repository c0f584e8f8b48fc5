"""`mien session`: a subject in the chair."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from common.terminal.figures import milliseconds
from common.terminal.options import AsJson, Home, print_json, print_table
from controller.commands.take_checks import checks

if TYPE_CHECKING:
    from controller.client import StudioClient

_SKEWS = ("command_skew_ms", "clock_uncertainty_ms", "exposure_skew_ms")
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
    without: Annotated[
        list[str] | None,
        typer.Option(help="Begin although this lacks (calibration, cameras, lags, aside, filing); recorded."),
    ] = None,
    consent_later: Annotated[
        bool, typer.Option("--consent-later", help="Begin before the consent is recorded; recorded who and when.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Open a session; refuses, saying what lacks, unless it was said to do without."""
    from controller.client import StudioClient

    lacks = [name for given in without or [] for name in given.replace(",", " ").split()]
    asked = {"subject": subject, "protocol": protocol, "version": version, "profile": profile}
    answer = StudioClient(home).post("/api/sessions", **asked, without=lacks, consent_later=consent_later)
    if as_json:
        print_json(answer)
        return
    print(f"{answer['session']}  next: {answer['next']}")
    for name, text in answer["without"].items():
        print(f"  begun without {name}: {text}")
    if answer["consent"]["told"]:
        print(f"  {answer['consent']['told']}")


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
    """Fire an expression again; what was accepted stays accepted until another take of it is."""
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
    """Accept a take: S012-1-E02-1 exactly, an expression's shown one, or by default the one that waits."""
    from controller.client import StudioClient
    from controller.commands.aside import camera_names

    client = StudioClient(home)
    session, wanted = _where(client, expression, whole=True)
    asked = {"expression": wanted, "without": camera_names(without or []), "reason": reason}
    answer = client.post(f"/api/sessions/{session}/accept", **asked)
    print_json(answer) if as_json else print(_decided(answer, session))


Take = Annotated[str, typer.Argument(help="The take's code, as in S012-1-E02-1.")]


@app.command()
def choose(take: Take, home: Home = None, as_json: AsJson = False) -> None:
    """This whole take stands for its expression, whatever was accepted before; the others are kept beside it."""
    from controller.client import StudioClient

    client = StudioClient(home)
    session, wanted = _where(client, take, whole=True)
    answer = client.post(f"/api/sessions/{session}/choose", take=wanted)
    print_json(answer) if as_json else print(_decided(answer, session))


@app.command()
def undo(
    what: Annotated[
        str | None,
        typer.Argument(help="A take's code: the last decision about it; or a session. Default: the open one."),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Take back the last decision: accept, choose, fire, drop, skip, reassign; the close until the farm has begun."""
    from controller.client import StudioClient
    from controller.sessions.session_state import split_reference

    client = StudioClient(home)
    part = split_reference(what)[1] if what is not None else None
    if what is not None and part is None:
        session, take = what, None
    else:
        session, take = _where(client, what, whole=True)
    answer = client.post(f"/api/sessions/{session}/undo", take=take)
    told = f"Taken back: {answer['undone']['text']}.  {_following(answer, session)}"
    print_json(answer) if as_json else print(told)


@app.command()
def reassign(
    take: Take,
    expression: Annotated[str, typer.Argument(help="The expression that it shows: smile, 2.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Give a whole take to another expression; its old code stays on record and still finds it."""
    from controller.client import StudioClient

    client = StudioClient(home)
    session, wanted = _where(client, take, whole=True)
    answer = client.post(f"/api/sessions/{session}/reassign", take=wanted, expression=expression)
    given = answer["reassigned"]
    told = f"{given['was']} is {given['take']} now, {given['expression']}, {given['state']}"
    print_json(answer) if as_json else print(f"{told}  {_following(answer, session)}")


@app.command()
def calibrate(
    session: Session = None,
    version: Annotated[int | None, typer.Option(help="Which calibration; the nearest in time by default.")] = None,
    take: Annotated[str | None, typer.Option(help="This take alone, whatever it has.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Give a calibration that was made afterwards to the takes of a session that have none."""
    from controller.client import StudioClient
    from controller.commands.session_tables import print_served
    from controller.sessions.session_state import split_reference

    client = StudioClient(home)
    code = session or (split_reference(take)[0] if take else _open(client, or_paused=True))
    answer = client.post(f"/api/sessions/{code}/calibrate", take=take, version=version)
    print_json(answer) if as_json else print_served(answer["served"])


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
    print_json(answer) if as_json else print(f"{expression} {done}  {_following(answer, session)}")


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
    told = f"{answer['session']} open  {_following(answer, answer['session'])}"
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
    keep: Annotated[list[str] | None, typer.Option(help="This whole take stands for its expression.")] = None,
    drop: Annotated[
        list[str] | None, typer.Option(help="Nobody wants this whole take; it is marked, and stays.")
    ] = None,
    keep_all: Annotated[
        bool, typer.Option("--keep-all", help="The last whole take of each expression that has none accepted stands.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Close a session: the farm takes over. Whole takes that nobody accepted are asked about."""
    from controller.client import StudioClient
    from controller.commands.session_tables import print_without

    client = StudioClient(home)
    code = session or _open(client)
    kept, dropped = list(keep or []), list(drop or [])
    if not as_json and not keep_all:
        _ask_each(client, code, kept, dropped)
    asked = {"incomplete": incomplete, "keep": kept, "drop": dropped, "keep_all": keep_all}
    answer = client.post(f"/api/sessions/{code}/close", **asked)
    if as_json:
        print_json(answer)
        return
    print("\n".join(answer["told"]))
    print_without(answer["without"])


@app.command()
def reopen(
    session: Annotated[str, typer.Argument(help="The session's code.")], home: Home = None, as_json: AsJson = False
) -> None:
    """Open a closed session again, until the farm has begun with it."""
    from controller.client import StudioClient

    answer = StudioClient(home).post(f"/api/sessions/{session}/reopen")
    if as_json:
        print_json(answer)
        return
    paused = answer["state"] == "paused"
    following = f"To go on:  mien session resume {session}" if paused else _following(answer, session)
    print(f"{session} {answer['state']}  {following}")


@app.command()
def show(session: Session = None, home: Home = None, as_json: AsJson = False) -> None:
    """Show a session: expressions, every take with its three numbers, what comes next."""
    from controller.client import StudioClient
    from controller.commands.session_tables import print_session

    client = StudioClient(home)
    answer = client.get(f"/api/sessions/{session or _open(client, or_paused=True)}")
    print_json(answer) if as_json else print_session(answer)


app.command()(checks)


def _shoot(
    verb: str, expression: str | None, profile: str | None, no_wait: bool, home: Path | None, as_json: bool
) -> None:
    from controller.client import StudioClient
    from controller.commands.session_tables import print_warnings
    from controller.commands.take_checks import print_after_fire

    client = StudioClient(home)
    session, wanted = _where(client, expression)
    asked: dict[str, Any] = {"expression": wanted, "profile": profile, "wait": not no_wait}
    if wanted is None:
        asked["shown"] = client.get(f"/api/sessions/{session}")["next"]
    answer = client.post(f"/api/sessions/{session}/{verb}", **asked)
    if as_json:
        print_json(answer)
    else:
        skew = answer["skew"]
        print(answer["message"])
        figures = {key: milliseconds(skew[key], "not measured") for key in _SKEWS}
        print(f"  command skew      {figures['command_skew_ms']}")
        print(f"  clock uncertainty {figures['clock_uncertainty_ms']}")
        print(f"  exposure skew     {figures['exposure_skew_ms']} ({skew['exposure_source'].replace('_', ' ')})")
        print_warnings(answer["warnings"])
        for camera, advice in answer["advice"].items():
            print(f"  look at {camera}: {advice}")
        if answer["kept"]:
            print_after_fire(client, answer["take"])
            keep = "Keep it all the same" if answer["flags"] else "Keep it"
            print(f"{keep}:  mien session accept {answer['take']}")
    if not answer["kept"] and not answer["coming_in"]:
        raise typer.Exit(3)


def _decided(answer: Any, session: str) -> str:
    flags = f" although {answer['flags']}" if answer["flags"] else ""
    beside = f" (beside it, and kept: {', '.join(answer['beside'])})" if answer["beside"] else ""
    return f"{answer['take']} {answer['state']}{flags}{beside}  {_following(answer, session)}"


def _following(answer: Any, session: str) -> str:
    if answer["next"]:
        return f"next: {answer['next']}"
    if answer["undecided"]:
        return f"to decide: {', '.join(answer['undecided'])}"
    return f"nothing is left:  mien session close {session}"


def _ask_each(client: "StudioClient", session: str, keep: list[str], drop: list[str]) -> None:
    """Ask, at a terminal, what becomes of each whole take that nobody has accepted."""
    import sys

    if not sys.stdin.isatty():
        return
    answer = client.get(f"/api/sessions/{session}")
    if answer["consent"]["standing"] == "withdrawn":
        return
    for line in answer["expressions"]:
        left = [t for t in line["takes"] if t["code"] in answer["undecided"] and t["code"] not in (*keep, *drop)]
        for take in reversed(left):
            flagged = f", flagged: {take['problem']}" if take["flagged"] else ""
            question = f"{take['code']}  {line['name']}, {take['frames']} photographs{flagged}. Keep it?"
            (keep if typer.confirm(question) else drop).append(take["code"])


def _where(client: "StudioClient", expression: str | None, whole: bool = False) -> tuple[str, str | None]:
    """The session and expression that an argument means; the open session unless it names one.

    whole: as it was written, so that a take's code means that take.
    """
    from controller.sessions.session_state import split_reference

    if expression is None:
        return _open(client), None
    session, part = split_reference(expression)
    if part is None:
        return _open(client), expression
    return session, expression if whole else part


def _open(client: "StudioClient", or_paused: bool = False) -> str:
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


def _paused(client: "StudioClient") -> str:
    from controller.errors import SessionError

    paused = client.get("/api/sessions/open")["paused"]
    if len(paused) != 1:
        told = f"Say which: {', '.join(paused)}" if paused else "No session of this rig is paused"
        raise SessionError(told)
    return str(paused[0])
