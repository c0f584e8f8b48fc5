"""Photographs of faces of known shape: people of the second population (ICT-FaceKit) as cameras would see them.

Identities, expressions of their own, looks, light, background, lens, distance and pose are drawn from `--seed`; each
person has `--photographs` of other poses, expressions and light. `OUT/images/<person>_<k>.png` (1024 px) and, beside
them, `OUT/truth/<name>.npz`: the places of the built-in template's vertices on the face, in millimetres of the head's
frame (NaN where the template has no place there), the expression's weights and the camera.

    OMP_NUM_THREADS=1 python benchmarks/known_truth.py --out set1 --seed 1 [--people 12] [--photographs 8]
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from common.array_types import Floats, Image
from common.bounded.npz_files import read_npz
from processing.evaluation.population_correspondence import (
    PopulationCorrespondence,
    correspond,
    read_correspondence,
    write_correspondence,
)
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh, Surface, subdivide
from processing.geometry.photograph_rendering import Sensor
from processing.synthetic.face_appearance import face_appearance
from processing.synthetic.face_photographs import (
    FacePhotography,
    drawn_background,
    drawn_lighting,
    turned_lighting,
)
from processing.synthetic.face_population import Population, population
from processing.synthetic.face_study import study_subject
from processing.synthetic.personal_expressions import PersonalFace, performances, personal_face
from processing.template.builtin_template import default_template
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN, Template
from processing.template.template_import import MATERIAL_PARTS

ICT = Path(__file__).resolve().parents[2] / "shared" / "data" / "ict_face.npz"
SIZE_PX = 1024
HEAD_MM = 150.0  # across the cheeks
FACE_PX = (360.0, 620.0)  # of which so many pixels are seen
DISTANCE_MM = (350.0, 2200.0)
YAW_DEG, PITCH_DEG, ROLL_DEG = 45.0, 15.0, 10.0
NEUTRAL = 0.25  # of all photographs
_TEETH, _GUMS = (205, 220, 226), (70, 60, 140)  # BGR
_WHITE, _PUPIL_DEG, _IRIS_DEG = (196, 200, 206), 10.0, 27.0
_TEETH_MATERIAL = 3
SHARE = 64 / 66  # of a texture's side, what the template's chart takes; teeth and gums have the rest
_LEAST_UNIT_MM = 0.5  # a unit that moves no place so far is none of the population's


@dataclass(frozen=True, eq=False)
class Truth:
    """What a photograph shows."""

    name: str
    points_mm: Floats  # (V, 3) of the template's vertices, head frame; NaN without a place
    neutral_mm: Floats  # (V, 3) of the same person at rest
    units: tuple[str, ...]
    weights: Floats  # (U,)
    of_population: Floats  # (U,) whether the population has the unit
    camera: Camera


class KnownTruth:
    """The people of a seed."""

    def __init__(self, seed: int, correspondence: PopulationCorrespondence, ict: Path = ICT) -> None:
        self.seed, self.correspondence = seed, correspondence
        self.people: Population = population("ict", ict=ict)
        self.template: Template = default_template()
        self._teeth = _teeth(ict)
        self._fine = self._painted_mesh()

    def person(self, number: int, photographs: int) -> Iterator[tuple[Truth, Image]]:
        """The photographs of a person; the first is taken from about the front."""
        rng = np.random.default_rng([self.seed, number])
        drawn = self.people.draw(rng)
        face = personal_face(self.people, drawn, rng)
        acts = performances(self.people.units, rng)
        texture, gloss = self._texture(number)
        for k in range(photographs):
            own = np.random.default_rng([self.seed, number, k])
            label = "neutral" if own.uniform() < NEUTRAL else str(own.choice(list(acts)[1:]))
            weights = acts[label] * own.uniform(0.6, 1.0)
            yield self._photograph(f"{number:02d}_{k}", face, weights, texture, gloss, own, front=k == 0)

    def neutral(self, number: int, occlusion_rays: int = 24) -> tuple[Floats, FacePhotography]:
        """A person at rest: (n, 3) vertices of the population's mesh, and the face made ready to be photographed."""
        rng = np.random.default_rng([self.seed, number])
        vertices = personal_face(self.people, self.people.draw(rng), rng).neutral_mm
        fine = self._fine.with_vertices(self._subdivided(vertices))
        return vertices, FacePhotography(fine, self._texture(number)[0], occlusion_rays=occlusion_rays)

    def _photograph(
        self,
        name: str,
        face: PersonalFace,
        weights: Floats,
        texture: Image,
        gloss: float,
        rng: np.random.Generator,
        *,
        front: bool,
    ) -> tuple[Truth, Image]:
        posed = face.neutral_mm + np.tensordot(weights, face.shapes_mm - face.neutral_mm, 1)
        camera = drawn_camera(rng, face_middle(self.people, posed), front=front)
        fine = self._fine.with_vertices(self._subdivided(posed))
        light = turned_lighting(drawn_lighting(rng), camera.R)
        sensor = Sensor(noise=float(rng.uniform(0.002, 0.01)), blur_px=float(rng.uniform(0.3, 0.9)))
        image, _ = FacePhotography(fine, texture, occlusion_rays=24).photograph(
            camera, lighting=light, background=drawn_background(rng, SIZE_PX, SIZE_PX), gloss=gloss, sensor=sensor,
            rng=rng, jpeg_quality=int(rng.integers(80, 97)),
        )  # fmt: skip
        moved = np.linalg.norm(self.people.control_units_mm, axis=2).max(axis=1) > _LEAST_UNIT_MM
        points, neutral = (self.correspondence.points(v) for v in (posed, face.neutral_mm))
        return Truth(name, points, neutral, self.people.units, weights, moved.astype(float), camera), image

    def _subdivided(self, vertices_mm: Floats) -> Floats:
        return subdivide(Mesh(vertices_mm, self.people.control.triangles)).vertices_mm

    def _painted_mesh(self) -> Mesh:
        """The population's mesh, finer, with UVs in the template's chart: each place has the nearest of its part's."""
        people, template = self.people, self.template
        closed = people.control.vertices_mm
        fine = subdivide(Mesh(closed, people.control.triangles))
        parts = finer(people.template.parts, people.control.triangles, fine)
        uvs = np.zeros((len(fine.vertices_mm), 2))
        mesh = template.mesh
        assert mesh.uvs is not None
        assert mesh.uv_triangles is not None
        which, here = np.flatnonzero((template.parts[mesh.triangles] == SKIN).all(axis=1)), parts == SKIN
        found = Surface(Mesh(self.correspondence.fitted_mm, mesh.triangles[which])).closest(fine.vertices_mm[here])
        corners = mesh.uvs[mesh.uv_triangles[which[found.triangle]]]
        uvs[here] = np.einsum("nk,nkd->nd", found.barycentric, corners)
        inside = parts == MOUTH_INTERIOR
        teeth = finer(self._teeth, people.control.triangles, fine) > 0
        uvs = uvs * SHARE + [0.0, 1 - SHARE]
        uvs[parts != SKIN, 0] = 1 - (1 - SHARE) / 2
        uvs[inside, 1] = np.where(teeth[inside], 0.87, 0.62)
        for side in (-1, 1):
            here = (parts == EYE) & (side * fine.vertices_mm[:, 0] > 0)
            uvs[here, 1] = 0.49 * (1 - off_axis_deg(fine.vertices_mm[here]) / 180)
        return _without_seams(Mesh(fine.vertices_mm, fine.triangles, uvs, fine.triangles))

    def _texture(self, number: int) -> tuple[Image, float]:
        """(S, S, 3) BGR of somebody's look, and how strongly their skin shines."""
        subject = study_subject(population("anny"), 1000 + self.seed, number)
        appearance = face_appearance(subject, 1000 + self.seed, number)
        texture = appearance.texture()[..., ::-1]
        size = round(len(texture) / SHARE)
        wide = np.empty((size, size, 3), np.uint8)
        wide[: size // 4], wide[size // 4 : size // 2] = _TEETH, _GUMS
        iris = (255 * np.asarray(appearance.look.iris)[::-1] ** (1 / 2.2)).clip(0, 255)
        angle = 180 * (np.arange(size // 2, size) / size - 0.5) / 0.49
        wide[size // 2 :] = np.select(
            [angle[:, None] < _PUPIL_DEG, angle[:, None] < _IRIS_DEG], [[12], iris], [_WHITE]
        )[:, None]
        wide[: len(texture), : len(texture)] = texture
        return wide, float(np.random.default_rng([self.seed, number, 9]).uniform(0.0, 0.12))


def drawn_camera(rng: np.random.Generator, middle_mm: Floats, *, front: bool) -> Camera:
    """Where a photograph is taken from: pose, distance and lens, the face somewhere about the middle of the picture."""
    yaw, pitch = rng.uniform(-YAW_DEG, YAW_DEG), rng.uniform(-PITCH_DEG, PITCH_DEG)
    if front:
        yaw, pitch = rng.uniform(-5, 5), rng.uniform(-8, 8)
    distance = float(np.exp(rng.uniform(*np.log(DISTANCE_MM))))
    focal = rng.uniform(*FACE_PX) / HEAD_MM * distance
    yaw, pitch, roll = np.radians([yaw, pitch, rng.uniform(-ROLL_DEG, ROLL_DEG)])
    turn_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    turn_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    R = np.diag([1.0, -1.0, -1.0]) @ turn_z @ turn_x @ turn_y
    aside = rng.uniform(-0.06, 0.06, 2) * SIZE_PX / focal * distance
    t = np.array([*aside, distance]) - R @ middle_mm
    centre = (SIZE_PX - 1) / 2
    return Camera(np.array([[focal, 0, centre], [0, focal, centre], [0, 0, 1]]), R, t, SIZE_PX, SIZE_PX)


def face_middle(people: Population, vertices_mm: Floats) -> Floats:
    return np.asarray(people.template.landmark_points(vertices_mm)[17:].mean(axis=0))


def _teeth(ict: Path) -> Floats:
    """(n,) 1 for the population's vertices that are teeth."""
    d = read_npz(ict, {"quads", "quad_material"})
    used = np.unique(d["quads"][np.isin(d["quad_material"], list(MATERIAL_PARTS))])
    return np.isin(used, d["quads"][d["quad_material"] == _TEETH_MATERIAL]).astype(np.float64)


def off_axis_deg(eye_mm: Floats) -> Floats:
    """(N,) 0..180 between straight ahead and each place of an eyeball, seen from the ball's middle."""
    fitted = np.linalg.lstsq(np.c_[2 * eye_mm, np.ones(len(eye_mm))], (eye_mm**2).sum(axis=1), rcond=None)[0]
    away = eye_mm - fitted[:3]
    return np.asarray(np.degrees(np.arccos(np.clip(away[:, 2] / np.linalg.norm(away, axis=1), -1, 1))))


def finer(values: np.ndarray, triangles: np.ndarray, fine: Mesh) -> np.ndarray:
    """Values of vertices for the subdivided mesh: a new vertex has the lesser of its edge's ends'."""
    out = np.full(len(fine.vertices_mm), np.iinfo(np.int8).max, dtype=np.float64)
    out[: len(values)] = values
    new = fine.triangles.reshape(-1, 4, 3)[:, 3]  # the middle triangle's corners are its parent's edges' middles
    for k, (a, b) in enumerate(((0, 1), (1, 2), (2, 0))):
        out[new[:, k]] = np.minimum(values[triangles[:, a]], values[triangles[:, b]])
    return out


def _without_seams(mesh: Mesh) -> Mesh:
    """A triangle whose corners lie far apart in the chart has its first corner's place alone."""
    assert mesh.uvs is not None
    assert mesh.uv_triangles is not None
    wide = np.ptp(mesh.uvs[mesh.uv_triangles], axis=1).max(axis=1) > 0.03
    corners = mesh.uv_triangles.copy()
    corners[wide] = corners[wide, :1]
    return Mesh(mesh.vertices_mm, mesh.triangles, mesh.uvs, corners)


def write_truth(path: Path, truth: Truth) -> None:
    np.savez_compressed(
        path,
        points_mm=truth.points_mm.astype(np.float32),
        neutral_mm=truth.neutral_mm.astype(np.float32),
        units=np.array(truth.units),
        weights=truth.weights,
        of_population=truth.of_population > 0,
        K=truth.camera.K,
        R=truth.camera.R,
        t=truth.camera.t,
        size=np.array([truth.camera.width, truth.camera.height]),
    )


def read_truth(path: Path) -> Truth:
    with np.load(path) as d:
        camera = Camera(d["K"], d["R"], d["t"], int(d["size"][0]), int(d["size"][1]), name=path.stem)
        units = tuple(str(u) for u in d["units"])
        points, neutral = d["points_mm"].astype(float), d["neutral_mm"].astype(float)
        return Truth(path.stem, points, neutral, units, d["weights"], d["of_population"], camera)


def the_correspondence(path: Path | None, ict: Path = ICT) -> PopulationCorrespondence:
    """Read where it was kept, or made (a minute) and kept there."""
    if path is not None and path.exists():
        return read_correspondence(path)
    made = correspond(population("ict", ict=ict), default_template())
    if path is not None:
        write_correspondence(path, made)
    return made


def make_set(out: Path, seed: int, people: range, photographs: int, correspondence: PopulationCorrespondence) -> None:
    """Photographs and truth of some people of a seed; those that are there are left."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    (out / "truth").mkdir(exist_ok=True)
    made = KnownTruth(seed, correspondence)
    for number in people:
        if (out / "truth" / f"{number:02d}_{photographs - 1}.npz").exists():
            continue
        begun = time.perf_counter()
        for truth, image in made.person(number, photographs):
            cv2.imwrite(str(out / "images" / f"{truth.name}.png"), image)
            write_truth(out / "truth" / f"{truth.name}.npz", truth)
        print(f"person {number}: {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--photographs", type=int, default=8)
    parser.add_argument("--correspondence", type=Path, help="file to keep the correspondence in")
    given = parser.parse_args()
    which = range(given.first, given.first + given.people)
    made = the_correspondence(given.correspondence)
    make_set(given.out, given.seed, which, given.photographs, made)
    print(json.dumps({"set": str(given.out), "photographs": given.people * given.photographs}))


if __name__ == "__main__":
    main()
