"""A face model of a synthetic study, and people who are not in it.

`--subjects` people of one population and seed (`processing.synthetic.face_study`), by their true unit shapes, become
`--out MODEL.npz`; with `--texture-px` with the colours of their textures (`processing.synthetic.face_appearance`).

`--people DIR` writes `--held-back` others, from number `--first` on, as folders in the layout of `mien process`, with
textures and displacement maps: what `mien benchmark make lab DIR` takes. DIR/template.npz is their template.

    OMP_NUM_THREADS=1 python benchmarks/face_study_model.py --out model.npz [--subjects 100] [--texture-px 512]
    OMP_NUM_THREADS=1 python benchmarks/face_study_model.py --people held-back [--held-back 20] [--first 100]
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from common.take_codes import TakeLabel
from processing.face_models.bilinear.build_model import MemberTexture, ModelSettings, build_model
from processing.face_models.bilinear.colour_components import ColourMatching, ColourSettings
from processing.face_models.blendshapes.rig import Rig, write_rig
from processing.face_models.model_card import Member
from processing.face_models.model_file import write_model
from processing.files.displacement_png import write_displacement_png
from processing.files.image_files import write_image
from processing.files.obj import write_obj
from processing.geometry.topology import topology_id
from processing.synthetic.face_appearance import face_appearance
from processing.synthetic.face_study import LABELS, StudySubject, face_study
from processing.template.template_file import write_template

ICT = Path(__file__).resolve().parents[2] / "shared" / "data" / "ict_face.npz"
SEED = 17


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def true_rig(subject: StudySubject) -> Rig:
    truth = subject.truth
    weights = np.stack([truth.weights[label] for label in LABELS])
    neutral, topology = subject.neutral_mm.astype(np.float32), topology_id(subject.template.mesh)
    return Rig(truth.units, neutral, truth.shapes_mm, topology, LABELS, weights)


def make_model(asked: argparse.Namespace) -> dict[str, object]:
    begun = time.perf_counter()
    rigs, members, textures, template = {}, [], {}, None
    with tempfile.TemporaryDirectory(dir=asked.work) as name:
        people = face_study(asked.subjects, asked.seed, asked.population, vertices=asked.vertices, ict=asked.ict)
        for number, subject in enumerate(people):
            template = subject.template
            if asked.texture_px:
                texture = face_appearance(subject, asked.seed, number, size_px=asked.texture_px).texture()
                write_image(Path(name) / f"{subject.code}.png", texture[..., ::-1])
                textures[subject.code] = MemberTexture(Path(name) / f"{subject.code}.png")
            rigs[subject.code] = Path(name) / f"{subject.code}.npz"
            write_rig(rigs[subject.code], true_rig(subject))
            members.append(Member(subject.code, str(subject.age // 10 * 10), subject.gender))
            say(f"{len(members)} of {asked.subjects} subjects, {time.perf_counter() - begun:.0f} s")
        assert template is not None
        # Textures are paint without light: there is none to be matched.
        colour = ColourSettings(matching=ColourMatching.NONE)
        settings = ModelSettings(name=asked.out.stem, identities=asked.identities, colour=colour)
        model = build_model(template, rigs, textures or None, members, settings, progress=lambda _, text: say(text))
    write_model(asked.out, model)
    return {"model": str(asked.out), "vertices": model.vertex_count, "identities": model.identity_count,
            "members": model.card.members, "seconds": round(time.perf_counter() - begun, 1)}  # fmt: skip


def write_people(asked: argparse.Namespace) -> dict[str, object]:
    """Folders with the neutral and some other expressions of each, as `mien process` leaves them; those there stay."""
    begun = time.perf_counter()
    asked.people.mkdir(parents=True, exist_ok=True)
    lines = ["code,age,gender"]
    for number in range(asked.first, asked.first + asked.held_back):
        people = face_study(
            1, asked.seed, asked.population, vertices=asked.vertices, ict=asked.ict, first=number, motion_mm=0.0
        )
        subject = next(iter(people))
        lines.append(f"{subject.code},{subject.age},{subject.gender}")
        if not (asked.people / "template.npz").exists():
            write_template(asked.people / "template.npz", subject.template)
        folder = asked.people / subject.code
        if not folder.is_dir():
            aside = asked.people / f".{subject.code}"
            write_person(aside, subject, number, asked)
            aside.replace(folder)
        say(f"{len(lines) - 1} of {asked.held_back} people, {time.perf_counter() - begun:.0f} s")
    (asked.people / "subjects.csv").write_text("\n".join(lines) + "\n")
    return {"people": len(lines) - 1, "folder": str(asked.people), "people_seconds": round(time.perf_counter() - begun)}


def write_person(folder: Path, subject: StudySubject, number: int, asked: argparse.Namespace) -> None:
    look = face_appearance(subject, asked.seed, number, size_px=asked.texture_px or 1024)
    rng = np.random.default_rng([asked.seed, number, 5])
    drawn = rng.permutation(np.arange(1, len(LABELS)))[: max(0, asked.expressions - 1)]
    meshes = folder / "models_reg"
    (folder / "dpmap").mkdir(parents=True, exist_ok=True)
    for label in [LABELS[0], *(LABELS[k] for k in sorted(drawn))]:
        vertices = subject.meshes[label]
        write_obj(meshes / f"{label}.obj", subject.template.mesh.with_vertices(vertices))
        write_image(meshes / f"{label}.jpg", look.texture(vertices)[..., ::-1])
        moved = None if TakeLabel.parse(label).is_neutral else vertices
        write_displacement_png(folder / "dpmap" / f"{label}.png", look.displacement(moved))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--out", type=Path, help="the model's file (.npz)")
    parser.add_argument("--subjects", type=int, default=100, help="members of the model")
    parser.add_argument("--identities", type=int, default=50, help="identity parameters")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--population", choices=("anny", "ict"), default="anny")
    parser.add_argument("--ict", type=Path, default=ICT, help="file of ICT's face")
    parser.add_argument("--vertices", type=int, help="of the template, about; all of them without")
    parser.add_argument("--texture-px", type=int, default=0, help="side of textures; 0: a model without colour")
    parser.add_argument("--people", type=Path, help="folder for people who are held back")
    parser.add_argument("--held-back", type=int, default=20, help="how many")
    parser.add_argument("--first", type=int, default=100, help="number of the first of them in the study")
    parser.add_argument("--expressions", type=int, default=4, help="of each of them, the neutral included")
    parser.add_argument("--work", type=Path, help="folder for the rigs (25 MB a subject at full size)")
    asked = parser.parse_args()
    told: dict[str, object] = {}
    if asked.out is not None:
        told |= make_model(asked)
    if asked.people is not None:
        told |= write_people(asked)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
