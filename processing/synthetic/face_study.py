"""Synthetic studies to learn face models from: subjects x 20 expressions of registered meshes, and their truth.

Expressions differ by person (`personal_expressions`), so that a personal rig has something to learn, and partly go with
who the person is, so that a model of identity and expression has.
"""

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from common.array_types import Floats, Floats32
from common.files.atomic_write import write_whole
from processing.errors import DataError
from processing.files.obj import write_obj
from processing.synthetic.face_population import Population
from processing.synthetic.face_population import population as population_of
from processing.synthetic.personal_expressions import performances, personal_face
from processing.synthetic.subject import small_motion
from processing.template.expression_recipes import EXPRESSION_RECIPES
from processing.template.part_separation import PartSeparation
from processing.template.settled_units import settled_units
from processing.template.template import Template

MOTION_MM = 1.5  # standard deviation of the head's place between expressions; it turns by as many half degrees
#: The protocol's takes in their order: '1_neutral', '2_smile', ...
LABELS = tuple(f"{number}_{name}" for number, name in enumerate(EXPRESSION_RECIPES, 1))


@dataclass(frozen=True, eq=False)
class FaceTruth:
    """What a subject's meshes were made of: mesh = R (neutral + sum of weight x (shape - neutral)) + t."""

    units: tuple[str, ...]  # ARKit's names
    shapes_mm: Floats32  # (U, V, 3) the person's own units at full weight, absolute
    generic_mm: Floats32  # (U, V, 3) the generic units as deformation transfer alone carries them to this neutral
    weights: Mapping[str, Floats]  # label -> (U,) in 0..1
    motions: Mapping[str, tuple[Floats, Floats]]  # label -> R (3, 3) and t (3,) mm of the head


@dataclass(frozen=True, eq=False)
class StudySubject:
    """A synthetic subject with registered meshes of the protocol's expressions."""

    code: str
    age: int  # years
    gender: str  # "female", "male"
    template: Template
    neutral_mm: Floats  # (V, 3) in the template's frame, without head motion
    meshes: Mapping[str, Floats]  # label -> (V, 3) mm, moved as heads move between expressions
    truth: FaceTruth


def face_study(
    subjects: int,
    seed: int,
    population: str = "anny",
    *,
    vertices: int | None = None,
    ict: Path | None = None,
    first: int = 0,
    motion_mm: float = MOTION_MM,
) -> Iterator[StudySubject]:
    """The subjects of a study one after the other; each follows from the seed and its own number alone.

    population: "anny", the built-in template's topology, or "ict", which is read from the file `ict`.
    vertices: about how many the template shall have (tests take 2,000); None: all of them.  first: number of the first
    subject, so that a study goes on where another ended.
    Raises DataError for an unknown population or one whose file is not given.
    """
    people = population_of(population, vertices, ict)
    for number in range(first, first + subjects):
        yield study_subject(people, seed, number, motion_mm=motion_mm)


def study_subject(people: Population, seed: int, number: int, *, motion_mm: float = MOTION_MM) -> StudySubject:
    """Subject `number` (from 0) of the study of a seed."""
    who, ways, acts, moves = (np.random.default_rng([seed, number, purpose]) for purpose in range(4))
    person = people.draw(who)
    face = personal_face(people, person, ways)
    weights = performances(people.units, acts)
    to_template = people.to_template
    own = np.stack([to_template @ (shape - face.neutral_mm) for shape in face.shapes_mm])
    carried = np.stack([to_template @ (shape - face.neutral_mm) for shape in face.generic_mm])
    separation = _separation(people)
    neutral = separation(to_template @ face.neutral_mm)
    offsets = settled_units(separation, people.units, neutral, own)
    meshes: dict[str, Floats] = {}
    motions: dict[str, tuple[Floats, Floats]] = {}
    for label, expression in zip(LABELS, EXPRESSION_RECIPES, strict=True):
        R, t = small_motion(moves, motion_mm if expression != "neutral" else 0.0)
        meshes[label] = (neutral + np.tensordot(weights[expression], offsets, 1)) @ R.T + t
        motions[label] = R, t
    by_label = dict(zip(LABELS, (weights[name] for name in EXPRESSION_RECIPES), strict=True))
    truth = FaceTruth(
        people.units,
        (neutral + offsets).astype(np.float32),
        (neutral + carried).astype(np.float32),
        by_label,
        motions,
    )
    return StudySubject(f"S{number + 1:03d}", person.age, person.gender, people.template, neutral, meshes, truth)


@lru_cache(maxsize=4)
def _separation(people: Population) -> PartSeparation:
    template = people.template
    return PartSeparation.of(template.mesh, template.parts, template.landmark_points(template.mesh.vertices_mm))


def write_study(out: Path, subjects: Iterator[StudySubject], *, truth: bool = False) -> list[str]:
    """A study as folders, one a subject as `mien process` leaves it: OUT/<code>/models_reg/<k>_<name>.obj, and
    OUT/subjects.csv with code, age and gender. Returns the codes.

    truth: also OUT/<code>/truth.npz (neutral, unit shapes, weights). Raises DataError where `out` holds a study.
    """
    table = out / "subjects.csv"
    if table.exists():
        raise DataError(f"{table} exists; name a folder that is not there yet")
    lines = io.StringIO()
    rows = csv.writer(lines, lineterminator="\n")
    rows.writerow(("code", "age", "gender"))
    codes = []
    for subject in subjects:
        folder = out / subject.code
        (folder / "models_reg").mkdir(parents=True, exist_ok=True)
        for label, vertices in subject.meshes.items():
            write_obj(folder / "models_reg" / f"{label}.obj", subject.template.mesh.with_vertices(vertices))
        if truth:
            _write_truth(folder / "truth.npz", subject)
        rows.writerow((subject.code, subject.age, subject.gender))
        codes.append(subject.code)
    write_whole(table, lines.getvalue())
    return codes


def _write_truth(path: Path, subject: StudySubject) -> None:
    weights = np.stack([subject.truth.weights[label] for label in LABELS]).astype(np.float32)
    np.savez(
        path,
        units=np.array(subject.truth.units),
        labels=np.array(LABELS),
        neutral_mm=subject.neutral_mm.astype(np.float32),
        shapes_mm=subject.truth.shapes_mm,
        weights=weights,
    )
