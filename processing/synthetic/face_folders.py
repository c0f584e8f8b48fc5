"""Synthetic people as folders in the layout of `mien process`: meshes, textures, displacement maps of expressions.

What models, benchmarks and networks are made of where no studio's release is at hand; everything follows from the seed.
"""

import csv
import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.files.atomic_write import write_whole
from common.progress import Progress, no_progress
from common.take_codes import TakeLabel
from processing.errors import DataError
from processing.files.displacement_png import write_displacement_png
from processing.files.image_files import write_image
from processing.files.obj import write_obj
from processing.geometry.topology import topology_id
from processing.synthetic.face_appearance import TEXTURE_PX, face_appearance
from processing.synthetic.face_study import LABELS, StudySubject, face_study
from processing.template.template import Template
from processing.template.template_file import read_template, write_template

SEED = 17
TEMPLATE, SUBJECTS = "template.npz", "subjects.csv"
_DRAWS = 5  # of a subject's random numbers: which expressions; face_study and face_appearance have those before


@dataclass(frozen=True)
class PeopleChoice:
    """Which people, and how finely."""

    count: int
    first: int = 0  # number of the first in the study of the seed
    seed: int = SEED
    population: str = "anny"
    vertices: int | None = None  # of the template, about; None: all of them
    ict: Path | None = None  # file of ICT's face
    expressions: int = len(LABELS)  # of each, the neutral included; fewer are drawn
    size_px: int = TEXTURE_PX  # of textures and maps


def write_people(out: Path, choice: PeopleChoice, *, progress: Progress = no_progress) -> list[str]:
    """OUT/<code>/models_reg/<k>_<name>.obj and .jpg, dpmap/<k>_<name>.png; OUT/template.npz; OUT/subjects.csv at last.

    People who are there already stay as they are, so that a call that was interrupted goes on. Returns the codes.
    Heads do not move between expressions. Raises DataError where the folder holds people of another topology.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows = io.StringIO()
    table = csv.writer(rows, lineterminator="\n")
    table.writerow(("code", "age", "gender"))
    codes: list[str] = []
    for number, subject in _people(choice):
        progress(len(codes) / choice.count, f"{len(codes)} of {choice.count} people")
        table.writerow((subject.code, subject.age, subject.gender))
        if not codes:
            _settle_template(out / TEMPLATE, subject.template)
        folder = out / subject.code
        if not folder.is_dir():
            aside = out / f".{subject.code}"
            if aside.exists():  # of a call that was interrupted
                shutil.rmtree(aside)
            _write_person(aside, subject, number, choice)
            aside.replace(folder)
        codes.append(subject.code)
    write_whole(out / SUBJECTS, rows.getvalue())
    progress(1.0, f"{len(codes)} people")
    return codes


def _settle_template(path: Path, template: Template) -> None:
    if not path.exists():
        write_template(path, template)
    elif topology_id(read_template(path).mesh) != topology_id(template.mesh):
        raise DataError(f"{path.parent} holds people of another topology; name a folder that is not there yet")


def _people(choice: PeopleChoice) -> Iterator[tuple[int, StudySubject]]:
    people = face_study(
        choice.count, choice.seed, choice.population, vertices=choice.vertices, ict=choice.ict, first=choice.first,
        motion_mm=0.0,
    )  # fmt: skip
    return enumerate(people, choice.first)


def _write_person(folder: Path, subject: StudySubject, number: int, choice: PeopleChoice) -> None:
    look = face_appearance(subject, choice.seed, number, size_px=choice.size_px)
    rng = np.random.default_rng([choice.seed, number, _DRAWS])
    drawn = rng.permutation(np.arange(1, len(LABELS)))[: max(0, choice.expressions - 1)]
    meshes = folder / "models_reg"
    (folder / "dpmap").mkdir(parents=True)
    for label in [LABELS[0], *(LABELS[k] for k in sorted(drawn))]:
        vertices = subject.meshes[label]
        write_obj(meshes / f"{label}.obj", subject.template.mesh.with_vertices(vertices))
        write_image(meshes / f"{label}.jpg", look.texture(vertices)[..., ::-1])
        moved = None if TakeLabel.parse(label).is_neutral else vertices
        write_displacement_png(folder / "dpmap" / f"{label}.png", look.displacement(moved))
