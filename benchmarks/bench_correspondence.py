"""How true registered meshes are, against a subject whose skin and correspondence are known.

The subject's folder holds takes (<k>_<name>/ with photographs and params.json) and, beside each, <k>_<name>.truth.npz:
`vertices`, `triangles` (the photographed skin, mm), `base_vertices`, `base_triangles`, `base_material` (one topology in
every expression; materials 0 and 1 are skin). Scans are read from `--scans` (<k>_<name>.ply); without them the true
skin itself is the scan. Everything after the scan is done here: landmarks, registration, refinement by appearance,
displacement. Figures are given with and without the refinement.

Correspondence: each skin vertex of the registered neutral is a point of the true base topology (nearest point,
barycentric); where that point truly is in the expression, against the same vertex of the registered expression.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Image
from common.take_codes import TakeLabel
from processing.displacement.apply_displacement import displace
from processing.displacement.displacement_bake import bake
from processing.files.appearance_png import Appearance
from processing.files.ply import read_ply
from processing.files.take_folder import read_photos, read_take
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh, Surface, submesh
from processing.landmarks.landmark_files import read_landmarks, write_landmarks
from processing.landmarks.multi_pie_68 import Landmarks3d
from processing.landmarks.triangulation import triangulate_landmarks
from processing.mesh_repair.mesh_defects import find_mesh_defects
from processing.registration.correspondence import TargetSurface
from processing.registration.register import register_expression, register_neutral
from processing.template.builtin_template import default_template
from processing.template.template import SKIN, Template
from processing.template.template_file import read_template
from processing.texture.flow_refinement import neutral_appearance, refine_by_appearance

SUBJECT = Path(__file__).resolve().parents[2] / "shared" / "data" / "subject-11"
SKIN_MATERIALS = 1  # the highest number of a skin material in the true topology
NEAR_MM = 1.0  # a vertex of the true topology belongs to the photographed skin within this
ON_SKIN_MM = 3.0  # a registered vertex is judged when the true skin is this near


@dataclass(frozen=True)
class Truth:
    """skin: as photographed.  base: the whole true topology.  facial: (T,) its triangles of photographed skin."""

    skin: Mesh
    base: Mesh
    facial: NDArray[np.bool_]

    @classmethod
    def read(cls, path: Path) -> "Truth":
        with np.load(path) as data:
            skin = Mesh(data["vertices"], data["triangles"])
            base = Mesh(data["base_vertices"], data["base_triangles"])
            near = Surface(skin).closest(base.vertices_mm).distance_mm < NEAR_MM
            return cls(skin, base, (data["base_material"] <= SKIN_MATERIALS) & near[base.triangles].all(axis=1))


def correspondence(
    neutral: Truth, expression: Truth, neutral_mm: Floats, expression_mm: Floats, vertices: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.int64]]:
    """(N,) mm by which the chosen vertices miss their true place in the expression, and (N,) which were judged."""
    face, number = submesh(neutral.base, neutral.facial)
    at = Surface(face).closest(neutral_mm[vertices])
    judged = at.distance_mm < ON_SKIN_MM
    corners = number[face.triangles[at.triangle[judged]]]
    true = np.einsum("nk,nkd->nd", at.barycentric[judged], expression.base.vertices_mm[corners])
    which = vertices[judged]
    return np.linalg.norm(expression_mm[which] - true, axis=1), which


def facial_triangles(template: Template, truth: Truth, vertices: Floats) -> NDArray[np.bool_]:
    """(T,) triangles of the template's skin that lie on the photographed skin."""
    near = Surface(truth.skin).closest(vertices).distance_mm < NEAR_MM
    return ((template.parts == SKIN) & near)[template.mesh.triangles].all(axis=1)


def spread(values: Floats) -> dict[str, float]:
    return {
        "mean": round(float(values.mean()), 4),
        "median": round(float(np.median(values)), 4),
        "p95": round(float(np.percentile(values, 95)), 4),
        "max": round(float(values.max()), 3),
    }


def landmarks_of(name: str, images: Sequence[Image], cameras: Sequence[Camera], cache: Path | None) -> Landmarks3d:
    kept = cache / f"{name}.landmarks.json" if cache is not None else None
    if kept is not None and kept.is_file():
        return read_landmarks(kept)
    found = triangulate_landmarks(images, cameras)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_landmarks(kept, found)
    return found


def detailed(template: Template, scan: Mesh, vertices: Floats, truth: Truth, size_px: int) -> dict[str, object]:
    """Distance of the true skin from the mesh with its displacement, and what the displacement took."""
    mesh = template.mesh.with_vertices(vertices)
    begun = time.perf_counter()
    relief = bake(mesh, scan, size_px=size_px, skin=template.parts == SKIN)
    seconds = time.perf_counter() - begun
    fine = displace(mesh, relief, subdivisions=3)
    off = Surface(fine).closest(truth.skin.vertices_mm).distance_mm
    return {"detailed_mm": spread(off), "bake_seconds": round(seconds, 2)}


def judged(
    template: Template, truth: Truth, vertices: Floats, neutral: tuple[Truth, Floats] | None
) -> dict[str, object]:
    """Distance of the true skin, bad triangles on it, and for an expression how far vertices miss their true place."""
    mesh = template.mesh.with_vertices(vertices)
    found: dict[str, object] = {"tu_mm": spread(Surface(mesh).closest(truth.skin.vertices_mm).distance_mm)}
    found |= find_mesh_defects(mesh, template.mesh).counts(facial_triangles(template, truth, vertices))
    if neutral is not None:
        skin = np.flatnonzero((template.parts == SKIN) & (template.weights > 0.5))
        found["correspondence_mm"] = spread(correspondence(neutral[0], truth, neutral[1], vertices, skin)[0])
    return found


class Clock:
    """Seconds and processor seconds since it was made."""

    def __init__(self) -> None:
        self.begun, self.cpu = time.perf_counter(), time.process_time()

    def read(self, name: str) -> dict[str, object]:
        seconds, cpu = time.perf_counter() - self.begun, time.process_time() - self.cpu
        return {f"{name}_seconds": round(seconds, 2), f"{name}_cpu_seconds": round(cpu, 2)}


def run(
    subject: Path,
    scans: Path | None,
    names: Sequence[str],
    cache: Path | None,
    size_px: int,
    refine: bool,
    template: Template,
) -> dict[str, object]:
    neutral_name = names[0]
    neutral_truth = Truth.read(subject / f"{neutral_name}.truth.npz")
    neutral = np.zeros_like(template.mesh.vertices_mm)
    appearance: Appearance | None = None
    takes: dict[str, dict[str, object]] = {}
    for name in names:
        truth = Truth.read(subject / f"{name}.truth.npz")
        scan = read_ply(scans / f"{name}.ply") if scans is not None else truth.skin
        take, images = read_photos(read_take(subject / name))
        points = landmarks_of(name, images, take.cameras, cache)

        clock = Clock()
        if name == neutral_name:
            registered = register_neutral(template, scan, points)
            neutral = registered.vertices_mm
        else:
            expression = TakeLabel.parse(name).name
            registered = register_expression(template, expression, neutral, scan, points)
        vertices = registered.vertices_mm
        takes[name] = clock.read("register") | judged(
            template, truth, vertices, None if name == neutral_name else (neutral_truth, neutral)
        )
        if refine and appearance is None:
            appearance = neutral_appearance(template, vertices, images, take.cameras)
        elif refine and appearance is not None:
            clock = Clock()
            refined = refine_by_appearance(template, registered, TargetSurface(scan), appearance, images, take.cameras)
            vertices = refined.vertices_mm
            takes[name] = {
                **clock.read("refine"),
                **judged(template, truth, vertices, None if name == neutral_name else (neutral_truth, neutral)),
                "geometry_alone": takes[name],
                "slip_mm": refined.report.slip_mm,
            }
        takes[name] |= detailed(template, scan, vertices, truth, size_px)
        print(f"{name}: {json.dumps(takes[name])}", file=sys.stderr)
        if cache is not None:
            np.savez(cache / f"{name}.mesh.npz", vertices_mm=vertices)
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return {"takes": takes, "vertices": len(template.mesh.vertices_mm), "peak_gb": round(peak_gb, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--subject", type=Path, default=SUBJECT, help="folder of takes with their truth")
    parser.add_argument("--scans", type=Path, help="folder of <k>_<name>.ply (default: the true skin)")
    parser.add_argument("--takes", help="names, the neutral first, with commas (default: all with a truth)")
    parser.add_argument("--cache", type=Path, help="folder that keeps landmarks and meshes between runs")
    parser.add_argument("--size", type=int, default=2048, help="texels a side of the displacement")
    parser.add_argument("--template", type=Path, help="another template (.npz) than the built-in one")
    parser.add_argument("--geometry", action="store_true", help="leave the refinement by appearance out")
    arguments = parser.parse_args()
    found = sorted(p.name.removesuffix(".truth.npz") for p in arguments.subject.glob("*.truth.npz"))
    names = arguments.takes.split(",") if arguments.takes else sorted(found, key=TakeLabel.parse)
    template = read_template(arguments.template) if arguments.template else default_template()
    refine = not arguments.geometry
    result = run(arguments.subject, arguments.scans, names, arguments.cache, arguments.size, refine, template)
    if arguments.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
