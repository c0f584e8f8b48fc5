"""`mien rig`: the cameras of the studio."""

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from db.commands.options import AsJson, Home, print_json, print_table

app = typer.Typer(no_args_is_help=True, help="The cameras: status, checks before a session, shutter lag.")


@app.command()
def status(home: Home = None, as_json: AsJson = False) -> None:
    """Every camera with its state, clock and what stands in its way."""
    from controller.client import StudioClient

    answer = StudioClient(home).get("/api/rig")
    if as_json:
        print_json(answer)
        return
    title = f"{answer['rig']}: {answer['ready']} of {answer['expected']} cameras ready"
    rows = [
        [
            camera["camera"],
            camera["node"] or "-",
            camera["state"],
            _ms(camera["clock_uncertainty_ms"]),
            _ms(camera["round_trip_ms"]),
            "-" if camera["battery_percent"] is None else f"{camera['battery_percent']} %",
            camera["spooled"],
            "; ".join(camera["problems"]),
        ]
        for camera in answer["cameras"]
    ]
    print_table(title, ["camera", "node", "state", "clock", "round trip", "battery", "waiting", "problem"], rows)


@app.command()
def preflight(home: Home = None, as_json: AsJson = False) -> None:
    """Whether a session can begin: exit code 0, or 3 with every camera that stands in the way."""
    from controller.client import StudioClient

    answer = StudioClient(home).get("/api/rig")
    bad = [camera for camera in answer["cameras"] if not camera["ready"]]
    trouble = answer["ingest_trouble"]
    if as_json:
        print_json({"ready": not bad and not trouble, "ingest_trouble": trouble, "problems": bad})
    else:
        print(f"{answer['ready']} of {answer['expected']} cameras are ready.")
        for camera in bad:
            print(f"  {camera['camera']}  {'; '.join(camera['problems'])}")
        if trouble:
            print(f"  photographs cannot be filed: {trouble}")
    if bad or trouble:
        raise typer.Exit(3)


@app.command()
def calibration(
    params: Annotated[Path, typer.Argument(help="The cameras as FaceScape's params.json has them, millimetres.")],
    rig: Annotated[Path | None, typer.Option(help="The rig file; by default the home's.")] = None,
    method: Annotated[str, typer.Option(help="How it was made; kept with it.")] = "imported",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Keep a calibration of the rig; sessions started from now on refer to it."""
    from controller.calibration_file import read_calibration
    from controller.records import Records
    from controller.settings import load_settings
    from db.studio import open_studio

    settings = load_settings(home, rig_file=rig)
    data = read_calibration(params, settings.rig)
    with open_studio(home) as studio:
        version = Records(studio.engine, settings.rig).add_calibration(method, data)
    if as_json:
        print_json({"rig": settings.rig.name, "version": version})
    else:
        print(f"Calibration {version} of rig {settings.rig.name}: {len(settings.rig.cameras)} cameras.")


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
    settings profile and used at every fire from then on.
    """
    from controller.client import StudioClient
    from controller.errors import RigNotReady

    client = StudioClient(home)
    if shots is not None:
        answer: dict[str, Any] = client.post("/api/lag", shots=shots, profile=profile)
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
            entry["shots"],
            _ms(entry["mean_ms"]),
            _ms(entry["sigma_ms"]),
            "-" if entry["drift_ms"] is None else f"{entry['drift_ms']:+.2f} ms",
        ]
        for entry in answer["lags"]
    ]
    title = f"Shutter lag, profile {answer['profile']} ({answer['settings']}), {source}"
    return title, ["camera", "tier", "shots", "lag", "sigma", "takes since"], rows


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} ms"
