"""What the demo ended with: each take beside the truth, the report, the table."""

import json
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from db.captures import get_take
from db.engine import reading
from db.settings import Settings
from db.stage_runs.artefacts import artefacts_of_take
from db.stage_runs.ready_takes import ready_takes
from db.store import Store
from deploy.demo.demo_model import DemoModel
from deploy.demo.synthetic_truth import TruthError, compare_to_truth
from processing.farm.display.subject_report import Report, ReportTake, write_report
from processing.files.ply import read_ply
from processing.files.stage_files import read_vertices
from processing.stages.outputs import CAPTIONS, MESH, PREVIEW, SCAN
from processing.template.template_file import read_template


@dataclass(frozen=True)
class DemoTake:
    """A row of the demo's table."""

    name: str  # its label, 2_smile
    take: str  # its code
    frames: int  # photographs that there are
    cameras: int  # of the rig
    command_skew_ms: float | None  # how far apart the release commands went out
    clock_uncertainty_ms: float | None  # how well the clocks are known
    exposure_skew_ms: float | None  # how far apart the shutters opened
    exposure_source: str  # what told it
    error: TruthError


@dataclass(frozen=True)
class DemoOutcome:
    """What the demo ended with."""

    out: Path
    takes: tuple[DemoTake, ...]
    release: Path  # its folder
    release_files: int
    seconds: dict[str, float]  # step -> wall time
    model: DemoModel | None = None  # where one was asked for

    @property
    def report(self) -> Path:
        return self.out / "report.html"

    @property
    def console(self) -> str:
        """The command that serves the studio's page over what was made."""
        return f"mien studio serve --home {shlex.quote(str(self.out / 'studio'))}"


def compare_takes(engine: Engine, home: Settings, scene: Path, session: str) -> tuple[DemoTake, ...]:
    """The session's accepted takes beside the truth that `scene` holds, in the protocol's order."""
    template = read_template(home.home / "template.npz")
    store = Store(home.store)
    rows = []
    with reading(engine) as tx:
        for ready in sorted((t for t in ready_takes(tx) if t.session == session), key=lambda t: t.position):
            take = get_take(tx, ready.code)
            files = artefacts_of_take(tx, take.id)
            error = compare_to_truth(
                scene / f"{ready.label}.truth.npz",
                read_ply(store.local_path(files[SCAN].sha256)),
                read_vertices(store.local_path(files[MESH].sha256)),
                template,
            )
            rows.append(
                DemoTake(
                    name=ready.label,
                    take=ready.code,
                    frames=ready.frames,
                    cameras=ready.cameras,
                    command_skew_ms=take.command_skew_ms,
                    clock_uncertainty_ms=take.clock_uncertainty_ms,
                    exposure_skew_ms=take.exposure_skew_ms,
                    exposure_source=take.exposure_source.value,
                    error=error,
                )
            )
    return tuple(rows)


def write_demo_report(engine: Engine, store: Store, done: DemoOutcome, facts: Mapping[str, str]) -> None:
    """report.html: the table, and the pictures that the farm's preview stage made of each take."""
    takes = []
    for row in done.takes:
        with reading(engine) as tx:
            files = artefacts_of_take(tx, get_take(tx, row.take).id)
        pictures = [
            (caption, store.local_path(files[name].sha256))
            for name, caption in CAPTIONS.items()
            if name.stage == PREVIEW and name in files
        ]
        takes.append(ReportTake(row.name, figures(row), pictures))
    steps = {title: f"{seconds:.0f} s" for title, seconds in done.seconds.items()}
    release = {"Release": f"{done.release.name}, {done.release_files} files, every hash verified"}
    notes = [
        "Command skew, clock uncertainty and exposure skew are three different numbers: how far apart the release "
        "commands went out, how well the clocks are known, and how far apart the shutters opened.",
        "Scan mm: mean distance from the true skin to the scan; scan share: the part of the skin with the scan within "
        "0.5 mm. TU mm: median distance from a registered vertex to its true place on the subject; skin mm: mean "
        "distance from the true skin to the registered mesh.",
    ]
    title = "A session, from the shutter to the release"
    write_report(done.report, Report(title, takes, {**facts, **release, **steps}, notes))


def number(value: float | None, digits: int = 2) -> str:
    """A figure as a person reads it."""
    return "not measured" if value is None else f"{value:.{digits}f}"


COLUMNS: dict[str, Callable[[DemoTake], str]] = {
    "Command ms": lambda t: number(t.command_skew_ms),
    "Clock ±ms": lambda t: number(t.clock_uncertainty_ms),
    "Exposure ms": lambda t: number(t.exposure_skew_ms),
    "Frames in": lambda t: f"{t.frames}/{t.cameras}",
    "Scan mm": lambda t: number(t.error.scan_mean_mm, 3),
    "Scan share": lambda t: f"{100 * t.error.scan_complete:.1f} %",
    "TU mm": lambda t: number(t.error.tu_median_mm),
    "Skin mm": lambda t: number(t.error.tu_surface_mean_mm, 3),
}


def figures(take: DemoTake) -> dict[str, str]:
    """The columns of the table, as a person reads them."""
    return {name: text(take) for name, text in COLUMNS.items()}


def show(done: DemoOutcome, as_json: bool) -> None:
    """The demo's end on the terminal."""
    if as_json:
        report: dict[str, object] = {
            "takes": [asdict(take) for take in done.takes],
            "release": str(done.release),
            "report": str(done.report),
            "console": done.console,
            "seconds": {title: round(seconds, 1) for title, seconds in done.seconds.items()},
        }
        if done.model is not None:
            report["model"] = {
                "file": str(done.model.model),
                "members": done.model.members,
                "pictures": [str(path) for path in done.model.pictures],
            }
        print(json.dumps(report))
        return
    table = Table(title="Each take, beside the subject's truth", box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("Take", no_wrap=True)
    for name in COLUMNS:
        table.add_column("\n".join(name.rsplit(" ", 1)), justify="right", no_wrap=True)
    for take in done.takes:
        table.add_row(take.name, *figures(take).values())
    console = Console(file=sys.stdout)
    console.print(table)
    console.print(f"Release  {done.release}  ({done.release_files} files, verified)", highlight=False, soft_wrap=True)
    console.print(f"Report   {done.report}", highlight=False, soft_wrap=True)
    console.print(f"Console  {done.console}", highlight=False, soft_wrap=True)
    console.print("         Sessions, Night, 3-D and Release show all of it; no camera is there, and the bar says so.")
    if done.model is not None:
        _show_model(console, done.model)
    console.print(f"Took     {sum(done.seconds.values()):.0f} s", highlight=False)


def _show_model(console: Console, made: DemoModel) -> None:
    file = shlex.quote(str(made.model))
    console.print(f"Model    {made.model}  ({made.members} people)", highlight=False, soft_wrap=True)
    for path in [*made.pictures, *([made.card] if made.card else [])]:
        console.print(f"         {path}", highlight=False, soft_wrap=True)
    console.print(f"         mien model sample {file} --seed 1 --out people", highlight=False, soft_wrap=True)
