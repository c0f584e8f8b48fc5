"""Non-rigid registration of one template onto one scan, beside trimesh's `nricp_amberg` in the same run.

The case is a face whose true correspondence is known. With the reference data (`--data`, default ../shared/data): the
mean face of the ICT model, brought onto the photographed skin of subject-11, whose vertices in the same topology are
known (51 true landmarks). Without: the built-in template, brought onto a synthetic subject. Both sides start from the
same similarity, with the same landmarks; trimesh gets vertex-to-vertex matches (its surface matches need a package that
is not a part of Mien). Distances are over the template's vertices that truly lie within 1 mm of the scan.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from processing.geometry.mesh import Mesh, Surface, subdivide, submesh, triangle_components
from processing.geometry.procrustes import fit_motion_robust
from processing.registration.correspondence import TargetSurface
from processing.registration.nonrigid_icp import LandmarkConstraints, fit_nonrigid

FACE_VERTICES = 9409  # the first of the ICT head's, as ICT-FaceKit numbers them: the face alone
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True)
class Case:
    """source, roughly in place; truth (V, 3) where its vertices belong; landmarks (L,) vertices of it."""

    name: str
    source: Mesh
    truth: np.ndarray
    scan: Mesh
    landmarks: np.ndarray


def ict_case(data: Path, take: str) -> Case:
    with np.load(data / "ict_face.npz") as ict, np.load(data / "subject-11" / f"{take}.truth.npz") as truth:
        scan = Mesh(truth["vertices"], truth["triangles"])
        whole = Mesh(ict["vertices"].astype(np.float64) * 10, truth["base_triangles"])
        skin, number = submesh(whole, (whole.triangles < FACE_VERTICES).all(axis=1))
        label = triangle_components(skin)
        skin, kept = submesh(skin, label == np.bincount(label).argmax())
        number = number[kept]
        wanted = truth["base_vertices"].astype(np.float64)[number]
        landmarks = np.searchsorted(number, truth["landmarks68"][17:])  # without the jaw, which slides
    return place(f"ict subject-11 {take}", skin, wanted, scan, landmarks)


def synthetic_case(seed: int = 11) -> Case:
    from processing.synthetic.subject import synthetic_subject
    from processing.template.builtin_template import default_template

    template = default_template()
    posed = synthetic_subject(seed).pose("neutral")
    wanted = posed.tu_vertices_mm
    corners = template.mesh.triangles[template.landmark_triangles]
    landmarks = corners[np.arange(68), template.landmark_barycentric.argmax(axis=1)]
    scan = subdivide(Mesh(wanted, template.mesh.triangles), 1)
    return place(f"synthetic {seed}", Mesh(template.mesh.vertices_mm, template.mesh.triangles), wanted, scan, landmarks)


def place(name: str, source: Mesh, truth: np.ndarray, scan: Mesh, landmarks: np.ndarray) -> Case:
    motion = fit_motion_robust(source.vertices_mm[landmarks], truth[landmarks])
    return Case(name, source.with_vertices(motion(source.vertices_mm)), truth, scan, landmarks)


def ours(case: Case) -> np.ndarray:
    count = len(case.landmarks)
    anchors = LandmarkConstraints(
        np.repeat(case.landmarks[:, None], 3, axis=1).astype(np.int32),
        np.tile([1.0, 0.0, 0.0], (count, 1)),
        case.truth[case.landmarks],
        np.ones(count),
    )
    return fit_nonrigid(case.source, TargetSurface(case.scan), landmarks=anchors).vertices_mm


def by_trimesh(case: Case, method: str) -> np.ndarray:
    import trimesh

    source = trimesh.Trimesh(case.source.vertices_mm, case.source.triangles, process=False)
    target = trimesh.Trimesh(case.scan.vertices_mm, case.scan.triangles, process=False)
    register = getattr(trimesh.registration, method)
    fitted = register(
        source,
        target,
        source_landmarks=case.landmarks,
        target_positions=case.truth[case.landmarks],
        use_faces=False,
    )
    return np.asarray(fitted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of ict_face.npz and subject-11")
    parser.add_argument("--take", default="2_smile", help="take of subject-11")
    parser.add_argument("--sumner", action="store_true", help="trimesh's nricp_sumner too")
    parser.add_argument("--rounds", type=int, default=1, help="our best of so many")
    parser.add_argument("--no-peer", action="store_true", help="leave trimesh out (it takes minutes)")
    arguments = parser.parse_args()
    case = ict_case(arguments.data, arguments.take) if (arguments.data / "ict_face.npz").is_file() else synthetic_case()
    print(f"{case.name}: {len(case.truth)} vertices onto {len(case.scan.triangles)} triangles", file=sys.stderr)
    scan = Surface(case.scan)
    near = scan.closest(case.truth).distance_mm < 1.0

    def figures(found: np.ndarray, prefix: str = "") -> dict[str, float]:
        off = np.linalg.norm(found - case.truth, axis=1)[near]
        values = {
            "surface_mm": scan.closest(found[near]).distance_mm.mean(),
            "correspondence_mm": off.mean(),
            "correspondence_median_mm": np.median(off),
            "correspondence_p95_mm": np.percentile(off, 95),
        }
        return {prefix + name: round(float(value), 4) for name, value in values.items()}

    seconds = cpu_seconds = float("inf")
    for _ in range(arguments.rounds):
        begun, cpu = time.perf_counter(), time.process_time()
        found = ours(case)
        seconds = min(seconds, time.perf_counter() - begun)
        cpu_seconds = min(cpu_seconds, time.process_time() - cpu)
    of_ours = figures(found)
    result: dict[str, object] = {
        "case": case.name,
        "vertices": len(case.truth),
        "scan_triangles": len(case.scan.triangles),
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds, 2),
        **of_ours,
        "start_correspondence_mm": figures(case.source.vertices_mm)["correspondence_mm"],
    }
    print(f"ours: {seconds:.1f} s, {of_ours}", file=sys.stderr)
    peers = [] if arguments.no_peer else [("trimesh", "nricp_amberg")]
    peers += [("sumner", "nricp_sumner")] if arguments.sumner else []
    for name, method in peers:
        begun, cpu = time.perf_counter(), time.process_time()
        theirs = by_trimesh(case, method)
        result[f"{name}_seconds"] = round(time.perf_counter() - begun, 2)
        result[f"{name}_cpu_seconds"] = round(time.process_time() - cpu, 2)
        result |= figures(theirs, f"{name}_")
        print(f"{method}: {result[f'{name}_seconds']} s", file=sys.stderr)
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
