"""A head of about 3,000 vertices that are vertices of a full topology, more of them in the face than on the skull.

What the avatar paper calls its low polygon count (section 3.2: 2,925 points with eyes and mouth). Blendshapes,
identities and textures of the full topology serve it as they are: a vertex is taken by its number, UVs lie in the
same atlas.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from common.array_types import Bools, Floats, Ints32
from processing.errors import DataError, ShapeError
from processing.face_models.face_model import FaceModel
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.vertex_decimation import Decimated, decimate
from processing.mesh_repair.mesh_defects import self_intersections
from processing.template.template import EYE, SKIN, Template

VERTICES = 3000
ROUNDS = 4  # of giving more vertices to where triangles of a pose cross
_NEAR_MM, _MORE = 4.0, 12.0  # so near to a crossing, so many times the weight
_ALIKE_UV = 2e-3  # UVs of a vertex that are nearer to each other are one
_FACE_WIDTH_MM = 90.0  # between the outer corners of the eyes: lengths are for a face of this width
_EYES_AND_MOUTH = (*range(36, 48), *range(48, 68))
#: Units that bend a face the most: what a low-poly head is made to follow.
_UNITS = (
    ("jawOpen",), ("eyeBlinkLeft", "eyeBlinkRight"), ("mouthSmileLeft", "mouthSmileRight"), ("mouthPucker",),
    ("browInnerUp", "eyeWideLeft", "eyeWideRight"),
)  # fmt: skip
_EXPRESSIONS = ("mouth_stretch", "eye_closed", "grin", "lip_puckerer", "brow_raiser")


class LowPolyHeadError(DataError):
    """A low-poly head cannot be made or read."""


@dataclass(frozen=True, eq=False)
class LowPolyHead:
    """L vertices of a full topology of V and T triangles between them."""

    vertices: Ints32  # (L,) numbers in the full topology, ascending
    triangles: Ints32  # (T, 3) of the L
    uvs: Floats  # (M, 2) of the full topology's atlas
    uv_triangles: Ints32  # (T, 3)
    parts: NDArray[np.int8]  # (L,) as the template's
    landmark_triangles: Ints32  # (68,) of the T: Multi-PIE's
    landmark_barycentric: Floats  # (68, 3)
    full: int  # V

    def __post_init__(self) -> None:
        count, triangles = len(self.vertices), len(self.triangles)
        wanted = {
            "triangles": (triangles, 3), "uv_triangles": (triangles, 3), "parts": (count,), "uvs": (len(self.uvs), 2),
            "landmark_triangles": (68,), "landmark_barycentric": (68, 3),
        }  # fmt: skip
        for key, shape in wanted.items():
            if getattr(self, key).shape != shape:
                raise ShapeError(f"low-poly head: {key}", getattr(self, key).shape, str(shape))
        for key, most in {
            "vertices": self.full, "triangles": count, "uv_triangles": len(self.uvs), "landmark_triangles": triangles,
        }.items():  # fmt: skip
            array = getattr(self, key)
            if not array.size or array.min() < 0 or array.max() >= most:
                raise LowPolyHeadError(f"a low-poly head's {key} name what is not there")
        if not (np.isfinite(self.uvs).all() and np.isfinite(self.landmark_barycentric).all()):
            raise LowPolyHeadError("a low-poly head holds what is not a finite number")

    @classmethod
    def of(
        cls,
        mesh: Mesh,
        parts: NDArray[np.int8],
        landmarks: tuple[Ints32, Floats],
        *,
        poses_mm: Floats | None = None,
        vertices: int = VERTICES,
    ) -> "LowPolyHead":
        """About `vertices` of a topology with UVs; all of one that has no more.

        landmarks: triangles (68,) and barycentric (68, 3), Multi-PIE.  poses_mm: (P, V, 3) that triangles must not be
        turned over in, nor cross more than the full ones. Raises ShapeError, MeshError, LowPolyHeadError.
        """
        if vertices < 300:
            raise LowPolyHeadError(f"a head of {vertices} vertices has no face; wanted at least 300")
        mesh = _welded(mesh)
        poses = mesh.vertices_mm[None] if poses_mm is None else np.concatenate([mesh.vertices_mm[None], poses_mm])
        corners = mesh.vertices_mm[mesh.triangles[landmarks[0]]]
        places = np.einsum("nk,nkd->nd", landmarks[1], corners)
        weight = _weights(mesh, parts, places)
        kept = np.zeros(len(parts), np.bool_)
        nearest = mesh.triangles[landmarks[0]][np.arange(68), landmarks[1].argmax(axis=1)]
        kept[nearest] = True
        made = _without_crossings(mesh, poses, weight, parts.astype(np.int32), kept, vertices)
        skin = (parts[mesh.triangles[landmarks[0]]] == SKIN).all(axis=1)
        return cls._renumbered(mesh, parts, made, places, skin)

    @classmethod
    def of_model(cls, model: FaceModel, vertices: int = VERTICES) -> "LowPolyHead":
        """Of a face model's topology, following its mean face with jaw, lids, lips and brows moved."""
        topology = model.topology
        poses = []
        for units in _UNITS:
            weights = np.array([1.0 if unit in units else 0.0 for unit in model.units])
            if weights.any():
                poses.append(model.face(model.identity_mean, weights))
        landmarks = (topology.landmark_triangles, topology.landmark_barycentric)
        return cls.of(
            topology.mesh, topology.parts, landmarks, poses_mm=np.array(poses) if poses else None, vertices=vertices
        )

    @classmethod
    def of_template(cls, template: Template, vertices: int = VERTICES) -> "LowPolyHead":
        """Of a template, following the expressions that it knows."""
        poses = [template.expressions[name] for name in _EXPRESSIONS if name in template.expressions]
        landmarks = (template.landmark_triangles, template.landmark_barycentric)
        return cls.of(
            template.mesh, template.parts, landmarks, poses_mm=np.array(poses) if poses else None, vertices=vertices
        )

    @classmethod
    def _renumbered(
        cls, mesh: Mesh, parts: NDArray[np.int8], made: Decimated, places: Floats, skin: Bools
    ) -> "LowPolyHead":
        """The head of what a decimation left. places: (68, 3) mm of the landmarks; skin: (68,) that lie on skin."""
        assert mesh.uvs is not None
        used = made.vertices
        uv_used, uv_triangles = np.unique(made.uv_triangles, return_inverse=True)
        triangles = np.searchsorted(used, made.triangles).astype(np.int32)
        at, shares = np.zeros(68, np.int32), np.zeros((68, 3))
        whole = np.ones(len(triangles), np.bool_)
        for some, among in ((skin, (parts[made.triangles] == SKIN).all(axis=1)), (~skin, whole)):
            if some.any():
                numbers = np.flatnonzero(among)
                found = Surface(Mesh(mesh.vertices_mm, made.triangles[numbers])).closest(places[some])
                at[some], shares[some] = numbers[found.triangle], found.barycentric.clip(0, 1)
        return cls(
            used, triangles, mesh.uvs[uv_used].astype(np.float64), uv_triangles.reshape(-1, 3).astype(np.int32),
            parts[used].astype(np.int8), at, shares / shares.sum(axis=1, keepdims=True), len(mesh.vertices_mm),
        )  # fmt: skip

    def take(self, vertices_mm: NDArray[Any]) -> NDArray[Any]:
        """(..., V, 3) of the full topology -> (..., L, 3)."""
        if vertices_mm.shape[-2:] != (self.full, 3):
            raise ShapeError("vertices_mm", vertices_mm.shape, f"(..., {self.full}, 3)")
        return vertices_mm[..., self.vertices, :]

    def mesh(self, vertices_mm: Floats) -> Mesh:
        """(L, 3) mm as a mesh with UVs."""
        return Mesh(vertices_mm, self.triangles, self.uvs, self.uv_triangles)

    def landmark_points(self, vertices_mm: Floats) -> Floats:
        """(..., L, 3) -> (..., 68, 3) mm."""
        if vertices_mm.shape[-2:] != (len(self.vertices), 3):
            raise ShapeError("vertices_mm", vertices_mm.shape, f"(..., {len(self.vertices)}, 3)")
        corners = vertices_mm[..., self.triangles[self.landmark_triangles], :]
        return np.asarray(np.einsum("nk,...nkd->...nd", self.landmark_barycentric, corners))

    def arrays(self, prefix: str = "head.") -> dict[str, NDArray[Any]]:
        """The head as named arrays, for a weights file."""
        named = {f"{prefix}{one.name}": np.asarray(getattr(self, one.name)) for one in fields(self)}
        named[f"{prefix}uvs"] = self.uvs.astype(np.float32)
        named[f"{prefix}landmark_barycentric"] = self.landmark_barycentric.astype(np.float32)
        named[f"{prefix}full"] = np.array([self.full], np.int32)
        return named

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str = "head.") -> "LowPolyHead":
        """The head that `arrays` named. Raises LowPolyHeadError, ShapeError."""
        missing = [one.name for one in fields(cls) if f"{prefix}{one.name}" not in arrays]
        if missing:
            raise LowPolyHeadError(f"these are no low-poly head's arrays: {', '.join(missing)} is not there")
        a = {one.name: arrays[f"{prefix}{one.name}"] for one in fields(cls)}
        return cls(
            a["vertices"].astype(np.int32), a["triangles"].astype(np.int32), a["uvs"].astype(np.float64),
            a["uv_triangles"].astype(np.int32), a["parts"].astype(np.int8), a["landmark_triangles"].astype(np.int32),
            a["landmark_barycentric"].astype(np.float64), int(a["full"].reshape(-1)[0]),
        )  # fmt: skip


def _welded(mesh: Mesh) -> Mesh:
    """The mesh with one UV for corners of a vertex whose UVs are alike: files may hold one for every corner."""
    if mesh.uvs is None or mesh.uv_triangles is None:
        return mesh
    vertex, own = mesh.triangles.ravel(), mesh.uvs[mesh.uv_triangles.ravel()]
    number = np.full(len(vertex), -1)
    left, count = np.arange(len(vertex)), 0
    while len(left):  # of each vertex's corners, the first that has no number yet, and those like it
        held, first = np.unique(vertex[left], return_index=True)
        leader = left[first][np.searchsorted(held, vertex[left])]
        alike = np.abs(own[left] - own[leader]).max(axis=1) < _ALIKE_UV
        number[left[alike]] = count + np.searchsorted(held, vertex[left[alike]])
        left, count = left[~alike], count + len(held)
    sizes = np.bincount(number, minlength=count)
    uvs = np.stack([np.bincount(number, own[:, k], minlength=count) / sizes for k in (0, 1)], axis=1)
    return Mesh(mesh.vertices_mm, mesh.triangles, uvs, number.reshape(-1, 3).astype(np.int32))


def _weights(mesh: Mesh, parts: NDArray[np.int8], landmarks: Floats) -> Floats:
    """(V,) what the surface around each vertex counts: lids and lips the most, the face, ears and throat, the skull."""
    unit = float(np.linalg.norm(landmarks[45] - landmarks[36])) / _FACE_WIDTH_MM
    inner = cKDTree(landmarks[17:]).query(mesh.vertices_mm)[0] / unit
    middle = cKDTree(landmarks).query(mesh.vertices_mm)[0] / unit
    edges = cKDTree(landmarks[list(_EYES_AND_MOUTH)]).query(mesh.vertices_mm)[0] / unit
    weight = 0.004 + 0.05 * np.exp(-np.square(middle / 30)) + np.exp(-np.square(inner / 14))
    weight += 4 * np.exp(-np.square(edges / 5))
    return np.asarray(np.select([parts == SKIN, parts == EYE], [weight, 0.5 * weight], 0.01 * weight))


def _without_crossings(mesh: Mesh, poses: Floats, weight: Floats, groups: Ints32, kept: Bools, count: int) -> Decimated:
    """A decimation; again with more weight where triangles of a pose cross whose full ones do not; the best of all."""
    clean = [pose for pose in poses if not len(_crossing(mesh.triangles, pose))]
    best: tuple[int, Decimated] | None = None
    for _ in range(ROUNDS):
        made = decimate(mesh, poses, weight, groups, kept, count)
        crossing = [_crossing(made.triangles, pose) for pose in clean]
        total = sum(len(one) for one in crossing)
        if best is None or total < best[0]:
            best = (total, made)
        if not total:
            break
        near = np.zeros(len(weight), np.bool_)
        for pose, own in zip(clean, crossing, strict=True):
            if len(own):
                near |= np.isfinite(cKDTree(pose[own]).query(pose, distance_upper_bound=_NEAR_MM)[0])
        weight = np.where(near, _MORE * weight, weight)
    assert best is not None
    return best[1]


def _crossing(triangles: Ints32, vertices_mm: Floats) -> NDArray[np.int64]:
    """Vertices of edges that pass through a triangle, and of that triangle."""
    mesh = Mesh(vertices_mm, triangles)
    edges, through = self_intersections(mesh)
    return np.unique(np.r_[mesh.edges[edges].ravel(), mesh.triangles[through].ravel()]).astype(np.int64)
