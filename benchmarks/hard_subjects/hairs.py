"""Hairs as thin ribbons over a head: stubble, beards, hair; real surfaces, so that they hide what they hide."""

from dataclasses import dataclass

import numpy as np

from common.array_types import Floats, Floats32
from hard_subjects.heads import Head
from processing.geometry.mesh import Mesh, Surface


@dataclass(frozen=True)
class Growth:
    """How hairs grow. mm."""

    count: int
    length: tuple[float, float]
    width: float
    #: How far the hairs rise over the skin at most.
    height: float
    segments: int
    #: Where they are combed to, in the head frame; its part along the skin counts.
    towards: tuple[float, float, float]
    #: How much each hair's way differs from the comb's.
    unruly: float = 0.3
    colour: tuple[float, float, float] = (0.035, 0.022, 0.015)


def grown(head: Head, density: Floats32, growth: Growth, rng: np.random.Generator) -> tuple[Mesh, Floats32]:
    """Ribbons that root where density (V,) in 0..1 says; and (n, 3) linear RGB of their vertices."""
    mesh = head.mesh
    surface = Surface(mesh)
    triangles = np.flatnonzero(density[mesh.triangles].min(axis=1) > 0)
    weight = density[mesh.triangles[triangles]].mean(axis=1)
    weight = weight * np.linalg.norm(mesh.triangle_cross[triangles], axis=1)
    picked = triangles[rng.choice(len(triangles), growth.count, p=weight / weight.sum())]
    corners = rng.dirichlet((1, 1, 1), growth.count)
    root = np.einsum("nk,nkd->nd", corners, mesh.vertices_mm[mesh.triangles[picked]])
    comb = np.array(growth.towards, float) + growth.unruly * rng.standard_normal((growth.count, 3))
    step = rng.uniform(*growth.length, growth.count) / growth.segments
    rise = growth.height * rng.uniform(0.15, 1.0, growth.count)
    points, normals, at = [root], [mesh.triangle_normals[picked]], root
    for k in range(1, growth.segments + 1):
        way = comb - (comb * normals[-1]).sum(1, keepdims=True) * normals[-1]
        way += growth.unruly * 0.3 * rng.standard_normal(way.shape)
        way /= np.linalg.norm(way, axis=1, keepdims=True).clip(1e-9)
        on = surface.closest(at + way * step[:, None])
        normals.append(mesh.triangle_normals[on.triangle])
        lift = rise * np.sin(np.pi / 2 * min(1.0, 1.5 * k / growth.segments))
        at = on.points_mm + normals[-1] * lift[:, None]
        points.append(at)
    shade = np.array(growth.colour) * np.exp(0.35 * rng.standard_normal((growth.count, 1)))
    return _ribbons(np.stack(points, 1), np.stack(normals, 1), growth.width, shade, rng)


def _ribbons(
    points: Floats, normals: Floats, width: float, shade: Floats, rng: np.random.Generator
) -> tuple[Mesh, Floats32]:
    """Ribbons along (n, k, 3) points, narrower towards their ends, turned a little about themselves."""
    count, length, _ = points.shape
    along = np.gradient(points, axis=1)
    across = np.cross(along, normals + 0.6 * rng.standard_normal((count, 1, 3)))
    across /= np.linalg.norm(across, axis=2, keepdims=True).clip(1e-9)
    taper = np.linspace(1, 0.4, length)[None, :, None]
    sides = np.stack([points - across * taper * width / 2, points + across * taper * width / 2], axis=2)
    first = (np.arange(count) * 2 * length)[:, None] + 2 * np.arange(length - 1)
    a, b, c, d = first, first + 1, first + 3, first + 2
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    return Mesh(sides.reshape(-1, 3), triangles.astype(np.int32)), np.repeat(shade, 2 * length, 0).astype(np.float32)


def scalp(head: Head, hairline_mm: float = 95.0) -> Floats32:
    """(V,) 0..1: above the forehead, behind the temples, round the ears, down to the nape."""
    _, y, z = head.average_mm.T
    uneven = 4 * head.noise(head.average_mm, 7.0, 21.0)
    top = (y + uneven - hairline_mm + 0.5 * np.clip(40 - z, 0, 90)) / 6
    back = np.minimum((-z - 22 + uneven) / 6, (y + 60) / 8)
    return np.asarray(np.where(head.skin, np.clip(np.maximum(top, back), 0, 1), 0), np.float32)


def jaw(head: Head) -> Floats32:
    """(V,) 0..1: where a beard grows: cheeks' lower half, chin, upper lip, throat; not the lips."""
    p = head.average_mm
    x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
    marks = head.landmarks_mm
    uneven = 3 * head.noise(p, 8.0, 22.0)
    # the line from the nose's base, along the moustache, under the cheeks, up to the sideburns before the ears
    upper = marks[33, 1] - 3 + 0.012 * x**2 - 40 * np.exp(-((x - 39) ** 2) / 110) * (y > marks[48, 1])
    below = np.clip((upper - y + uneven) / 6, 0, 1) * np.clip((y + 125) / 12, 0, 1) * np.clip((70 - x) / 4, 0, 1)
    lips = np.minimum(head.near(marks[[*range(48, 60), 48]]), head.near(marks[[*range(60, 68), 60]]))
    mouth = (np.abs(y - marks[62:67, 1].mean()) < 6) & (x < 24)
    bare = np.where((lips < 3) | mouth, 0, 1)
    return np.asarray(np.where(head.skin & (z > -15), below * bare, 0), np.float32)
