"""`mien rig`: the cameras of the studio."""

from pathlib import Path
from typing import Annotated, Any

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
    out: Annotated[Path | None, typer.Option(help="Write the rig file with these lags here.")] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Shutter lag of each camera, from the takes fired since the studio was started."""
    from controller.client import StudioClient
    from controller.errors import RigNotReady

    answer: dict[str, Any] = StudioClient(home).get("/api/lag")
    if not answer["lags"]:
        raise RigNotReady(
            "No camera has reported a true exposure moment yet: connect the hot shoes and fire some takes"
        )
    if out is not None:
        out.write_text(answer["rig_file"], encoding="utf-8")
    if as_json:
        print_json({key: answer[key] for key in ("lags", "expected_skew_ms", "max_skew_ms")})
        return
    rows = [
        [entry["camera"], entry["shots"], _ms(entry["mean_ms"]), _ms(entry["sigma_ms"])] for entry in answer["lags"]
    ]
    print_table("Shutter lag", ["camera", "shots", "lag", "sigma"], rows)
    expected = answer["expected_skew_ms"]
    if expected is not None:
        told = "can" if expected < answer["max_skew_ms"] else "cannot"
        print(f"Expected spread over the rig {expected:.2f} ms: it {told} hold {answer['max_skew_ms']:g} ms.")


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} ms"
