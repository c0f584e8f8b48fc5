"""`mien studio rehearse`: a home of its own, a subject who consents, a rig that goes wrong, the console to work in."""

import os
import random
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from fastapi import FastAPI

from controller.api.server import serve_studio
from controller.client import CONSOLE_PORT
from controller.studio import Studio
from controller.studio_settings import StudioSettings
from db import migrations
from db.engine import open_database, reading, transaction
from db.models import ConsentScope
from db.protocols import FACESCAPE, ProtocolData, install_protocol
from db.settings import Settings
from db.subjects import add_subject, give_consent, list_subjects
from deploy.demo.local_studio import SimulatedBody, write_rig
from deploy.rehearsal.fault_plan import draw_faults
from deploy.rehearsal.rehearsal import Rehearsal
from deploy.rehearsal.rehearsal_score import RehearsalScore
from deploy.rehearsal.rehearsed_scene import RehearsedScene, Render
from deploy.rehearsal.simulated_rig import SimulatedRig, computers_of
from processing.errors import DataError
from processing.files.camera_models import params_from_cameras
from processing.geometry.cameras import Camera
from processing.synthetic.studio_rig import studio_rig

RIG = "rehearsal"
HEIGHT_PX, VERTICES = 480, 60_000  # enough to see a face and whether it is sharp


@dataclass(frozen=True)
class RehearsalSettings:
    """What is rehearsed."""

    out: Path  # the home, pictures and nodes
    cameras: int = 12
    faults: int = 6
    seed: int = 1  # of the faults and the subject
    expressions: tuple[str, ...] = ()  # of FaceScape's protocol; all without any
    port: int = CONSOLE_PORT
    alone: bool = False  # nobody types where to walk: faults pass by themselves

    def names(self) -> list[str]:
        """In the protocol's order. Raises DataError for one that it does not have."""
        known = [name for name, _ in FACESCAPE.expressions]
        unknown = [name for name in self.expressions if name not in known]
        if unknown:
            raise DataError(f"the protocol has no expression {', '.join(unknown)}; it has {', '.join(known)}")
        return [name for name in known if not self.expressions or name in self.expressions]


def rehearse(settings: RehearsalSettings, render: Render | None = None, keys: TextIO | None = None) -> RehearsalScore:
    """Serve until the session is closed or somebody interrupts; the score.

    render: photographs of an expression into a folder, by default of a synthetic face. keys: where walks are typed
    ("fix cam-07"). Raises DataError and what serve_studio does.
    """
    names = settings.names()
    cameras = studio_rig(settings.cameras, round(HEIGHT_PX * 2 / 3), HEIGHT_PX)
    bodies = _bodies(cameras, settings.seed)
    scene = RehearsedScene(settings.out / "scene", len(bodies), render or _faces(settings.seed, cameras))
    scene.prepare(names, _say)
    frontal = [body.name for body in bodies if body.frontal]
    plan = draw_faults(settings.faults, len(names), computers_of([b.name for b in bodies]), frontal, settings.seed)
    home = _home(settings, bodies, names)
    rehearsal = Rehearsal(
        SimulatedRig(settings.out / "nodes", scene.now, bodies), scene, plan, alone=settings.alone, told=_say,
        over=lambda: os.kill(os.getpid(), signal.SIGINT),
    )  # fmt: skip
    subject = _subject(home.records, names)
    _say(f"Subject {subject} consents and sits in the chair. Begin in the console, or:")
    _say(f"  mien session start {subject} --home {home.records.home}")
    _say("When something is wrong at a place, type where you walk:  fix cam-07, fix pi-02, fix chair")
    if keys is not None:
        threading.Thread(target=_listen, args=(keys, rehearsal), name="mien-walks", daemon=True).start()

    @contextmanager
    def beside(studio: Studio, app: FastAPI) -> Iterator[None]:
        serials = [body.serial for body in bodies]
        studio.add_calibration("simulated rig", params_from_cameras(cameras, serials))
        with rehearsal.beside(studio, app):
            yield

    with suppress(KeyboardInterrupt):  # as a server is ended; the score is what is wanted
        serve_studio(home, settings.port, beside=beside)
    return rehearsal.score()


def _listen(keys: TextIO, rehearsal: Rehearsal) -> None:
    for line in keys:
        words = line.split()
        if len(words) == 2 and words[0] == "fix":
            _say(rehearsal.fix(words[1]))
        elif words:
            _say("Type where you walk, as in:  fix cam-07")


def _bodies(cameras: Sequence[Camera], seed: int) -> list[SimulatedBody]:
    draw = random.Random(f"bodies/{seed}")
    return [
        SimulatedBody(
            name=f"cam-{view:02d}",
            view=view,
            serial=f"SIM{view:04d}",
            frontal=bool(camera.viewing_direction[2] < -0.5),
            lag_ms=round(draw.uniform(45, 65), 2),
            jitter_ms=0.3,
        )
        for view, camera in enumerate(cameras)
    ]


def _faces(seed: int, cameras: Sequence[Camera]) -> Render:
    from processing.synthetic.subject import synthetic_subject
    from processing.synthetic.takes import write_take

    subject = synthetic_subject(seed, vertices=VERTICES)

    def render(folder: Path, expression: str) -> None:
        write_take(folder, subject.pose(expression), cameras, truth=False)

    return render


def _home(settings: RehearsalSettings, bodies: Sequence[SimulatedBody], names: Sequence[str]) -> StudioSettings:
    records = Settings.load(settings.out / "studio")
    records.make_home()
    rig = write_rig(records.home / "rig.toml", RIG, bodies)
    loopback = "tcp://127.0.0.1:*"
    limits = replace(rig.preflight, frames=len(names))
    return StudioSettings(records, replace(rig, preflight=limits), loopback, loopback, settings.port)


def _subject(places: Settings, names: Sequence[str]) -> str:
    """The code of the subject, who consents; the protocol and a calibration are there too."""
    engine = open_database(places.database)
    try:
        if migrations.current(engine) is None:
            migrations.upgrade(engine)
            with transaction(engine) as tx:
                install_protocol(tx, FACESCAPE)
                chosen = tuple(line for line in FACESCAPE.expressions if line[0] in names)
                if chosen != FACESCAPE.expressions:  # the newest version is what a session begins with
                    install_protocol(tx, ProtocolData(FACESCAPE.name, FACESCAPE.version + 1, chosen))
        with reading(engine) as tx:
            known = [subject.code for subject in list_subjects(tx)]
        if known:
            return known[-1]
        with transaction(engine) as tx:
            subject = add_subject(tx, job="rehearsal")
            give_consent(tx, subject, ConsentScope.RESEARCH_RELEASE, datetime.now(UTC).date())
            return subject.code
    finally:
        engine.dispose()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
