"""A synthetic study, a model of it and the three networks that it teaches, by the commands that a studio would type.

OUT/study           the people, in the layout of `mien process`
OUT/model.npz       their face model
OUT/regressor, OUT/detail, OUT/avatar   runs of `mien learn`
OUT/photograph.jpg  of a person who is in none of these
OUT/logs            what each command said
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.array_types import Image
from common.progress import Progress, no_progress, part
from processing.errors import DataError
from processing.files.image_files import write_image
from processing.geometry.rendering import bounds, portrait_camera
from processing.synthetic.face_appearance import face_appearance
from processing.synthetic.face_folders import SEED, SUBJECTS, TEMPLATE, PeopleChoice, write_people
from processing.synthetic.face_photographs import FacePhotography
from processing.synthetic.face_study import LABELS, face_study

AVATAR = "avatar"
KINDS = ("regressor", "detail", AVATAR)
PEOPLE = 40
VERTICES = 6000
SIZE_PX = 512
HELD_BACK = 104  # number in the study of the seed of whose photograph is taken
_STUDY, _MODEL = 0.1, 0.4  # how far people, and then the model, bring the whole
_PHOTOGRAPH_PX = 1024
_LOOKS_EVERY_S = 0.5
_AT_ONCE = 2  # commands, of a thread each
_LAST_LINES = 8  # of what a command that failed said


class ModelsNotMade(DataError):
    """A command among those that make the models has failed."""


@dataclass(frozen=True)
class SmallModels:
    """What was made, and how long each part took; none where it was there."""

    folder: Path
    seconds: dict[str, float]

    @property
    def model(self) -> Path:
        return self.folder / "model.npz"

    @property
    def photograph(self) -> Path:
        return self.folder / "photograph.jpg"

    def weights(self, kind: str) -> Path:
        return self.folder / kind / "weights.safetensors"


@dataclass(frozen=True)
class _Command:
    name: str
    arguments: tuple[str, ...]
    makes: Path


def make_small_models(
    out: Path, *, people: int = PEOPLE, kinds: Sequence[str] = KINDS, progress: Progress = no_progress
) -> SmallModels:
    """Everything in OUT that is not there yet; an interrupted call goes on where it stopped.

    Raises ModelsNotMade with the last words of a command that failed and where all of them are.
    """
    made = SmallModels(out, {})
    (out / "logs").mkdir(parents=True, exist_ok=True)
    with _timed(made, "study"):
        choice = PeopleChoice(people, vertices=VERTICES, size_px=SIZE_PX)
        if not (out / "study" / SUBJECTS).is_file():
            write_people(out / "study", choice, progress=part(progress, 0.0, _STUDY))
        if not made.photograph.is_file():
            write_image(made.photograph, photograph_of(HELD_BACK))
    networks = [_Command(kind, _learn_arguments(out, kind), made.weights(kind)) for kind in kinds]
    model = _Command("model", _model_arguments(out), made.model)
    # Heads need the people alone; they are learned beside the model, which the other two stand on.
    beside = [network for network in networks if network.name == AVATAR]
    with _timed(made, "model"):
        _run(out, [model, *beside], part(progress, _STUDY, _MODEL))
    with _timed(made, "networks"):
        _run(out, [network for network in networks if network not in beside], part(progress, _MODEL, 1.0))
    return made


def photograph_of(number: int) -> Image:
    """(1024, W, 3) BGR: a smiling person of the study of the seed, by studio light, before grey."""
    subject = next(iter(face_study(1, SEED, first=number, motion_mm=0.0)))
    vertices = subject.meshes[LABELS[1]]
    texture = face_appearance(subject, SEED, number).texture(vertices)
    mesh = subject.template.mesh.with_vertices(vertices)
    camera = portrait_camera(bounds(mesh), yaw_deg=10.0, height_px=_PHOTOGRAPH_PX)
    face = FacePhotography(mesh, np.ascontiguousarray(texture[..., ::-1]), occlusion_rays=24)
    return face.photograph(camera, gloss=0.05)[0]


def _model_arguments(out: Path) -> tuple[str, ...]:
    study = out / "study"
    return ("model", "build", "small", "--from", str(study), "--template", str(study / TEMPLATE),
            "--out", str(out / "model.npz"))  # fmt: skip


def _learn_arguments(out: Path, kind: str) -> tuple[str, ...]:
    study = str(out / "study")
    model = () if kind == AVATAR else ("--model", str(out / "model.npz"))
    run = ("--out", str(out / kind), "--size", "small", "--threads", "1", "--synthetic", "--no-record")
    return ("learn", kind, "--release", study, *model, *run)


def _run(out: Path, commands: Sequence[_Command], progress: Progress) -> None:
    """Two at a time, in this order; those whose file is there are passed over. Raises ModelsNotMade."""
    waiting = [command for command in commands if not command.makes.is_file()]
    running: dict[str, tuple[_Command, subprocess.Popen[bytes]]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < _AT_ONCE:
                command = waiting.pop(0)
                running[command.name] = command, _started(out, command)
            for name, (command, process) in list(running.items()):
                if process.poll() is None:
                    continue
                del running[name]
                if process.returncode or not command.makes.is_file():
                    raise ModelsNotMade(_why(out, command))
            left = len(waiting) + len(running)
            progress(1 - left / len(commands), ", ".join(_standing(out, name) for name in running) or "done")
            time.sleep(_LOOKS_EVERY_S)
    finally:
        for _, process in running.values():  # each keeps what it has
            process.send_signal(signal.SIGINT)
        for _, process in running.values():
            process.wait()


def _started(out: Path, command: _Command) -> subprocess.Popen[bytes]:
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with (out / "logs" / f"{command.name}.txt").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "mien", *command.arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=os.environ | one,
        )  # fmt: skip


def _standing(out: Path, name: str) -> str:
    """As in 'detail (step 340)'."""
    try:
        last = (out / name / "progress.csv").read_text(encoding="utf-8").rstrip().rsplit("\n", 1)[-1]
    except OSError:
        return name
    step = last.split(",", 1)[0]
    return f"{name} (step {step})" if step.isdecimal() else name


def _why(out: Path, command: _Command) -> str:
    log = out / "logs" / f"{command.name}.txt"
    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-_LAST_LINES:]
    typed = " ".join(["mien", *command.arguments])
    return "\n  ".join([f"{typed} failed; the same call goes on from here. Its last words, of {log}:", *said])


@contextmanager
def _timed(made: SmallModels, name: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    made.seconds[name] = round(time.monotonic() - begun, 1)
