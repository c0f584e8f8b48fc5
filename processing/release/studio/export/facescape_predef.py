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

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from common.array_types import Floats, Ints64
from common.files.atomic_write import atomic_write
from processing.files.image_files import write_image
from processing.release.formats.errors import ReleaseError
from processing.release.formats.released_files import PREDEF
from processing.release.studio.export.topology_files import landmark_vertices
from processing.template.face_regions import face_regions
from processing.template.template import Template

MASK_PX = 1024
MIRROR_MM = 3.0
_FACE = ("brow", "eye", "nose", "mouth", "chin", "cheek")
_MIDLINE = (8, 27, 28, 29, 30, 33, 51, 57, 62, 66)  # landmarks that lie between left and right


def write_predef(folder: Path, template: Template, at: str = PREDEF) -> list[str]:
    """Write the files under `folder`/`at`; their paths in the release."""
    target = folder / at
    target.mkdir(parents=True, exist_ok=True)
    vertices = landmark_vertices(template).astype(np.int64)
    _write_arrays(target / "landmark_indices.npz", {"v10": vertices, "v16": vertices})
    (target / "landmark_indices.txt").write_text("".join(f"{vertex}\n" for vertex in vertices), encoding="ascii")
    mask = facial_mask(template)
    for version in ("v10", "v16"):
        write_image(target / f"facial_mask_{version}.png", mask)
    other, distance_mm = mirrored(template)
    _write_array(target / "sym_dict.npy", other)
    _write_array(target / "sym_dict_old.npy", np.where(distance_mm <= MIRROR_MM, other, -1))
    return sorted(f"{at}/{path.name}" for path in target.iterdir() if path.is_file())


def mirrored(template: Template) -> tuple[Ints64, Floats]:
    """(V,) the vertex nearest to where each one lies in a mirror, on the neutral face, and (V,) how far off it is, mm.

    The mirror stands at the mean x of the landmarks on the midline.
    """
    vertices = template.mesh.vertices_mm
    middle = float(template.landmark_points(vertices)[list(_MIDLINE), 0].mean())
    reflected = vertices * [-1.0, 1.0, 1.0] + [2 * middle, 0.0, 0.0]
    # Parts look alike but lie close to one another: an eye's mirror is the other eye, not the lid before it.
    other = np.zeros(len(vertices), dtype=np.int64)
    distance = np.zeros(len(vertices))
    for part in np.unique(template.parts):
        mine = np.flatnonzero(template.parts == part)
        distance[mine], nearest = cKDTree(vertices[mine]).query(reflected[mine])
        other[mine] = mine[nearest]
    return other, distance


def facial_mask(template: Template, size_px: int = MASK_PX) -> NDArray[np.uint8]:
    """(S, S, 3) white where the face is, black elsewhere; row 0 is v = 1, as in the textures.

    The face: brows, eyes, nose, mouth, chin, cheeks, and what they enclose. Raises ReleaseError without UVs.
    """
    mesh = template.mesh
    if mesh.uvs is None or mesh.uv_triangles is None:
        raise ReleaseError(f"template {template.name} has no UVs: it can have no mask")
    regions = face_regions(template)
    face = np.any([regions[name] for name in _FACE], axis=0)
    front = template.landmark_points(mesh.vertices_mm)
    # Forehead and temples up to a brow's height above the brows; eyes and the mouth's inside by their parts.
    low, high = front[8, 1], front[17:27, 1].max() + 0.6 * (front[27, 1] - front[33, 1])
    sides = np.abs(mesh.vertices_mm[:, 0] - front[27, 0]) < 0.5 * (front[16, 0] - front[0, 0])
    before = mesh.vertices_mm[:, 2] > front[[0, 16], 2].mean()
    between = (mesh.vertices_mm[:, 1] > low) & (mesh.vertices_mm[:, 1] < high) & sides & before
    inside = face | between
    corners = inside[mesh.triangles].all(axis=1)
    mask = np.zeros((size_px, size_px, 3), dtype=np.uint8)
    places = mesh.uvs * [size_px, -size_px] + [-0.5, size_px - 0.5]
    polygons = np.rint(places[mesh.uv_triangles[corners]] * 256).astype(np.int32)
    for polygon in polygons:
        cv2.fillConvexPoly(mask, polygon, (255, 255, 255), cv2.LINE_8, 8)
    # The slit of the mouth belongs to the face.
    outlines, _ = cv2.findContours(mask[..., 0].copy(), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(mask, outlines, -1, (255, 255, 255), cv2.FILLED)
    return mask


def _write_array(path: Path, values: Ints64) -> None:
    out = io.BytesIO()
    np.save(out, values.astype(np.int64), allow_pickle=False)
    with atomic_write(path) as temporary:
        temporary.write_bytes(out.getvalue())


def _write_arrays(path: Path, arrays: dict[str, Ints64]) -> None:
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
