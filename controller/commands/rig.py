"""`mien rig`: the cameras of the studio."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from common.terminal.figures import milliseconds
from common.terminal.options import AsJson, Home, print_json, print_table
from controller.commands.aside import aside, back
from controller.commands.camera_maintenance import focus, identify, recover, view, write_off
from controller.commands.rig_setup import check, init, scene
from controller.commands.rig_shots import app as shoot

app = typer.Typer(
    no_args_is_help=True,
    help="The cameras: status, setting one aside, recovery, live view, checks before a session, lag, exposure skew.",
)
app.command()(aside)
app.command()(back)
app.command()(recover)
app.command()(view)
app.command()(identify)
app.command()(focus)
app.command("write-off")(write_off)
app.command()(check)
app.command()(init)
app.command()(scene)
app.add_typer(shoot, name="shoot")


@app.command()
def status(home: Home = None, as_json: AsJson = False) -> None:
    """Whether all is well enough to fire, what is wrong where and what to do; then every camera.

    The first line is the console's bar: READY only when everything holds that a fire needs.
    """
    from controller.client import StudioClient
    from controller.commands.readiness_table import named_in, print_readiness
    from controller.commands.session_tables import print_faults, print_warnings
    from controller.node_links.camera_status import unresolved_text

    answer = StudioClient(home).get("/api/rig")
    if as_json:
        print_json(answer)
        return
    print_readiness(answer)
    named = named_in(answer)
    gone = f", {len(answer['aside'])} aside" if answer["aside"] else ""
    title = f"{answer['rig']}: {answer['ready']} of {answer['expected']} cameras ready{gone}"
    rows = [
        [
            camera["camera"],
            camera["node"] or "-",
            "aside" if camera["aside"] else camera["state"],
            f"{milliseconds(camera['clock_uncertainty_ms'])} {camera['clock_source']}".strip(),
            milliseconds(camera["round_trip_ms"]),
            "-" if camera["battery_percent"] is None else f"{camera['battery_percent']} %",
            camera["spooled"],
        ]
        for camera in answer["cameras"]
    ]
    print_table(title, ["camera", "node", "state", "clock", "round trip", "battery", "waiting"], rows)
    for camera in answer["cameras"]:
        waits = unresolved_text(camera["camera"], camera["unresolved"])
        told = [f"aside: {camera['aside']}"] if camera["aside"] else []
        told += [waits] if waits else []
        told += camera["problems"] if camera["camera"] not in named else []
        if told:
            print(f"  {camera['camera']}  {'; '.join(told)}")
    print_warnings(
        {camera["camera"]: "; ".join(camera["warnings"]) for camera in answer["cameras"] if camera["warnings"]}
    )
    for camera in answer["cameras"]:
        if camera["recovered"]:
            print(f"  warning: {camera['recovered']}")
    print_faults({camera["camera"]: camera["faults"] for camera in answer["cameras"]})


@app.command()
def preflight(
    profile: Annotated[str, typer.Option(help="The settings profile of the session.")] = "default",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Whether a session can begin: exit code 0, or 3 with everything that stands in the way."""
    from controller.client import StudioClient
    from controller.commands.session_tables import print_preflight

    answer = StudioClient(home).post("/api/preflight", profile=profile)
    print_json(answer) if as_json else print_preflight(answer)
    if not answer["ready"]:
        raise typer.Exit(3)


@app.command()
def calibration(
    params: Annotated[Path, typer.Argument(help="The cameras as FaceScape's params.json has them, millimetres.")],
    rig: Annotated[Path | None, typer.Option(help="The rig file; by default the home's.")] = None,
    method: Annotated[str, typer.Option(help="How it was made; kept with it.")] = "imported",
    new_only: Annotated[
        bool, typer.Option("--new-only", help="Leave earlier takes that have no calibration as they are.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Keep a calibration of the rig: for takes from now on, and for earlier ones that have none (recorded)."""
    from dataclasses import asdict

    from controller.commands.session_tables import print_served
    from controller.rig.calibration_file import read_calibration
    from controller.sessions.operator_decisions import Decisions
    from controller.sessions.session_store import SessionStore
    from controller.studio_settings import load_settings
    from db.studio import open_studio

    settings = load_settings(home, rig_file=rig)
    data = read_calibration(params, settings.rig)
    with open_studio(home) as studio:
        version = SessionStore(studio.engine, settings.rig).add_calibration(method, data)
        served = [] if new_only else Decisions(studio.engine, settings.rig).calibrate()
    if as_json:
        print_json({"rig": settings.rig.name, "version": version, "served": [asdict(one) for one in served]})
    else:
        print(f"Calibration {version} of rig {settings.rig.name}: {len(settings.rig.cameras)} cameras.")
        if served:
            print_served([asdict(one) for one in served])


@app.command()
def lag(
    shots: Annotated[
        int | None, typer.Option(min=5, max=200, help="Fire this many shots now and keep what they show; 30 is good.")
    ] = None,
    profile: Annotated[str, typer.Option(help="The settings profile; each has its own lags.")] = "default",
    out: Annotated[Path | None, typer.Option(help="Write the rig file with these lags here.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Shutter lag of each camera, and whether the rig can hold its limit with the jitter that is left.

    With --shots the rig fires that often; photographs of these shots are not kept. The lags are kept by camera and
    settings profile and used at every fire from then on. A camera without a lag of a profile goes by that of the
    default profile, then by the rig file's lag_ms, then by its node's own.
    """
    from controller.client import StudioClient
    from controller.errors import RigNotReady
    from controller.shutter_lag.lag_measurement import patience_s

    client = StudioClient(home)
    if shots is not None:
        answer: dict[str, Any] = client.post("/api/lag", patience_s(shots), shots=shots, profile=profile)
    else:
        answer = client.get(f"/api/lag?profile={quote(profile)}")
    if not answer["lags"]:
        raise RigNotReady(
            f"No lags are known for profile {profile} ({answer['settings']}). Measure them:  mien rig lag --shots 30"
        )
    if out is not None:
        out.write_text(answer.pop("rig_file"), encoding="utf-8")
    if as_json:
        print_json({key: value for key, value in answer.items() if key != "rig_file"})
        return
    print_table(*_lag_table(answer))
    if answer["unmeasured"]:
        print(f"Not measured, no true exposure moment: {', '.join(answer['unmeasured'])}.")
    borrowed = [entry["camera"] for entry in answer["lags"] if entry["profile"] != profile]
    if borrowed:
        print(
            f"Nothing was measured under {profile} for {', '.join(borrowed)}: the lags of the profile default are used."
            f" To measure:  mien rig lag --shots 30 --profile {profile}"
        )
    if not answer["kept"]:
        print("These lags come from takes and are not kept. To measure and keep them:  mien rig lag --shots 30")
    if answer.get("observed_ms") is not None:
        print(f"Seen in these shots, each camera's mean taken off: {answer['observed_ms']:.2f} ms on average.")
    if answer["verdict"]:
        print(answer["verdict"])


def _lag_table(answer: dict[str, Any]) -> tuple[str, list[str], list[list[Any]]]:
    source = (
        f"measured {answer['measured_at'][:16]}Z" if answer["kept"] else "seen in takes since the studio was started"
    )
    rows = [
        [
            entry["camera"],
            entry["tier"],
            entry["profile"],
            entry["shots"],
            milliseconds(entry["mean_ms"]),
            milliseconds(entry["sigma_ms"]),
            "-" if entry["drift_ms"] is None else f"{entry['drift_ms']:+.2f} ms",
        ]
        for entry in answer["lags"]
    ]
    title = f"Shutter lag, profile {answer['profile']} ({answer['settings']}), {source}"
    return title, ["camera", "tier", "profile", "shots", "lag", "sigma", "takes since"], rows


@app.command("optical-skew")
def optical_skew(
    photographs: Annotated[str, typer.Argument(help="A folder (7.jpg or cam-07.jpg), or a take, as in S012-1-E01-2.")],
    board: Annotated[Path | None, typer.Option(help="TOML with bits and tick_us, for a board unlike ours.")] = None,
    rig: Annotated[Path | None, typer.Option(help="The rig file; by default the home's.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="In place of a hot-shoe figure that the take has.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """When each camera exposed, read from the LED board in its photograph; latest minus earliest over the rig.

    The figure is kept with a take when every camera of the rig has read the board. docs/led-board.md says how to build
    the board; `mien rig led-board` prints its face.
    """
    from controller.optical_skew.board_photographs import keep_with_take, rig_of_home, views_of_folder, views_of_take
    from controller.optical_skew.led_board import read_board
    from controller.optical_skew.skew_measurement import measure_skew
    from controller.optical_skew.skew_report import report_data, report_lines, report_table
    from controller.sessions.session_store import SessionStore
    from controller.studio_settings import load_settings
    from db.studio import open_studio

    lamps = read_board(board)
    folder = Path(photographs)
    if folder.is_dir():
        known = rig_of_home(home, rig)
        found = measure_skew(lamps, *views_of_folder(folder, known))
        limit_ms, kept = (known.sync.max_skew_ms if known is not None else 5.0), ""
    else:
        settings = load_settings(home, rig_file=rig)
        limit_ms = settings.rig.sync.max_skew_ms
        with open_studio(home) as studio:
            records = SessionStore(studio.engine, settings.rig)
            take = records.take(photographs)
            hashes, absent = records.photographs(take.code), [absence.camera for absence in take.absent]
            found = measure_skew(lamps, *views_of_take(hashes, studio.store, settings.rig, absent))
            kept = keep_with_take(studio.engine, photographs, found, limit_ms, lamps, replace)
    if as_json:
        print_json(report_data(found, limit_ms) | {"kept": kept})
    else:
        print_table(*report_table(found))
        for line in (*report_lines(found, limit_ms), *([kept] if kept else [])):
            print(line)
    if found.skew_ms is None:
        raise typer.Exit(4)


@app.command("led-board")
def led_board(
    out: Annotated[Path, typer.Option(help="The SVG file, in millimetres: print it at 100 %.")] = Path("led-board.svg"),
    face: Annotated[int, typer.Option(min=0, max=11, help="Boards that run together have faces 0, 1, 2 ...")] = 0,
    bits: Annotated[int, typer.Option(min=8, max=16, help="Bits of the counter.")] = 16,
) -> None:
    """Print the face of the LED board: markers, and where the lamps go. See docs/led-board.md."""
    from controller.optical_skew.board_drawing import face_svg
    from controller.optical_skew.led_board import LedBoard

    out.write_text(face_svg(LedBoard(bits=bits), face), encoding="utf-8")
    print(f"{out}: face {face}, {4 * bits} lamps. Print it at 100 %; markers measure 36 mm.")
