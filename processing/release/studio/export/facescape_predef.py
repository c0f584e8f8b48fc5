"""FaceScape's `predef/` for the topologies of a release, under its own names: landmarks, face mask, symmetry.

FaceScape's notebooks find landmarks and mirrored vertices by indices into its own topology and the face by a mask in
its own UVs. On another topology they point anywhere. These files take their place, so that `demo_landmark`,
`demo_mask` and `demo_symmetry` of zhuhao-nju/facescape show the right thing on meshes of this release.

predef/landmark_indices.npz     'v10' and 'v16': (68,) vertices, nearest to the Multi-PIE landmarks
predef/landmark_indices.txt     the same as text, one a line
predef/facial_mask_v10.png      white where the face is, in the UVs; facial_mask_v16.png is the same
predef/sym_dict.npy             (V,) the vertex on the other side; sym_dict_old.npy: -1 where there is none within 3 mm
"""

import io
from pathlib import Path

import numpy as np

from common.array_types import Ints64
from common.files.atomic_write import atomic_write
from processing.files.image_files import write_image
from processing.release.formats.released_files import PREDEF
from processing.release.studio.export.topology_files import landmark_vertices
from processing.template.face_mask import face_vertices, mirrored, uv_mask
from processing.template.template import Template

MIRROR_MM = 3.0


def write_predef(folder: Path, template: Template, at: str = PREDEF) -> list[str]:
    """Write the files under `folder`/`at`; their paths in the release."""
    target = folder / at
    target.mkdir(parents=True, exist_ok=True)
    vertices = landmark_vertices(template).astype(np.int64)
    _write_arrays(target / "landmark_indices.npz", {"v10": vertices, "v16": vertices})
    (target / "landmark_indices.txt").write_text("".join(f"{vertex}\n" for vertex in vertices), encoding="ascii")
    mask = uv_mask(template.mesh, face_vertices(template))
    for version in ("v10", "v16"):
        write_image(target / f"facial_mask_{version}.png", mask)
    other, distance_mm = mirrored(template)
    _write_array(target / "sym_dict.npy", other)
    _write_array(target / "sym_dict_old.npy", np.where(distance_mm <= MIRROR_MM, other, -1))
    return sorted(f"{at}/{path.name}" for path in target.iterdir() if path.is_file())


def _write_array(path: Path, values: Ints64) -> None:
    out = io.BytesIO()
    np.save(out, values.astype(np.int64), allow_pickle=False)
    with atomic_write(path) as temporary:
        temporary.write_bytes(out.getvalue())


def _write_arrays(path: Path, arrays: dict[str, Ints64]) -> None:
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
