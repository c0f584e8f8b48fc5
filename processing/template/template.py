"""The template: the one topology that every scan is brought into, with its landmarks, weights and expressions."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats, Ints32
from common.bounded.files import read_text
from common.bounded.json_toml import parse_json
from common.bounded.npz_files import read_npz
from processing.errors import DataError, ShapeError
from processing.files.obj import atomic_write
from processing.geometry.mesh import Mesh, Surface

# Part of each vertex; the numbers are those of face_models.anny_head.
SKIN, EYE, MOUTH_INTERIOR = 0, 1, 2
PART_NAMES = ("skin", "eye", "mouth_interior")
# Counts up when the built-in template's topology, UVs or landmarks change: a new one is then built and cached.
BUILTIN_VERSION = 4
FORMAT = 1
MAX_LANDMARK_BYTES = 1_000_000


class TemplateError(DataError):
    """A template file cannot be used."""


@dataclass(frozen=True, eq=False)
class Template:
    """A head in the head frame (mm, y up, z out of the face) that scans are registered to.

    mesh: V vertices and T triangles, neutral, with UVs in the unit square.
    parts: (V,) SKIN, EYE (the surface between the lids), MOUTH_INTERIOR.
    weights: (V,) 0..1, how much a vertex is drawn to the scan.  boundary: (V,) True on the mesh's rim.
    landmark_triangles (68,), landmark_barycentric (68, 3): the Multi-PIE landmarks, fixed on the surface.
    expressions: name -> (V, 3) mm, the template performing it ("neutral" is the mesh itself).
    """

    name: str
    version: int
    mesh: Mesh
    parts: NDArray[np.int8]
    weights: Floats
    boundary: NDArray[np.bool_]
    landmark_triangles: Ints32
    landmark_barycentric: Floats
    expressions: Mapping[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.mesh.vertices_mm)
        wanted: dict[str, tuple[int, ...]] = {
            "parts": (count,), "weights": (count,), "boundary": (count,),
            "landmark_triangles": (68,), "landmark_barycentric": (68, 3),
        }  # fmt: skip
        for key, shape in wanted.items():
            array = getattr(self, key)
            if array.shape != shape:
                raise ShapeError(f"template {self.name}: {key}", array.shape, str(shape))
        for expression, vertices in self.expressions.items():
            if vertices.shape != (count, 3):
                raise ShapeError(f"template {self.name}: expression {expression}", vertices.shape, f"({count}, 3)")
        if self.landmark_triangles.min() < 0 or self.landmark_triangles.max() >= len(self.mesh.triangles):
            raise TemplateError(f"template {self.name}: a landmark lies on a triangle that is not there")

    def landmark_points(self, vertices_mm: Floats) -> Floats:
        """(V, 3) vertices of this topology -> the (68, 3) landmarks on them, Multi-PIE order."""
        if vertices_mm.shape != self.mesh.vertices_mm.shape:
            raise ShapeError("vertices_mm", vertices_mm.shape, str(self.mesh.vertices_mm.shape))
        corners = vertices_mm[self.mesh.triangles[self.landmark_triangles]]
        return np.asarray(np.einsum("nk,nkd->nd", self.landmark_barycentric, corners))

    def expression(self, name: str) -> Floats:
        """(V, 3) mm of an expression; the neutral one where the template does not know the name."""
        return self.expressions.get(name, self.mesh.vertices_mm)

    def save(self, path: Path) -> None:
        """One .npz file, whole or not at all."""
        mesh = self.mesh
        arrays: dict[str, NDArray[np.generic]] = {
            "vertices_mm": mesh.vertices_mm.astype(np.float32),
            "triangles": mesh.triangles,
            "parts": self.parts,
            "weights": self.weights.astype(np.float32),
            "landmark_triangles": self.landmark_triangles,
            "landmark_barycentric": self.landmark_barycentric,
            "expressions": np.array(
                [v.astype(np.float32) - mesh.vertices_mm.astype(np.float32) for v in self.expressions.values()],
                dtype=np.float32,
            ).reshape(len(self.expressions), len(mesh.vertices_mm), 3),
        }
        if mesh.uvs is not None and mesh.uv_triangles is not None:
            arrays |= {"uvs": mesh.uvs, "uv_triangles": mesh.uv_triangles}
        head = {"format": FORMAT, "name": self.name, "version": self.version, "expressions": list(self.expressions)}
        with atomic_write(Path(path)) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, head=np.array(json.dumps(head)), **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> "Template":
        """What `save` wrote. Raises TemplateError."""
        path = Path(path)
        try:
            arrays = read_npz(path)
            head = parse_json(str(arrays["head"]))
            if head["format"] != FORMAT:
                raise TemplateError(f"{path} is a template of format {head['format']}; this Mien reads {FORMAT}")
            vertices = arrays["vertices_mm"].astype(np.float64)
            mesh = Mesh(vertices, arrays["triangles"], arrays.get("uvs"), arrays.get("uv_triangles"))
            moved = arrays["expressions"].astype(np.float64)
            expressions = {str(n): vertices + d for n, d in zip(head["expressions"], moved, strict=True)}
            return cls(
                name=str(head["name"]),
                version=int(head["version"]),
                mesh=mesh,
                parts=arrays["parts"],
                weights=arrays["weights"].astype(np.float64),
                boundary=mesh.boundary_vertices,
                landmark_triangles=arrays["landmark_triangles"],
                landmark_barycentric=arrays["landmark_barycentric"],
                expressions=expressions,
            )
        except OSError as error:
            raise TemplateError(f"{path} cannot be read: {error.strerror or error}") from None
        except (KeyError, ValueError, TypeError, IndexError, OverflowError) as error:
            raise TemplateError(f"{path} is no template ({error}); make one with `mien template build`") from None


def from_mesh(
    name: str,
    mesh: Mesh,
    landmark_triangles: Ints32,
    landmark_barycentric: Floats,
    *,
    parts: NDArray[np.int8] | None = None,
    expressions: Mapping[str, Floats] | None = None,
    version: int = 1,
) -> Template:
    """A template with the usual weights: skin 1, eyes 0.2, the mouth's inside 0.02, the open rim 0.2."""
    if parts is None:
        parts = np.zeros(len(mesh.vertices_mm), np.int8)
    weights = np.select([parts == SKIN, parts == EYE], [1.0, 0.2], 0.02)
    rim = mesh.boundary_vertices
    weights[rim] = np.minimum(weights[rim], 0.2)
    return Template(
        name, version, mesh, parts, weights, rim, landmark_triangles, landmark_barycentric, dict(expressions or {})
    )


def place_landmarks(mesh: Mesh, points_mm: Floats, allowed: NDArray[np.bool_] | None = None) -> tuple[Ints32, Floats]:
    """The nearest surface point of each of (68, 3): triangles (68,) and barycentric (68, 3).

    allowed: (T,) triangles that may carry a landmark.
    """
    which = np.arange(len(mesh.triangles)) if allowed is None else np.flatnonzero(allowed)
    closest = Surface(Mesh(mesh.vertices_mm, mesh.triangles[which])).closest(points_mm)
    barycentric = closest.barycentric.clip(0, 1)
    return which[closest.triangle].astype(np.int32), barycentric / barycentric.sum(1, keepdims=True)


def read_landmark_file(path: Path, mesh: Mesh) -> Floats:
    """68 vertex numbers or 68 points (text or JSON) as (68, 3) mm. Raises TemplateError."""
    try:
        text = read_text(path, MAX_LANDMARK_BYTES)
        listed = parse_json(text) if text.lstrip().startswith("[") else text.split()
        values = np.array(listed, dtype=np.float64).ravel()
    except OSError as error:
        raise TemplateError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise TemplateError(f"{path} holds no landmarks ({error}); wanted 68 vertex numbers or 68 rows x y z") from None
    if not np.isfinite(values).all():
        raise TemplateError(f"{path} holds a number that is not finite")
    if values.size == 204:
        return values.reshape(68, 3)
    if values.size != 68:
        raise TemplateError(f"{path} holds {values.size} numbers; wanted 68 vertex numbers or 68 rows x y z")
    numbers = values.astype(np.int64)
    if (numbers != values).any() or numbers.min() < 0 or numbers.max() >= len(mesh.vertices_mm):
        raise TemplateError(f"{path}: vertex numbers must be whole and in 0..{len(mesh.vertices_mm) - 1}")
    return mesh.vertices_mm[numbers]


def cache_path() -> Path:
    """Where the built-in template is kept: MIEN_CACHE or the user's cache folder."""
    from platformdirs import user_cache_path

    folder = os.environ.get("MIEN_CACHE")
    return (Path(folder) if folder else user_cache_path("mien")) / f"template-anny-{BUILTIN_VERSION}.npz"


@lru_cache(maxsize=1)
def default_template() -> Template:
    """The built-in template of the anny head: built once for a user, then read from the cache."""
    path = cache_path()
    if path.is_file():
        try:
            template = Template.load(path)
            if template.version == BUILTIN_VERSION:
                return template
        except DataError:
            path.unlink(missing_ok=True)
    from processing.template.builtin_template import build_template

    template = build_template()
    template.save(path)
    return Template.load(path)
