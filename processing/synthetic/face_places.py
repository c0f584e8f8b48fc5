"""Where each texel of a template's map lies on the average head: what paint and skin's detail are laid on."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from common.array_types import Bools, Floats, Floats32
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.procrustes import fit_motion
from processing.geometry.uv_rasterization import Texels, texels_of
from processing.template.anny_head import load_head
from processing.template.builtin_template import default_template, template_topology
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN, Labels, Template

_MASKS = ("lips", "ears", "eyelids", "face")
FAR_MM = 20.0
_KNOWN_NEAR_MM = 0.5  # a template that lies so near to the built-in one shares its frame


@dataclass(frozen=True, eq=False)
class FacePlaces:
    """N places of a face, in the coordinates of the average anny head."""

    texels: Texels  # of the template's map
    average_mm: Floats32  # (N, 3)
    parts: Labels  # (N,) SKIN, EYE, MOUTH_INTERIOR
    masks: dict[str, Floats32]  # "lips", "ears", "eyelids", "face" -> (N,) in 0..1
    lash: Floats32  # (N,) mm from the nearest place of an eye, at most FAR_MM; of what is no skin FAR_MM
    lining: Floats32  # (N,) the same of the mouth's inside
    mouth_mm: float  # y of the line between the lips

    @property
    def size_px(self) -> int:
        return self.texels.size_px

    @property
    def left(self) -> Bools:
        """(N,) on the subject's left."""
        return np.asarray(self.average_mm[:, 0] > 0)


@lru_cache(maxsize=3)
def face_places(template: Template, size_px: int) -> FacePlaces:
    """The texels of a template's map, and what each shows.

    A template of another topology than the built-in one's is brought to it by the 68 landmarks, and each of its places
    takes the nearest of the same part.  Raises MeshError for a template without UVs.
    """
    texels = texels_of(template.mesh, size_px)
    own = template.mesh.triangles[texels.triangle]
    share = [((template.parts[own] == part) * texels.barycentric).sum(axis=1) for part in (SKIN, EYE, MOUTH_INTERIOR)]
    parts = np.argmax(share, axis=0).astype(np.int8)
    builtin, topology, head = default_template(), template_topology(), load_head()
    masks = {k: topology.refinement(head.masks[k][topology.control]).clip(0, 1).astype(np.float32) for k in _MASKS}
    if template is builtin:
        average = texels.interpolate(template.mesh, template.mesh.vertices_mm)
        at = {name: texels.interpolate(template.mesh, mask) for name, mask in masks.items()}
    else:
        vertices = _on_builtin(template, builtin)
        average = texels.interpolate(template.mesh, vertices)
        corners, weight = _nearest(builtin, average, parts)
        at = {name: np.einsum("nk,nk->n", weight, mask[corners]).astype(np.float32) for name, mask in masks.items()}
        average = np.einsum("nk,nkd->nd", weight, builtin.mesh.vertices_mm[corners]).astype(np.float32)
    lash, lining = (_away(builtin, average, parts, part) for part in (EYE, MOUTH_INTERIOR))
    line = float(builtin.landmark_points(builtin.mesh.vertices_mm)[[62, 66], 1].mean())
    return FacePlaces(texels, average, parts, at, lash, lining, line)


def _on_builtin(template: Template, builtin: Template) -> Floats:
    """(V, 3) the template's vertices where they lie on the built-in one."""
    mine = template.landmark_points(template.mesh.vertices_mm)
    theirs = builtin.landmark_points(builtin.mesh.vertices_mm)
    if np.linalg.norm(mine - theirs, axis=1).mean() < _KNOWN_NEAR_MM:
        return template.mesh.vertices_mm
    from scipy.interpolate import RBFInterpolator

    moved = fit_motion(mine, theirs)
    there = moved(mine)
    warp = RBFInterpolator(there, theirs - there, kernel="linear", smoothing=1.0, degree=1)
    vertices = moved(template.mesh.vertices_mm)
    return np.asarray(vertices + warp(vertices))


def _nearest(builtin: Template, points_mm: Floats32, parts: Labels) -> tuple[np.ndarray, Floats]:
    """Corners (N, 3) and barycentric coordinates of the built-in template's nearest places of the same part."""
    mesh = builtin.mesh
    corners = np.zeros((len(points_mm), 3), dtype=np.int64)
    weight = np.zeros((len(points_mm), 3))
    for part in np.unique(parts):
        here = np.flatnonzero(parts == part)
        some = mesh.triangles[(builtin.parts[mesh.triangles] == part).any(axis=1)]
        found = Surface(Mesh(mesh.vertices_mm, some)).closest(points_mm[here].astype(np.float64))
        corners[here], weight[here] = some[found.triangle], found.barycentric.clip(0, 1)
    return corners, weight / weight.sum(axis=1, keepdims=True)


def _away(builtin: Template, average_mm: Floats32, parts: Labels, part: int) -> Floats32:
    """(N,) mm from the nearest place of a part; FAR_MM farther off, and of what is no skin."""
    mesh = builtin.mesh
    there = Mesh(mesh.vertices_mm, mesh.triangles[(builtin.parts[mesh.triangles] == part).all(axis=1)])
    corners = there.vertices_mm[there.triangles].reshape(-1, 3)
    inside = ((average_mm > corners.min(axis=0) - FAR_MM) & (average_mm < corners.max(axis=0) + FAR_MM)).all(axis=1)
    near = np.flatnonzero(inside & (parts == SKIN))
    out = np.full(len(average_mm), FAR_MM, dtype=np.float32)
    out[near] = Surface(there).closest(average_mm[near].astype(np.float64)).distance_mm.clip(0, FAR_MM)
    return out
