"""Templates and their landmarks in files: one .npz a template; 68 vertex numbers or points as text or JSON."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.array_types import Floats
from common.bounded.files import read_text
from common.bounded.json_toml import parse_json
from common.bounded.npz_files import read_npz
from common.files.atomic_write import atomic_write
from processing.geometry.mesh import Mesh
from processing.template.template import Template, TemplateError

FORMAT = 1
MAX_LANDMARK_BYTES = 1_000_000


def write_template(path: Path, template: Template) -> None:
    """One .npz file, whole or not at all."""
    mesh = template.mesh
    arrays: dict[str, NDArray[np.generic]] = {
        "vertices_mm": mesh.vertices_mm.astype(np.float32),
        "triangles": mesh.triangles,
        "parts": template.parts,
        "weights": template.weights.astype(np.float32),
        "landmark_triangles": template.landmark_triangles,
        "landmark_barycentric": template.landmark_barycentric,
        "expressions": np.array(
            [v.astype(np.float32) - mesh.vertices_mm.astype(np.float32) for v in template.expressions.values()],
            dtype=np.float32,
        ).reshape(len(template.expressions), len(mesh.vertices_mm), 3),
    }
    if mesh.uvs is not None and mesh.uv_triangles is not None:
        arrays |= {"uvs": mesh.uvs, "uv_triangles": mesh.uv_triangles}
    head = {
        "format": FORMAT,
        "name": template.name,
        "version": template.version,
        "expressions": list(template.expressions),
    }
    with atomic_write(Path(path)) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, head=np.array(json.dumps(head)), **arrays)  # type: ignore[arg-type]


def read_template(path: Path) -> Template:
    """What `write_template` wrote. Raises TemplateError."""
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
        return Template(
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
