"""`mien demo --model`: rigs and a small face model of the demo's subject and a few synthetic people beside it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from common.files.hard_links import link_or_copy
from common.progress import Progress, no_progress, part
from common.take_codes import TakeLabel
from processing.farm.folder_model import MESHES, FolderModel, build_from_folder, place_outputs, read_subjects
from processing.files.obj import write_obj
from processing.stages.discovery import discover
from processing.stages.outputs import MODEL
from processing.synthetic.face_study import face_study

PEOPLE = 4  # synthetic people beside the photographed one
#: What they perform: enough for lids, brows, lips and jaw, and quick.
PERFORMED = ("neutral", "smile", "mouth_stretch", "lip_puckerer", "eye_closed", "brow_raiser")
NAME = "demo"


@dataclass(frozen=True)
class DemoModel:
    """What was made."""

    model: Path  # .npz
    pictures: tuple[Path, ...]
    card: Path | None
    members: int


def build_demo_model(release: Path, out: Path, seed: int, *, progress: Progress = no_progress) -> DemoModel:
    """The model of the subjects of a release and of PEOPLE synthetic ones; `out` is found again by a later call.

    Raises what `build_from_folder` raises.
    """
    people, made = out / "people", out / f"{NAME}.npz"
    _gather(release, people)
    _perform(people, seed, part(progress, 0.0, 0.3))
    subjects, stages = read_subjects(people), discover()
    if not made.is_file():
        work = out / "work"
        result = build_from_folder(subjects, work, FolderModel(NAME, MODEL.stage), stages, part(progress, 0.3, 1.0))
        place_outputs(result, made, stages[MODEL.stage])
        shutil.rmtree(work)
    beside = sorted(p for p in out.glob(f"{NAME}.*") if p != made)
    pictures = tuple(p for p in beside if p.suffix == ".png")
    card = next((p for p in beside if p.suffix == ".md"), None)
    return DemoModel(made, pictures, card, len(subjects))


def _gather(release: Path, people: Path) -> None:
    """The registered meshes of a release's subjects, without their textures: the synthetic people have none."""
    for meshes in sorted(release.glob(f"*/{MESHES}")):
        for path in sorted(meshes.glob("*.obj")):
            target = people / f"photographed-{meshes.parent.name}" / MESHES / path.name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(path, target)


def _perform(people: Path, seed: int, progress: Progress) -> None:
    """Registered meshes of synthetic people, where they are not there yet; a subject's folder appears whole."""
    for number in range(PEOPLE):
        folder = people / f"synthetic-{number + 1}"
        if folder.is_dir():
            continue
        progress(number / PEOPLE, f"synthetic person {number + 1} of {PEOPLE} performs")
        (subject,) = face_study(1, seed, first=number)
        aside = people / f".{folder.name}"
        for label, vertices in subject.meshes.items():
            if TakeLabel.parse(label).name in PERFORMED:
                write_obj(aside / MESHES / f"{label}.obj", subject.template.mesh.with_vertices(vertices))
        aside.replace(folder)
