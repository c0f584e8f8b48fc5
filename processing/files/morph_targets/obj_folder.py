"""OBJ folder: a face as a folder of meshes, neutral and one an expression, with one material and texture.

All have the same vertices in the same order. Lengths are millimetres; the rights stand first in every file.
"""

from pathlib import Path

from common.array_types import Floats32
from common.files.atomic_write import atomic_write
from processing.files.morph_targets.morph_target_model import MorphTargetModel


def write_obj_folder(path: Path, model: MorphTargetModel) -> None:
    """`path`/neutral.obj, <target>.obj, with a texture face.mtl and face.jpg; each whole or not at all."""
    path.mkdir(parents=True, exist_ok=True)
    head = "# Millimetres, right-handed, y up, z out of the face.\n"
    if model.rights is not None:
        head += f"# {model.rights.notice}\n"
    if model.texture is not None:
        with atomic_write(path / "face.jpg") as temporary:
            temporary.write_bytes(model.texture)
        _write(path / "face.mtl", head + "newmtl face\nKd 1 1 1\nmap_Kd face.jpg\n")
        head += "mtllib face.mtl\n"
    uvs = "".join(f"vt {u:.6f} {v:.6f}\n" for u, v in model.topology.uvs.tolist())
    corners = zip((model.topology.triangles + 1).tolist(), (model.topology.uv_triangles + 1).tolist(), strict=True)
    faces = "".join(f"f {a}/{i} {b}/{j} {c}/{k}\n" for (a, b, c), (i, j, k) in corners)
    if model.texture is not None:
        faces = "usemtl face\n" + faces
    for name, vertices in {"neutral": model.neutral, **model.targets}.items():
        _write(path / f"{name}.obj", head + _lines(vertices) + uvs + faces)


def _lines(vertices: Floats32) -> str:
    return "v %.4f %.4f %.4f\n" * len(vertices) % tuple(vertices.ravel().tolist())


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
