"""A face model of some 2,000 vertices: an egg, smooth random identities, each unit a bump by its landmarks."""

from functools import lru_cache

import numpy as np

from common.array_types import Floats
from processing.face_models.bilinear_shapes import shapes_of_slices
from processing.face_models.face_model import Albedo, ExpressionMixture, FaceModel, ModelTopology
from processing.face_models.model_card import Member, ModelCard, grouped
from processing.geometry.mesh import Mesh
from processing.geometry.topology import topology_id
from processing.template.face_units import ARKIT_UNITS
from processing.template.template import EYE, MOUTH_INTERIOR, Template, from_mesh, place_landmarks

ROWS = COLUMNS = 45
RADII_MM = np.array([75.0, 125.0, 105.0])
CENTRE_MM = np.array([0.0, 0.0, 15.0])
# x (its right half, the subject's right) and y of the Multi-PIE landmarks of an average face, mm.
_JAW = [(-65, 31), (-66, 19), (-65, 3), (-62, -11), (-57, -29), (-52, -42), (-37, -59), (-21, -68)]
_BROW = [(-53, 46), (-47, 51), (-38, 53), (-26, 53), (-13, 52)]
_NOSE = [(0, 35), (0, 17), (0, 5), (0, 0), (-15, -9), (-6, -11), (0, -11), (6, -11), (15, -9)]
_EYE = [(-41, 33), (-35, 36), (-25, 36), (-16, 31), (-25, 29), (-33, 29)]
_LIPS = [
    *[(-22, -34), (-14, -25), (-7, -23), (0, -24), (7, -23), (14, -25), (22, -34), (13, -42), (7, -44), (0, -44)],
    *[(-7, -44), (-13, -42), (-20, -33), (-10, -32), (0, -31), (10, -32), (20, -33), (10, -35), (0, -36), (-10, -35)],
]
# Where units act: the first letters of their names.
_PLACES = {"brow": (22, 50), "cheek": (38, 0), "eye": (28, 32), "jaw": (0, -60), "mouth": (14, -34), "nose": (10, 0)}


def landmark_places() -> Floats:
    """(68, 2) x and y."""
    left = [(-x, y) for x, y in _JAW[::-1]]
    brow = [(-x, y) for x, y in _BROW[::-1]]
    eye = [(-x, y) for x, y in (_EYE[3], _EYE[2], _EYE[1], _EYE[0], _EYE[5], _EYE[4])]
    return np.array([*_JAW, (0, -72), *left, *_BROW, *brow, *_NOSE, *_EYE, *eye, *_LIPS], dtype=np.float64)


@lru_cache(maxsize=1)
def egg_template() -> Template:
    """An open egg with a nose, one vertex a UV, no seam; landmarks, eyes and mouth where a face has them."""
    t, s = np.meshgrid(np.linspace(-1, 1, COLUMNS), np.linspace(-1, 1, ROWS))
    around, polar = np.radians(165) * (0.5 * t + 0.5 * t**3), np.pi / 2 - np.radians(75) * (0.7 * s + 0.3 * s**3)
    out = np.stack([np.sin(polar) * np.sin(around), np.cos(polar), np.sin(polar) * np.cos(around)], axis=2)
    vertices = (CENTRE_MM + RADII_MM * out).reshape(-1, 3)
    nose = np.exp(-((vertices[:, 0] / 9) ** 2) - ((vertices[:, 1] - 5) / 18) ** 2) * (vertices[:, 2] > 0)
    vertices[:, 2] += 18 * nose
    uvs = np.stack([0.5 + 0.48 * t, 0.5 + 0.48 * s], axis=2).reshape(-1, 2)
    corner = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]
    triangles = np.concatenate([np.stack(k, axis=2).reshape(-1, 3) for k in ((a, b, c), (a, c, d))]).astype(np.int32)
    mesh = Mesh(vertices, triangles, uvs, triangles.copy())
    places = landmark_places()
    depth = CENTRE_MM[2] + RADII_MM[2] * np.sqrt((1 - ((places / RADII_MM[:2]) ** 2).sum(axis=1)).clip(0.02))
    landmarks = place_landmarks(mesh, np.c_[places, depth])
    parts = np.zeros(len(vertices), dtype=np.int8)
    front = vertices[:, 2] > 40
    eye = (np.abs(np.abs(vertices[:, 0]) - 29) < 13) & (np.abs(vertices[:, 1] - 32) < 8) & front
    mouth = (np.abs(vertices[:, 0]) < 14) & (np.abs(vertices[:, 1] + 33) < 2.5) & front
    parts[eye], parts[mouth] = EYE, MOUTH_INTERIOR
    return from_mesh("egg", mesh, *landmarks, parts=parts)


def _smooth(rng: np.random.Generator, vertices: Floats, waves: int = 6) -> Floats:
    """(V, 3) mm: a random field of waves longer than 90 mm, of deviation 1."""
    direction = rng.standard_normal((waves, 3)) / 90 * 2
    phase, size = rng.uniform(0, 2 * np.pi, waves), rng.standard_normal((waves, 3)) / np.sqrt(waves / 2)
    return np.asarray(np.cos(vertices @ direction.T + phase) @ size)


def unit_offsets(seed: int = 0) -> Floats:
    """(52, V, 3) mm: a bump for each unit, left and right by its name; zero beyond 45 mm."""
    vertices, rng = egg_template().mesh.vertices_mm, np.random.default_rng(seed)
    offsets = []
    for unit in ARKIT_UNITS:
        x, y = next((place for start, place in _PLACES.items() if unit.startswith(start)), (0, -34))
        sides = [1.0] if unit.endswith("Left") else [-1.0] if unit.endswith("Right") else [1.0, -1.0]
        away = np.min([np.hypot(vertices[:, 0] - side * x, vertices[:, 1] - y) for side in sides], axis=0)
        bump = np.where((away < 45) & (vertices[:, 2] > 0), np.exp(-((away / 18) ** 2)) - np.exp(-((45 / 18) ** 2)), 0)
        offsets.append(bump.clip(0)[:, None] * (rng.standard_normal(3) * 3 + [0, 0, 2]))
    return np.array(offsets)


@lru_cache(maxsize=4)
def small_model(identities: int = 8, *, seed: int = 0, albedo: bool = True) -> FaceModel:
    """Identity parameters: the first scales the mean face, the others move it smoothly and change its units."""
    template, rng = egg_template(), np.random.default_rng(seed)
    vertices, units = template.mesh.vertices_mm, unit_offsets(seed)
    slices = np.zeros((1 + len(units), len(vertices), 3, identities), dtype=np.float32)
    slices[0, ..., 0], slices[1:, ..., 0] = vertices, units
    for k in range(1, identities):
        slices[0, ..., k] = _smooth(rng, vertices) * 4 / np.sqrt(k)
        slices[1:, ..., k] = units * (1 + _smooth(rng, vertices)) * 0.25 / np.sqrt(k)
    mean, deviation = np.eye(identities)[0], np.r_[0.01, np.ones(identities - 1)]
    basis = np.linalg.qr(rng.standard_normal((1 + len(units), 1 + len(units))))[0]
    centre, face = CENTRE_MM, (vertices[:, 2] > 45) & (np.abs(vertices[:, 1]) < 75)
    other = [int(np.argmin(np.square(vertices - v).sum(1))) for v in vertices * [-1, 1, 1]]
    places = landmark_places()
    contours = [
        np.flatnonzero((np.abs(vertices[:, 1] - y) < 6) & (vertices[:, 0] * x > 0) & (vertices[:, 2] > centre[2] - 30))
        if i != 8
        else np.flatnonzero((np.abs(vertices[:, 0]) < 12) & (vertices[:, 1] < -55) & (vertices[:, 2] > centre[2]))
        for i, (x, y) in enumerate(places[:17])
    ]
    topology = ModelTopology(
        name=template.name, version=template.version, topology=topology_id(template.mesh), mesh=template.mesh,
        parts=template.parts, landmark_triangles=template.landmark_triangles,
        landmark_barycentric=template.landmark_barycentric, contours=tuple(c.astype(np.int32) for c in contours),
        symmetry=np.array(other, dtype=np.int32), face=face, frontal=vertices[:, 2] > 0,
    )  # fmt: skip
    members = [Member(f"S{i:03d}", ("15-24", "25-34")[i % 3 > 1], "female" if i % 2 else "male") for i in range(20)]
    return FaceModel(
        name="small", version=1, topology=topology, expression_basis=basis,
        bilinear=shapes_of_slices(ARKIT_UNITS, slices, 1e-4, mean, deviation),
        identity_mean=mean, identity_deviation=deviation, expression_mixture=_mixture(rng, len(units)),
        albedo=_albedo(rng) if albedo else None, card=ModelCard(len(members), grouped(members)),
    )  # fmt: skip


def _mixture(rng: np.random.Generator, units: int) -> ExpressionMixture:
    spread = rng.standard_normal((2, units, 4)) * 0.1
    covariances = spread @ spread.transpose(0, 2, 1) + 0.01 * np.eye(units)
    return ExpressionMixture(np.array([0.6, 0.4]), rng.uniform(0, 0.4, (2, units)), covariances)


def _albedo(rng: np.random.Generator, size: int = 32, count: int = 4) -> Albedo:
    mask = np.zeros((size, size), dtype=np.bool_)
    mask[2:-2, 2:-2] = True
    texels = int(mask.sum())
    components = np.linalg.qr(rng.standard_normal((texels * 3, count)))[0].T.reshape(count, texels, 3)
    mean = np.tile(np.array([200.0, 160.0, 140.0], dtype=np.float32), (texels, 1))
    return Albedo(mask, mean, components.astype(np.float32), np.array([400.0, 200.0, 100.0, 50.0])[:count])
