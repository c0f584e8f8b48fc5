"""Populations that synthetic studies are drawn from: identities and generic face units of one topology.

"anny": the head of the anny body model in the built-in template's topology. "ict": ICT-FaceKit's head, another topology
with eyeballs and teeth of its own. Both are additive as they come: their units do not depend on who performs them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy import sparse

from common.array_types import Floats, Floats32, Ints32
from common.bounded.npz_files import read_npz
from processing.errors import DataError
from processing.geometry.mesh import Mesh, Surface, submesh
from processing.geometry.open3d_core import o3d
from processing.template.anny_head import AnnyHead, load_head
from processing.template.builtin_template import VERTICES, default_template, template_topology
from processing.template.settled_units import ANNY_WHOLE
from processing.template.template import Template, from_mesh, place_landmarks
from processing.template.template_import import MATERIAL_PARTS, import_ict

POPULATIONS = ("anny", "ict")
TRAITS = 10  # numbers, each of variance about 1, that sum an identity up: what its ways of moving go with
ICT_SPREAD, ICT_MOST = 0.8, 2.2  # of the coefficients of ICT's identities, which are standardised
_APART = 0.6  # of jawOpen, in which a topology is thinned out: closed lips would be taken for each other
_SEED = 17
_INWARDS = 0.97  # of a thinned triangle's corners, where their UVs are read: on its own side of a seam
_SEAM = 0.15  # of the map's side: a triangle that is larger there lies over a seam


@dataclass(frozen=True, eq=False)
class Person:
    """Who a synthetic subject is: what does not depend on how it moves."""

    neutral_mm: Floats  # (n, 3) of the population's control mesh
    traits: Floats  # (TRAITS,)
    age: int  # years
    gender: str  # "female", "male"


@dataclass(frozen=True, eq=False)
class Population:
    """Identities and generic face units over a control mesh of n vertices, and the template that they are seen in."""

    name: str
    template: Template  # V vertices
    units: tuple[str, ...]  # ARKit's names, sorted
    control: Mesh  # (n, 3) the average, neutral
    control_units_mm: Floats  # (U, n, 3) offsets
    to_template: sparse.csr_array  # (V, n)
    draw: Callable[[np.random.Generator], Person]
    #: Lays the surface between the lids on the eyeballs of the neutral: control vertices, neutral -> control vertices.
    with_eyes: Callable[[Floats, Floats], Floats]

    @property
    def units_mm(self) -> Floats32:
        """(U, V, 3) the generic units' offsets in the template's topology, eyes behind their lids, float32."""
        average = self.control.vertices_mm
        rest = self.with_eyes(average, average)
        posed = (self.with_eyes(average + unit, average) for unit in self.control_units_mm)
        return np.stack([(self.to_template @ (shape - rest)).astype(np.float32) for shape in posed])


@lru_cache(maxsize=4)
def population(name: str, vertices: int | None = None, ict: Path | None = None) -> Population:
    """One of POPULATIONS.

    vertices: about how many the template shall have (at least 500); None: all of them.  ict: the file of ICT's face.
    Raises DataError for an unknown name and where ICT's file is wanted and not given.
    """
    if name not in POPULATIONS:
        raise DataError(f"no population {name}; there are: {', '.join(POPULATIONS)}")
    if vertices is not None and vertices < 500:
        raise DataError(f"a head of {vertices} vertices is none: give 500 or more")
    if name == "anny":
        return _anny(vertices)
    if ict is None:
        raise DataError("the population ict is read from a file: give the path of ict_face.npz")
    return _ict(Path(ict), vertices)


def _anny(vertices: int | None) -> Population:
    head = load_head()
    units = tuple(sorted(head.units))
    offsets = np.stack([ANNY_WHOLE.get(name, 1.0) * head.units[name] for name in units])
    topology = template_topology(VERTICES)
    chosen = sparse.csr_array(sparse.eye_array(len(head.vertices_mm), format="csr")[topology.control])
    for step in topology.refinement.steps:
        chosen = step @ chosen
    template = default_template()
    if vertices is not None and vertices != VERTICES:
        apart = offsets[units.index("jawOpen")]
        template, thin = _thinned(template, chosen @ head.vertices_mm, chosen @ apart, vertices)
        chosen = thin @ chosen
    control = Mesh(head.vertices_mm, np.concatenate([head.quads[:, [0, 1, 2]], head.quads[:, [0, 2, 3]]]))

    def draw(rng: np.random.Generator) -> Person:
        identity, neutral = head.identity(rng)
        macro = np.array([identity.age, identity.gender - 0.5, identity.weight - 0.5, *identity.race[:2]])
        given = identity.shapes.get
        values = np.array([given(pair[0], 0.0) - given(pair[-1], 0.0) * (len(pair) > 1) for pair in head.shape_pairs])
        mix = np.random.default_rng(_SEED).standard_normal((TRAITS, len(macro) + len(values)))
        scaled = np.r_[macro * [1.5, 2.5, 3.0, 1.5, 1.5], values * 4.0 / np.sqrt(len(values) / 3)]
        age = round(25 + 65 * identity.age)
        return Person(neutral, mix @ scaled / 2.0, age, "female" if identity.gender < 0.5 else "male")

    return Population("anny", template, units, control, offsets, chosen, draw, lambda v, n: _laid(head, v, n))


def _laid(head: AnnyHead, vertices_mm: Floats, neutral_mm: Floats) -> Floats:
    return head.with_eyes(vertices_mm, head.eyeballs(neutral_mm))


def _ict(path: Path, vertices: int | None) -> Population:
    template = _ict_template(path)
    d = read_npz(path, {"vertices", "quads", "quad_material", "identity", "expression", "expression_names"})
    quads = d["quads"][np.isin(d["quad_material"], list(MATERIAL_PARTS))]
    used = np.unique(quads)
    if len(used) != len(template.mesh.vertices_mm):
        raise DataError(f"{path}: its template has {len(template.mesh.vertices_mm)} vertices, its arrays {len(used)}")
    average = 10 * d["vertices"][used].astype(np.float64)
    names = [str(n) for n in d["expression_names"]]
    units = tuple(sorted(load_head().units))
    offsets = np.zeros((len(units), len(used), 3))
    for number, unit in enumerate(units):
        for name in _ict_names(unit):
            if name in names:
                offsets[number] += 10 * d["expression"][names.index(name)][used].astype(np.float64)
    shapes = 10 * d["identity"][:, used].astype(np.float64)
    if vertices is not None and vertices != len(used):
        template, thin = _thinned(template, average, offsets[units.index("jawOpen")], vertices)
        average, offsets = thin @ average, np.stack([thin @ unit for unit in offsets])
        shapes = np.stack([thin @ shape for shape in shapes])
    control = template.mesh.with_vertices(average)

    def draw(rng: np.random.Generator) -> Person:
        given = (ICT_SPREAD * rng.standard_normal(len(shapes))).clip(-ICT_MOST, ICT_MOST)
        neutral = average + np.tensordot(given, shapes, 1)
        gender = "female" if rng.uniform() < 0.5 else "male"
        return Person(neutral, given[:TRAITS] / ICT_SPREAD, int(rng.integers(18, 71)), gender)

    same = sparse.csr_array(sparse.eye_array(len(average), format="csr"))
    return Population("ict", template, units, control, offsets, same, draw, lambda moved, _: moved)


@lru_cache(maxsize=1)
def _ict_template(path: Path) -> Template:
    return import_ict(path, name="ict")


def _ict_names(unit: str) -> tuple[str, ...]:
    """What ICT-FaceKit calls a unit of ARKit's; of one that it has for each side, both."""
    for side in ("Left", "Right"):
        if unit.endswith(side) and unit not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
            return (f"{unit.removesuffix(side)}_{side[0]}",)
    return (unit, f"{unit}_L", f"{unit}_R")


def _thinned(
    template: Template, average_mm: Floats, apart_mm: Floats, vertices: int
) -> tuple[Template, sparse.csr_array]:
    """A template with fewer vertices, and the matrix (V', V) that takes fields over the old one's to it.

    average_mm: (V, 3) what the fields belong to; apart_mm: (V, 3) moves it so that its lips are apart.
    """
    posed = Mesh(average_mm + _APART * apart_mm, template.mesh.triangles)
    legacy = o3d.geometry.TriangleMesh(
        o3d.utility.Vector3dVector(posed.vertices_mm), o3d.utility.Vector3iVector(posed.triangles)
    )
    simple = legacy.simplify_quadric_decimation(int(2 * vertices))
    thin = Mesh(np.asarray(simple.vertices), np.asarray(simple.triangles, dtype=np.int32))
    thin, _ = submesh(thin, np.ones(len(thin.triangles), np.bool_))
    found = Surface(posed).closest(thin.vertices_mm)
    corners: Ints32 = posed.triangles[found.triangle]
    rows = np.repeat(np.arange(len(corners)), 3)
    shape = (len(corners), len(average_mm))
    sampled = sparse.csr_array((found.barycentric.clip(0, 1).ravel(), (rows, corners.ravel())), shape=shape)
    nearest = np.take_along_axis(corners, found.barycentric.argmax(axis=1)[:, None], axis=1)[:, 0]
    parts = template.parts[nearest]
    mesh = Mesh(sampled @ average_mm, thin.triangles, *_uvs_on(template, posed, thin))
    landmarks = template.landmark_points(average_mm)
    at, barycentric = place_landmarks(mesh, landmarks, (parts[mesh.triangles] == 0).all(axis=1))
    expressions = {
        name: mesh.vertices_mm + sampled @ (v - template.mesh.vertices_mm) for name, v in template.expressions.items()
    }
    return from_mesh(
        f"{template.name}-{len(parts)}", mesh, at, barycentric, parts=parts, expressions=expressions
    ), sampled


def _uvs_on(template: Template, posed: Mesh, thin: Mesh) -> tuple[Floats | None, Ints32 | None]:
    """UVs of a thinner mesh that lies on `posed`, each triangle's own: (3 T', 2) and (T', 3).

    A triangle over a seam shows one place of the map alone.
    """
    uvs, uv_triangles = template.mesh.uvs, template.mesh.uv_triangles
    if uvs is None or uv_triangles is None:
        return None, None
    corners = thin.vertices_mm[thin.triangles]
    inwards = _INWARDS * corners + (1 - _INWARDS) * corners.mean(axis=1, keepdims=True)
    found = Surface(posed).closest(inwards.reshape(-1, 3))
    at = np.einsum("nk,nkd->nd", found.barycentric.clip(0, 1), uvs[uv_triangles[found.triangle]]).reshape(-1, 3, 2)
    middle = at.mean(axis=1, keepdims=True)
    at = middle + (at - middle) / _INWARDS
    torn = np.ptp(at, axis=1).max(axis=1) > _SEAM
    at[torn] = at[torn][:, :1]
    triangles: Ints32 = np.arange(3 * len(at), dtype=np.int32).reshape(-1, 3)
    return at.reshape(-1, 2).clip(0, 1), triangles
