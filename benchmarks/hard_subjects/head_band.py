"""A head band made for a head: cloth two to three millimetres over the skin, knitted in ribs."""

import numpy as np

from common.array_types import Bools, Floats32
from hard_subjects.heads import Head
from processing.geometry.mesh import Mesh, submesh


def made_for(head: Head, rng: np.random.Generator) -> tuple[Mesh, Floats32, Bools]:
    """The cloth, the colours of its vertices (linear RGB), and which of the head's vertices (V,) it covers."""
    p = head.average_mm
    height, wide = rng.uniform(78, 90), rng.uniform(38, 55)
    along = p[:, 1] - height + 0.45 * (60 - p[:, 2])  # the band falls towards the nape
    within = head.skin & (np.abs(along) < wide / 2) & (p[:, 1] > -20)
    edge = np.clip((wide / 2 - np.abs(along)) / 2.0, 0, 1)
    ribs = 0.35 * np.sin(2 * np.pi * along / 2.4)
    raised = head.mesh.vertices_mm + head.mesh.vertex_normals * (edge * (2.4 + ribs))[:, None]
    cloth, used = submesh(head.mesh.with_vertices(raised), within[head.mesh.triangles].all(axis=1))
    base = np.array([(0.02, 0.02, 0.025), (0.5, 0.5, 0.5), (0.05, 0.09, 0.25)][rng.integers(3)])
    shade = base * np.exp(0.15 * head.noise(p[used], 0.7, 51.0) + 0.25 * np.sin(2 * np.pi * along[used] / 2.4))[:, None]
    return cloth, shade.astype(np.float32), within
