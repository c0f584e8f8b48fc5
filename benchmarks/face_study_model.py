"""A face model of a synthetic study, and people who are not in it.

`--subjects` people of one population and seed (`processing.synthetic.face_study`), by their true unit shapes, become
`--out MODEL.npz`. `--held-back N --people DIR` writes the N people after them, in the folder layout of
`mien process`: what `mien benchmark make lab` takes.

    OMP_NUM_THREADS=1 python benchmarks/face_study_model.py --out model.npz [--subjects 100] [--vertices 26000]
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from processing.face_models.bilinear.build_model import ModelSettings, build_model
from processing.face_models.blendshapes.rig import Rig, write_rig
from processing.face_models.model_card import Member
from processing.face_models.model_file import write_model
from processing.geometry.topology import topology_id
from processing.synthetic.face_study import LABELS, StudySubject, face_study

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
    rigs, members, template = {}, [], None
    with tempfile.TemporaryDirectory(dir=asked.work) as name:
        for subject in face_study(asked.subjects, asked.seed, asked.population, vertices=asked.vertices, ict=asked.ict):
            template = subject.template
            rigs[subject.code] = Path(name) / f"{subject.code}.npz"
            write_rig(rigs[subject.code], true_rig(subject))
            members.append(Member(subject.code, str(subject.age // 10 * 10), subject.gender))
            say(f"{len(members)} of {asked.subjects} subjects, {time.perf_counter() - begun:.0f} s")
        assert template is not None
        settings = ModelSettings(name=asked.out.stem, identities=asked.identities)
        model = build_model(template, rigs, None, members, settings, progress=lambda _, text: say(text))
    write_model(asked.out, model)
    return {"model": str(asked.out), "vertices": model.vertex_count, "identities": model.identity_count,
            "members": model.card.members, "seconds": round(time.perf_counter() - begun, 1)}  # fmt: skip


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
    parser.add_argument("--work", type=Path, help="folder for the rigs (25 MB a subject at full size)")
    asked = parser.parse_args()
    told: dict[str, object] = {}
    if asked.out is not None:
        told |= make_model(asked)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
