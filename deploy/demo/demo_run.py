"""The demo: a synthetic subject goes through the whole studio. Each step finds what an earlier run has done."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from sqlalchemy import Engine

from common.files.atomic_write import atomic_write
from common.take_codes import TakeLabel
from controller.errors import ControllerError
from controller.studio import Studio
from controller.takes.take_result import TakeResult
from db import migrations
from db.engine import open_database, reading, transaction
from db.models import ConsentScope, Gender, ReleaseState
from db.protocols import FACESCAPE, install_protocol
from db.release_records.releases import list_releases
from db.settings import Settings
from db.stage_runs.ready_takes import ready_takes
from db.store import Store
from db.studio import open_studio
from db.subjects import add_subject, give_consent, list_subjects
from deploy.demo.demo_model import DemoModel, build_demo_model
from deploy.demo.demo_results import DemoOutcome, compare_takes, number, write_demo_report
from deploy.demo.local_studio import LocalStudio, SimulatedBody, perform_expression
from processing.errors import DataError
from processing.farm.daemon import FarmDaemon
from processing.farm.display.farm_progress import FarmProgressDisplay
from processing.farm.settings import FarmSettings
from processing.farm.template_files import studio_template
from processing.files.camera_models import params_from_cameras
from processing.release.holder.verify import verify
from processing.release.studio.export.build import SYNTHETIC, build_release
from processing.synthetic.studio_rig import studio_rig
from processing.synthetic.subject import synthetic_subject
from processing.synthetic.takes import write_take

RELEASE = "demo"
ATTEMPTS = 3
READY_S = 90.0
FINE_VERTICES = 400_000
FARM_PARAMS: dict[str, dict[str, Any]] = {
    "reconstruct": {"scale": 0.9, "spacing_px": 1.6, "subdivide": False},
    "texture": {"size_px": 1024},
    "bake": {"size_px": 1024},
}


@dataclass(frozen=True)
class DemoSettings:
    """What is shown."""

    out: Path
    expressions: tuple[tuple[int, str], ...]  # (k, name) of the protocol, the neutral among them
    cameras: int
    seed: int  # of the synthetic subject
    height_px: int  # of a photograph
    model: bool = False  # whether rigs and a small face model are made as well

    @classmethod
    def parse(cls, out: Path, expressions: str, cameras: int, seed: int, height_px: int, model: bool = False) -> Self:
        """Raises DataError for an expression that the protocol does not have, or without the neutral."""
        known = {name: k for k, (name, _) in enumerate(FACESCAPE.expressions, 1)}
        names = list(known) if expressions == "all" else [n.strip() for n in expressions.split(",") if n.strip()]
        unknown = [n for n in names if n not in known]
        if unknown:
            raise DataError(f"the protocol has no expression {', '.join(unknown)}; it has {', '.join(known)}")
        if "neutral" not in names:
            raise DataError("the demo needs the neutral face: every expression is registered from it")
        chosen = sorted({(known[n], n) for n in names})
        return cls(Path(out).absolute(), tuple(chosen), cameras, seed, height_px, model)

    @property
    def width_px(self) -> int:
        return round(self.height_px * 2 / 3)


class Demo:
    """Run it with `run`; run it again to go on after an interruption."""

    def __init__(self, settings: DemoSettings) -> None:
        self.settings = settings
        self.out = settings.out
        self.scene = self.out / "scene"
        self.home = Settings.load(self.out / "studio")
        self.console = Console(stderr=True)
        self.seconds: dict[str, float] = {}
        self._check_same()

    def run(self) -> DemoOutcome:
        """Subject, photographs, session, farm, release, verification, report. Raises what a step raises."""
        with self._step("A synthetic subject is photographed"):
            self._photograph()
        self.home.make_home()
        engine = open_database(self.home.database)
        try:
            with self._step("The studio runs a session"):
                session = self._session(engine)
            with self._step("The farm turns photographs into meshes"):
                self._farm(engine)
            with self._step("A release is built and verified"):
                release, files = self._release(engine, session)
            with self._step("Results are compared with the truth"):
                takes = compare_takes(engine, self.home, self.scene, session)
                done = DemoOutcome(self.out, takes, release, files, self.seconds)
                write_demo_report(engine, Store(self.home.store), done, self._facts())
        finally:
            engine.dispose()
        if self.settings.model:
            with self._step("Rigs and a face model are made"):
                done = replace(done, model=self._model(release))
        return done

    def _model(self, release: Path) -> DemoModel:
        with self._bar() as bar:
            line = bar.add_task("face model", total=1.0)
            return build_demo_model(
                release,
                self.out / "model",
                self.settings.seed,
                progress=lambda done, message: bar.update(line, completed=done, description=message),
            )

    def _facts(self) -> dict[str, str]:
        settings = self.settings
        return {
            "Cameras": f"{settings.cameras} simulated, {settings.width_px} x {settings.height_px} px",
            "Subject": f"synthetic, seed {settings.seed}",
        }

    @contextmanager
    def _step(self, title: str) -> Iterator[None]:
        self.console.print(f"[bold]{title}[/bold]")
        begun = time.monotonic()
        yield
        self.seconds[title] = time.monotonic() - begun

    def _check_same(self) -> None:
        """An output folder belongs to one subject and rig. Raises DataError."""
        s = self.settings
        mine = {"seed": s.seed, "cameras": s.cameras, "height_px": s.height_px}
        record = self.out / "demo.json"
        if record.exists():
            before = json.loads(record.read_text())["settings"]
            if before != mine:
                raise DataError(f"{self.out} holds a demo with other settings ({before}); name another --out")
        elif self.out.exists() and any(self.out.iterdir()):
            raise DataError(f"{self.out} is not empty and holds no demo; name another --out")
        self.out.mkdir(parents=True, exist_ok=True)
        with atomic_write(record) as temporary:
            temporary.write_text(json.dumps({"settings": mine}))

    # --- before the cameras ---

    def _photograph(self) -> None:
        """What each camera will see, and the truth behind it."""
        settings = self.settings
        missing = [
            (k, name)
            for k, name in settings.expressions
            if not (self.scene / str(TakeLabel(k, name)) / "params.json").exists()
            or not (self.scene / f"{TakeLabel(k, name)}.truth.npz").exists()
        ]
        if not missing:
            return
        cameras = studio_rig(settings.cameras, settings.width_px, settings.height_px)
        subject = synthetic_subject(settings.seed, vertices=FINE_VERTICES)
        with self._bar() as bar:
            for k, name in missing:
                line = bar.add_task(f"{name}: making the face", total=1.0)
                posed = subject.pose(name)

                def tell(done: float, message: str, line: Any = line) -> None:
                    bar.update(line, completed=done, description=message)

                write_take(
                    self.scene / str(TakeLabel(k, name)), posed, cameras, serials=_serials(cameras), progress=tell
                )

    def _bar(self) -> Progress:
        columns = (TextColumn("  {task.description}", markup=False), BarColumn(), TaskProgressColumn())
        return Progress(*columns, TimeElapsedColumn(), console=self.console)

    def _bodies(self) -> list[SimulatedBody]:
        """Shutter lags of 45 to 65 ms by body, 0.3 ms from shot to shot."""
        rng = np.random.default_rng(self.settings.seed)
        cameras = studio_rig(self.settings.cameras, self.settings.width_px, self.settings.height_px)
        frontal = [c.viewing_direction[2] < -0.5 for c in cameras]
        return [
            SimulatedBody(camera.name, view, serial, ahead, round(float(rng.uniform(45, 65)), 2), 0.3)
            for view, (camera, serial, ahead) in enumerate(zip(cameras, _serials(cameras), frontal, strict=True))
        ]

    # --- the session ---

    def _session(self, engine: Engine) -> str:
        """The session's code. One that an earlier run closed is not held again; an open one goes on."""
        subject = self._subject(engine)
        finished = self._finished_session(engine, subject)
        if finished is not None:
            self.console.print(f"  session {finished} is complete already")
            return finished
        first = self.scene / "{}_{}".format(*self.settings.expressions[0])
        perform_expression(self.scene / "now", first)
        with LocalStudio(self.home.home, self.out / "nodes", self.scene / "now", self._bodies()) as local:
            studio = local.studio
            self.console.print(f"  {self.settings.cameras} camera processes started; waiting for their clocks")
            studio.wait_for_cameras(READY_S)
            session = studio.open_session() or self._start(studio, subject)
            for k, name in self.settings.expressions:
                script = studio.state_of(session)
                if script.accepted(script.find(name).position) is not None:
                    continue
                perform_expression(self.scene / "now", self.scene / str(TakeLabel(k, name)))
                result = self._shoot(studio, session, name)
                studio.accept(session, name)
                self.console.print(f"  {name:<16} {_sync(result)}", highlight=False)
            studio.close(session, incomplete=True)
        return session

    def _start(self, studio: Studio, subject: str) -> str:
        cameras = studio_rig(self.settings.cameras, self.settings.width_px, self.settings.height_px)
        studio.add_calibration("simulated rig", params_from_cameras(cameras, _serials(cameras)))
        return studio.start_session(subject)

    def _shoot(self, studio: Studio, session: str, name: str) -> TakeResult:
        """Fire until the take is whole and in sync, as an operator would. Raises ControllerError when it never is."""
        for attempt in range(1, ATTEMPTS + 1):
            script = studio.state_of(session)
            whole = script.kept(script.find(name).position) is not None
            result = studio.retake(session, name) if whole else studio.fire(session, name)
            if result.kept and (not result.flags or attempt == ATTEMPTS):
                return result
            self.console.print(f"  {result.message}", style="yellow", markup=False, highlight=False)
        raise ControllerError(f"{name} was not captured in {ATTEMPTS} attempts; see above")

    def _subject(self, engine: Engine) -> str:
        """The code of the demo's subject, who consents to everything."""
        if migrations.current(engine) is None:
            migrations.upgrade(engine)
            with transaction(engine) as tx:
                install_protocol(tx, FACESCAPE)
        with reading(engine) as tx:
            known = [s.code for s in list_subjects(tx)]
        if known:
            return known[0]
        person = synthetic_subject(self.settings.seed, vertices=FINE_VERTICES)
        with transaction(engine) as tx:
            subject = add_subject(tx, age=person.age, gender=Gender(person.gender), job="synthetic")
            for scope in (ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION, ConsentScope.STATISTICAL_MODEL):
                give_consent(tx, subject, scope, datetime.now(UTC).date(), form_version=SYNTHETIC)
            return subject.code

    def _finished_session(self, engine: Engine, subject: str) -> str | None:
        with reading(engine) as tx:
            done: dict[str, set[str]] = {}
            for take in ready_takes(tx, subject=subject):
                done.setdefault(take.session, set()).add(take.expression)
        wanted = {name for _, name in self.settings.expressions}
        return next((code for code, names in done.items() if wanted <= names), None)

    # --- after the session ---

    def _farm(self, engine: Engine) -> None:
        settings = FarmSettings.load(self.home)
        given = {stage: {**values, **settings.params.get(stage, {})} for stage, values in FARM_PARAMS.items()}
        settings = replace(settings, params={**settings.params, **given})  # what studio.toml says goes first
        with FarmProgressDisplay(self.console) as screen:
            template = studio_template(self.home.home, settings.template, screen.warned)
            summary = FarmDaemon(engine, self.home.store, settings, template, screen).run(until_idle=True)
        if summary.jobs.troubled or summary.problems:
            problems = "; ".join(summary.problems.values()) or f"see: mien farm status --home {self.home.home}"
            raise DataError(f"the farm could not finish: {problems}")

    def _release(self, engine: Engine, session: str) -> tuple[Path, int]:
        """The release's folder and its number of files. Raises DataError when what was built does not verify."""
        folder, digest = self._released(engine, session) or self._build_release()
        verification = verify(folder, recorded_sha256=digest)
        if not verification.intact or verification.manifest is None:
            found = "; ".join(f"{p.path} {p.why}" for p in verification.problems[:5])
            raise DataError(f"the release {folder} does not verify: {found}")
        files = len(verification.manifest.files)
        self.console.print(f"  {folder.name}: {files} files, every hash verified", highlight=False)
        return folder, files

    def _released(self, engine: Engine, session: str) -> tuple[Path, str] | None:
        """The newest release, when it holds this session's takes."""
        with reading(engine) as tx:
            wanted = {take.take_id for take in ready_takes(tx) if take.session == session}
            complete = [r for r in list_releases(tx) if r.state is ReleaseState.COMPLETE and r.name == RELEASE]
            for release in reversed(complete):
                folder = self.out / "releases" / f"{RELEASE}-{release.version}"
                if folder.is_dir() and release.manifest_sha256 and {item.take_id for item in release.items} == wanted:
                    return folder, release.manifest_sha256
        return None

    def _build_release(self) -> tuple[Path, str]:
        studio = open_studio(self.home.home)
        try:
            with self._bar() as bar:
                line = bar.add_task("release", total=1.0)
                built = build_release(
                    studio,
                    RELEASE,
                    self.out / "releases",
                    abandon=True,
                    progress=lambda done, message: bar.update(line, completed=done, description=message),
                )
        finally:
            studio.engine.dispose()
        return built.folder, built.manifest_sha256


def _serials(cameras: Sequence[Any]) -> list[str]:
    return [f"SIM{view:04d}" for view in range(len(cameras))]


def _sync(result: TakeResult) -> str:
    skew = result.skew
    command, clock, exposure = (
        number(value) for value in (skew.command_skew_ms, skew.clock_uncertainty_ms, skew.exposure_skew_ms)
    )
    return f"{result.frames}/{result.cameras} frames; command {command}, clock {clock}, exposure {exposure} ms"
