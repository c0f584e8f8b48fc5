"""Heads for the hard cases: random people of the ICT face model where it is there, else of Mien's embedded template.

A case paints and dresses a head by where its vertices would be on an average head, so that one recipe fits everybody.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.spatial import cKDTree

from common.array_types import Bools, Floats, Floats32
from hard_subjects.data import DATA
from processing.geometry.loop_subdivision import loop_subdivided
from processing.geometry.mesh import Mesh
from processing.geometry.noise_field import NoiseField
from processing.synthetic.subject import synthetic_subject
from processing.template.anny_data import TEETH, TONGUE
from processing.template.template import EYE, SKIN

ICT = DATA / "ict_face.npz"
#: ICT's materials that are photographed: face, head and neck, gums, teeth, eyeballs.
ICT_SKIN, ICT_GUMS, ICT_TEETH, ICT_WHITES, ICT_IRISES = (0, 1), (2,), (3,), (4, 6), (5, 7)
#: Faces that a person makes while sitting still: the strength of each shape, at most.
MOODS = {"mouthSmile": 0.5, "browDown": 0.4, "jawOpen": 0.15, "eyeSquint": 0.4, "mouthFrown": 0.4, "browOuterUp": 0.4}
#: Landmarks (Multi-PIE's 68) of the average head.
BROWS, EYES, LIPS_OUTER, LIPS_INNER = (slice(17, 22), slice(22, 27)), slice(36, 48), slice(48, 60), slice(60, 68)
OTHER_COLOURS = {"whites": (0.62, 0.6, 0.58), "teeth": (0.7, 0.66, 0.56), "gums": (0.4, 0.16, 0.14)}


@dataclass(frozen=True, eq=False)
class Head:
    """A person's head in the rig's frame, fine enough for pores: V vertices."""

    mesh: Mesh
    #: (V, 3) mm, where the vertices are on an average head.
    average_mm: Floats32
    skin: Bools  # (V,)
    #: (V, 3) linear RGB of what is not skin.
    other: Floats32
    #: (68, 3) mm, on the average head.
    landmarks_mm: Floats
    noise: NoiseField

    def displaced(self, height_mm: Floats32) -> "Head":
        """The head with its skin moved along its normals, (V,) mm outwards."""
        moved = self.mesh.vertices_mm + self.mesh.vertex_normals * (height_mm * self.skin)[:, None]
        return replace(self, mesh=self.mesh.with_vertices(moved))

    def near(self, landmarks: Floats) -> Floats32:
        """(V,) mm to the line through landmarks, on the average head."""
        steps = np.linspace(0, 1, 16)[:, None]
        line = np.concatenate([a + (b - a) * steps for a, b in pairwise(landmarks)])
        return np.asarray(cKDTree(line).query(self.average_mm)[0], np.float32)


def random_head(seed: int, levels: int = 3) -> Head:
    """A random person in a random mood and pose. levels: of subdivision, 3 for photographs of about a megapixel."""
    rng = np.random.default_rng([seed, 15])
    mesh, average, skin, other, landmarks = _ict(rng, levels) if ICT.is_file() else _embedded(seed, levels)
    turn = rng.normal(0, np.radians(2.5), 3)
    angle = float(np.linalg.norm(turn))
    x, y, z = turn / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    R = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    moved = mesh.with_vertices(mesh.vertices_mm @ R.T + rng.normal(0, 3.0, 3))
    return Head(moved, average.astype(np.float32), skin, other, landmarks, NoiseField(seed))


def _ict(rng: np.random.Generator, levels: int) -> tuple[Mesh, Floats, Bools, Floats32, Floats]:
    with np.load(ICT) as file:
        average = file["vertices"].astype(np.float64) * 10
        weights = rng.standard_normal(60) * 0.8
        points = average + np.tensordot(weights, file["identity"][:60].astype(np.float32), 1) * 10
        names = list(file["expression_names"])
        for mood, most in MOODS.items():
            strength = most * rng.random() ** 2
            for name in (mood, mood + "_L", mood + "_R"):
                if name in names:
                    points += 10 * strength * file["expression"][names.index(name)].astype(np.float32)
        quads, material, landmarks = file["quads"], file["quad_material"], average[file["landmarks68"]]
    shown = np.isin(material, (*ICT_SKIN, *ICT_GUMS, *ICT_TEETH, *ICT_WHITES, *ICT_IRISES))
    quads, material = quads[shown], np.tile(material[shown], 2)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    proper = (triangles != np.roll(triangles, 1, axis=1)).all(axis=1)
    mesh, rest = Mesh(points, triangles[proper]), Mesh(average, triangles[proper])
    material = material[proper]
    for _ in range(levels):
        mesh, rest, material = loop_subdivided(mesh), loop_subdivided(rest), np.tile(material, 4)
    of_vertex = np.full(len(mesh.vertices_mm), -1)
    of_vertex[mesh.triangles.ravel()] = np.repeat(material, 3)
    other = np.zeros((len(of_vertex), 3), np.float32)
    for materials, name in ((ICT_GUMS, "gums"), (ICT_TEETH, "teeth"), ((*ICT_WHITES, *ICT_IRISES), "whites")):
        other[np.isin(of_vertex, materials)] = OTHER_COLOURS[name]
    for side in (1, -1):
        eye = np.isin(of_vertex, (*ICT_WHITES, *ICT_IRISES)) & (side * rest.vertices_mm[:, 0] > 0)
        _paint_iris(other, rest.vertices_mm, eye)
    return mesh, rest.vertices_mm, np.isin(of_vertex, ICT_SKIN), other, landmarks


def _paint_iris(color: Floats32, points_mm: Floats, eye: Bools) -> None:
    pole = points_mm[eye][points_mm[eye, 2].argmax()]
    radius = np.linalg.norm((points_mm - pole)[:, :2], axis=1)
    color[eye & (radius < 6.2)] = (0.20, 0.12, 0.07)
    color[eye & (radius < 2.4)] = 0.02


def _embedded(seed: int, levels: int) -> tuple[Mesh, Floats, Bools, Floats32, Floats]:
    subject = synthetic_subject(seed, vertices=min(1_500_000, 25_000 * 4**levels), motion_mm=0.0)
    posed = subject.pose("neutral")
    parts = subject.fine.parts
    other = posed.albedo.copy()
    for part in (TEETH, TONGUE):
        other[parts == part] = OTHER_COLOURS["teeth" if part == TEETH else "gums"]
    topology_average = subject.fine.average_mm
    near = cKDTree(posed.mesh.vertices_mm).query(posed.landmarks_mm)[1]
    mesh = Mesh(subject.fine.refinement(subject.neutral_mm), subject.fine.triangles)
    return mesh, topology_average, (parts == SKIN) & (parts != EYE), other, topology_average[near]
