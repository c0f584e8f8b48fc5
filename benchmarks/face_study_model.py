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

from processing.face_models.bilinear.build_model import MemberTexture, ModelSettings, build_model
from processing.face_models.bilinear.colour_components import ColourMatching, ColourSettings
from processing.face_models.blendshapes.rig import Rig, write_rig
from processing.face_models.model_card import Member
from processing.face_models.model_file import write_model
from processing.files.image_files import write_image
from processing.geometry.topology import topology_id
from processing.synthetic.face_appearance import TEXTURE_PX, face_appearance
from processing.synthetic.face_folders import SEED, PeopleChoice, write_people
from processing.synthetic.face_study import LABELS, StudySubject, face_study

ICT = Path(__file__).resolve().parents[2] / "shared" / "data" / "ict_face.npz"


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


def make_people(asked: argparse.Namespace) -> dict[str, object]:
    begun = time.perf_counter()
    choice = PeopleChoice(
        asked.held_back, asked.first, asked.seed, asked.population, asked.vertices, asked.ict,
        asked.expressions, asked.texture_px or TEXTURE_PX,
    )  # fmt: skip
    codes = write_people(asked.people, choice, progress=lambda _, text: say(text))
    seconds = round(time.perf_counter() - begun)
    return {"people": len(codes), "folder": str(asked.people), "people_seconds": seconds}


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
        told |= make_people(asked)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
