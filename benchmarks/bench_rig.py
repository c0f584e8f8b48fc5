"""Personal blendshapes against known truth: how near a rig from 20 expressions comes to a person's own units.

The subjects are synthetic (processing/synthetic/face_study.py): units of their own strength, direction, lips and
cheeks, expressions performed in their own way with units that come along. error_mm is the mean distance over the
vertices that a unit truly moves (0.1 mm), averaged over the units that the 20 expressions show, then over subjects;
transfer_error_mm the same of deformation transfer alone, from the same units to the same neutral; skin_ and
skin_transfer_ are the same over the skin. With --peer the open Python implementation runs on the same aligned meshes of
one subject. With --scans the rig from registered scans stands beside that from the true meshes: of a folder with
<label>.npz of registered vertices and of one with the true ones.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from common.array_types import Bools, Floats
from processing.face_models.blendshapes.build_rig import aligned, build_rig, transfer_units
from processing.face_models.blendshapes.head_motion import skull_weights
from processing.face_models.blendshapes.rig import Rig
from processing.files.stage_files import read_vertices
from processing.geometry.procrustes import fit_motion
from processing.registration.unit_transfer import units_for
from processing.synthetic.face_population import Population, population
from processing.synthetic.face_study import StudySubject, study_subject
from processing.template.builtin_template import default_template
from processing.template.expression_recipes import EXPRESSION_RECIPES
from processing.template.face_units import ARKIT_UNITS, MOVES_MM, FaceUnits, topology_of
from processing.template.template import SKIN, Template

SEED = 7


def shown_units() -> list[int]:
    """Numbers of the units that the protocol shows."""
    return [n for n, u in enumerate(ARKIT_UNITS) if any(r.get(u, 0) >= 0.2 for r in EXPRESSION_RECIPES.values())]


def error_mm(offsets: Floats, truth: Floats, among: Bools | None = None) -> float:
    """Of offsets (U, V, 3): the mean over shown units of the mean distance over the vertices (V,) that a unit moves."""
    errors = []
    for number in shown_units():
        moved = np.linalg.norm(truth[number], axis=1) > MOVES_MM
        moved = moved if among is None else moved & among
        if moved.any():
            errors.append(np.linalg.norm(offsets[number] - truth[number], axis=1)[moved].mean())
    return float(np.mean(errors))


def true_offsets(rig: Rig, neutral: Floats, shapes: Floats) -> Floats:
    """(U, V, 3) the truth's offsets in the rig's frame."""
    motion = fit_motion(neutral, rig.neutral_mm.astype(np.float64), with_scale=False)
    return np.asarray((shapes - neutral) @ motion.R.T)


def units_of(people: Population, template: Template) -> FaceUnits:
    return FaceUnits(ARKIT_UNITS, np.asarray(people.units_mm, dtype=np.float32), topology_of(template))


def run_subject(subject: StudySubject, units: FaceUnits) -> dict[str, float]:
    begun, cpu = time.perf_counter(), time.process_time()
    rig = build_rig(subject.template, units, subject.meshes)
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu
    truth = true_offsets(rig, subject.neutral_mm, subject.truth.shapes_mm.astype(np.float64))
    neutral = rig.neutral_mm.astype(np.float64)
    generic = true_offsets(rig, subject.neutral_mm, subject.truth.generic_mm.astype(np.float64))
    own = rig.shapes_mm.astype(np.float64) - neutral
    transferred = transfer_units(subject.template, units, neutral)
    skin = subject.template.parts == SKIN
    examples = [one["mean_mm"] for one in rig.figures["examples"].values()]
    weights = np.abs(rig.weights - np.stack([subject.truth.weights[label] for label in rig.examples])).sum(axis=1)
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "error_mm": error_mm(own, truth),
        "transfer_error_mm": error_mm(transferred, truth),
        "skin_error_mm": error_mm(own, truth, skin),
        "skin_transfer_error_mm": error_mm(transferred, truth, skin),
        "truth_transfer_error_mm": error_mm(generic, truth),
        "examples_mm": float(np.mean(examples)),
        "examples_worst_mm": float(np.max(examples)),
        "weights_off": float(weights.mean()),
    }


def run_peer(checkout: Path, site: str, subject: StudySubject, units: FaceUnits) -> dict[str, float]:
    """The peer on one subject's meshes, head motion removed as we remove it."""
    labels = tuple(label for label in subject.meshes if not label.endswith("_neutral"))
    neutral_label = next(label for label in subject.meshes if label.endswith("_neutral"))
    neutral, examples = aligned(subject.template, units, subject.meshes, neutral_label, labels)
    template = subject.template.mesh
    moving = [n for n, offset in enumerate(units.offsets_mm) if offset.any()]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npz", Path(folder) / "out.npz"
        given = units.offsets_mm[moving].astype(np.float64)
        skull = np.flatnonzero(skull_weights(subject.template, units) > 0)[::10]
        np.savez(
            source, triangles=template.triangles, template=template.vertices_mm, neutral=neutral, units=given,
            examples=examples, skull=skull,
        )  # fmt: skip
        script = Path(__file__).parent / "example_based_peer.py"
        path = os.pathsep.join(filter(None, [site, os.environ.get("PYTHONPATH")]))
        subprocess.run(
            [sys.executable, str(script), str(checkout), str(source), str(target)],
            check=True, stdout=sys.stderr, env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip
        result = np.load(target)
        offsets = np.zeros(units.offsets_mm.shape)
        offsets[moving] = result["offsets"]
        seconds = float(result["seconds"])
    motion = fit_motion(subject.neutral_mm, neutral, with_scale=False)
    truth = (subject.truth.shapes_mm.astype(np.float64) - subject.neutral_mm) @ motion.R.T
    return {"peer_seconds": seconds, "peer_error_mm": error_mm(offsets, truth)}


def rig_of_folder(folder: Path) -> Rig:
    """The rig of a folder of <label>.npz in the built-in template's topology."""
    meshes = {path.stem: read_vertices(path) for path in sorted(folder.glob("*.npz"))}
    template = default_template()
    return build_rig(template, units_for(template), meshes)


def compare_scans(registered: Path, true: Path) -> dict[str, float]:
    """How far the rig from registered meshes is from that of the true ones, over what a unit moves; no truth needed."""
    ours, theirs = rig_of_folder(registered), rig_of_folder(true)
    wanted = theirs.shapes_mm.astype(np.float64) - theirs.neutral_mm
    found = ours.shapes_mm.astype(np.float64) - ours.neutral_mm
    learned = [n for n, u in enumerate(theirs.names) if theirs.figures["units"][u]["learned"]]
    skin = default_template().weights > 0.5
    off = []
    for number in learned:
        moved = (np.linalg.norm(wanted[number], axis=1) > MOVES_MM) & skin
        off.append(np.linalg.norm(found[number] - wanted[number], axis=1)[moved].mean())
    return {
        "scan_rig_off_mm": float(np.mean(off)),
        "scan_examples_mm": float(np.mean([one["mean_mm"] for one in ours.figures["examples"].values()])),
        "true_examples_mm": float(np.mean([one["mean_mm"] for one in theirs.figures["examples"].values()])),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--subjects", type=int, default=10)
    parser.add_argument("--seed", type=int, default=SEED, help="of the study; settings were chosen on 7")
    parser.add_argument("--population", default="anny", help="anny, or ict with --ict")
    parser.add_argument("--ict", type=Path, help="ict_face.npz")
    parser.add_argument("--vertices", type=int, help="about how many; default: the whole template")
    parser.add_argument("--peer", type=Path, help="a checkout of example_based_facial_rigging_ARkit_blendshapes")
    parser.add_argument("--peer-site", default="", help="folder with qpsolvers and quadprog, unless installed")
    parser.add_argument("--scans", type=Path, nargs=2, help="folders of registered and of true <label>.npz")
    arguments = parser.parse_args()
    people = population(arguments.population, arguments.vertices, arguments.ict)
    units = units_of(people, people.template)
    rows = []
    for number in range(arguments.subjects):
        row = run_subject(study_subject(people, arguments.seed, number), units)
        rows.append(row)
        print(f"subject {number}: " + ", ".join(f"{k} {v:.3f}" for k, v in row.items()), file=sys.stderr)
    figures: dict[str, float | int | str] = {
        "population": arguments.population,
        "subjects": arguments.subjects,
        "seed": arguments.seed,
        "vertices": len(people.template.mesh.vertices_mm),
        **{name: round(float(np.mean([row[name] for row in rows])), 4) for name in rows[0]},
        "peak_rss_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
    }
    if arguments.peer:
        found = run_peer(arguments.peer, arguments.peer_site, study_subject(people, arguments.seed, 0), units)
        figures |= found | {f"beside_peer_{k}": rows[0][k] for k in ("seconds", "error_mm")}
    if arguments.scans:
        figures |= compare_scans(*arguments.scans)
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name}: {value}")


if __name__ == "__main__":
    main()
