"""What of a head may touch, and how deep it is in each other: lips, lids, eyes, and what lies in the mouth.

Two parts that may touch are a contact: vertices of the one against the surface of the other.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components, dijkstra

from common.array_types import Bools, Floats, Ints32
from processing.geometry.cameras import direction_of
from processing.geometry.mesh import Mesh, Surface, submesh
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN, Labels

KINDS = ("lips", "lids", "eyes", "mouth_interior")
FACE_WIDTH_MM = 90.0  # between the outer corners of the eyes: lengths below are for a face of this width
LIP_MM, LID_MM = 15.0, 10.0  # along the surface from its landmarks, what belongs to a lip or lid
VERMILION_MM = 6.0  # from where lips meet: it rolls in and out, and has no constant outer side
MOUTH_MM = 45.0  # around the lips, what may lie in their way
DEEPEST_MM = 8.0  # a part is no thicker: what seems deeper is not inside
ALIKE = 0.8  # cosine between two sides above which they face alike
STILL_OUTER = 0.3  # cosine to how it faces at rest above which a side is the outer one
RIM_SHARE = 0.999  # of a closest point's weight on an open edge: it lies on the edge, and no side can be told
_UPPER_LIP, _LOWER_LIP = (*range(49, 54), 61, 62, 63), (*range(55, 60), 65, 66, 67)
_LIDS = (((37, 38), (40, 41)), ((43, 44), (46, 47)))
EYES = (tuple(range(36, 42)), tuple(range(42, 48)))
_VIEWS_DEG = [(az, el) for el in (-40, -15, 10, 35) for az in (-70, -45, -20, 0, 20, 45, 70)]


@dataclass(frozen=True, eq=False)
class Patch:
    """Part of a head's surface."""

    vertices: Ints32  # (m,) of the head
    triangles: Ints32  # (t, 3) into `vertices`
    rim: Bools  # (m,) on its open edge
    rest_normals: Floats  # (m, 3)

    def of(self, vertices_mm: Floats) -> Mesh:
        """The patch of a posed head (V, 3)."""
        return Mesh(vertices_mm[self.vertices], self.triangles)


@dataclass(frozen=True, eq=False)
class Contact:
    """Vertices of one part that must not be on the wrong side of another one's surface."""

    kind: str  # of KINDS
    vertices: Ints32  # (n,)
    sheet: Patch  # the other part
    give: float  # share of a way apart that `vertices` go; the sheet goes the rest
    #: The vertices' own surface, and their (n,) places in it: the parts touch with sides that face each other, and what
    #: faces alike lies beside. None: whatever they face.
    own: Patch | None = None
    own_places: Ints32 | None = None
    behind: bool = False  # they belong behind the sheet, not before it
    #: The sheet lies around a centre, which is so far from the middle of its rim, (3,); None: it does not.
    centre_mm: Floats | None = None
    #: (3,) added to the unit way out: parts that are rolled into each other know no other way.
    away: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def depths(self, vertices_mm: Floats, away: float = 1.0) -> "Depths":
        """How deep each of the contact's vertices (V, 3) lies on the wrong side of the sheet's surface.

        away: how strongly the way out is turned to where the part belongs.
        """
        mesh, rim = self.sheet.of(vertices_mm), self.sheet.rim
        points = vertices_mm[self.vertices]
        found = Surface(mesh).closest(points)
        corners = mesh.triangles[found.triangle]
        normals = _unit(np.einsum("nk,nkd->nd", found.barycentric, mesh.vertex_normals[corners]))
        counted = (found.barycentric * rim[corners]).sum(axis=1) < RIM_SHARE
        if self.behind:  # what has rolled in is no outer side any more
            rest = np.einsum("nk,nkd->nd", found.barycentric, self.sheet.rest_normals[corners])
            counted &= (rest * normals).sum(axis=1) > STILL_OUTER
            normals = -normals
        if self.own is not None:
            facing = self.own.of(vertices_mm).vertex_normals[self.own_places]
            counted &= (facing * normals).sum(axis=1) < ALIKE
        if self.centre_mm is not None:  # a sheet between lids that have passed each other is turned over
            middle = mesh.vertices_mm[rim] if rim.any() else mesh.vertices_mm
            out = found.points_mm - (middle.mean(axis=0) + self.centre_mm)
            normals = normals * np.sign((normals * out).sum(axis=1, keepdims=True))
        counted &= ((found.points_mm - points) * normals).sum(axis=1) > 0
        counted &= found.distance_mm < DEEPEST_MM
        depth = np.where(counted, found.distance_mm, 0.0)
        return Depths(
            depth, _unit(normals + away * np.array(self.away)), self.sheet.vertices[corners], found.barycentric
        )


@dataclass(frozen=True, eq=False)
class Depths:
    """Of a contact's vertices (n,), how deep each is and where the way out is."""

    depth_mm: Floats  # (n,) 0 outside
    outwards: Floats  # (n, 3) unit
    corners: Ints32  # (n, 3) vertices of the triangle above it
    barycentric: Floats  # (n, 3)


def part_contacts(mesh: Mesh, parts: Labels, landmarks_mm: Floats) -> tuple[Contact, ...]:
    """What may touch on a head at rest. parts: (V,) as a template's; landmarks_mm: (68, 3) Multi-PIE, on it.

    A head without eyes or without a mouth's inside has no such contacts.
    """
    unit = float(np.linalg.norm(landmarks_mm[45] - landmarks_mm[36])) / FACE_WIDTH_MM
    graph = _lengths(mesh)
    contacts: list[Contact] = []
    lips = _sides(mesh, graph, landmarks_mm, (_UPPER_LIP, _LOWER_LIP), LIP_MM * unit)
    contacts += _touching("lips", mesh, *lips, away=1.0)
    open_graph = _without(graph, parts == EYE)
    for eye, lids in zip(EYES, _LIDS, strict=True):
        upper, lower = _sides(mesh, open_graph, landmarks_mm, lids, LID_MM * unit)
        skin = parts == SKIN
        contacts += _touching("lids", mesh, upper & skin, lower & skin, away=0.5)
        surface, loose = eye_surface(mesh, parts, landmarks_mm[list(eye)])
        ball = _patch(mesh, surface)
        if ball is not None:
            points = mesh.vertices_mm[ball.vertices]
            middle = points[ball.rim] if ball.rim.any() else points
            centre = sphere_centre(points) - middle.mean(axis=0)
            lid = np.flatnonzero((upper | lower) & skin).astype(np.int32)
            # Lids go before an eyeball; a sheet that stands in for one goes behind them.
            contacts.append(Contact("eyes", lid, ball, float(loose), centre_mm=centre))
    around = np.linalg.norm(mesh.vertices_mm - landmarks_mm[48:].mean(axis=0), axis=1) < MOUTH_MM * unit
    start = np.linalg.norm(mesh.vertices_mm[:, None] - landmarks_mm[60:68], axis=2).argmin(axis=0)
    lip = np.isfinite(dijkstra(graph, indices=np.unique(start), limit=VERMILION_MM * unit, min_only=True))
    outer = _in_sight(mesh) & (parts == SKIN) & around & ~lip
    cheeks = _patch(mesh, outer)
    inside = np.flatnonzero((parts == MOUTH_INTERIOR) & around).astype(np.int32)
    if cheeks is not None and len(inside):
        contacts.append(Contact("mouth_interior", inside, cheeks, 0.5, behind=True, away=(0.0, 0.0, -1.0)))
    return tuple(contacts)


def _touching(kind: str, mesh: Mesh, one: Bools, other: Bools, away: float) -> list[Contact]:
    """The contacts both ways of two parts (V,) that lie on each other, the one above the other."""
    first, second = _patch(mesh, one), _patch(mesh, other)
    if first is None or second is None:
        return []
    up, down = (0.0, away, 0.0), (0.0, -away, 0.0)
    return [
        Contact(
            kind,
            mine.vertices,
            sheet,
            0.5,
            own=mine,
            own_places=np.arange(len(mine.vertices), dtype=np.int32),
            away=way,
        )
        for mine, sheet, way in ((first, second, up), (second, first, down))
    ]


def _patch(mesh: Mesh, vertices: Bools) -> Patch | None:
    """The triangles between some vertices (V,); None where there are none."""
    keep: Bools = np.asarray(vertices[mesh.triangles].all(axis=1))
    if not keep.any():
        return None
    piece, used = submesh(Mesh(mesh.vertices_mm, mesh.triangles), keep)
    return Patch(used, piece.triangles, piece.boundary_vertices, mesh.vertex_normals[used])


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12))


def sphere_centre(points: Floats) -> Floats:
    """(3,) of the sphere through points (N, 3)."""
    return np.asarray(np.linalg.lstsq(np.c_[2 * points, np.ones(len(points))], (points**2).sum(1), rcond=None)[0][:3])


def _lengths(mesh: Mesh) -> sparse.csr_array:
    """(V, V) the lengths of the edges."""
    i, j = mesh.edges[:, 0], mesh.edges[:, 1]
    length = np.linalg.norm(mesh.vertices_mm[i] - mesh.vertices_mm[j], axis=1).clip(1e-6)
    count = len(mesh.vertices_mm)
    return sparse.csr_array((np.r_[length, length], (np.r_[i, j], np.r_[j, i])), shape=(count, count))


def _without(graph: sparse.csr_array, vertices: Bools) -> sparse.csr_array:
    """The same graph without the edges at some vertices."""
    keep = sparse.diags_array((~vertices).astype(np.float64))
    out = sparse.csr_array(keep @ graph @ keep)
    out.eliminate_zeros()
    return out


def _sides(
    mesh: Mesh, graph: sparse.csr_array, landmarks_mm: Floats, sides: tuple[tuple[int, ...], ...], reach_mm: float
) -> tuple[Bools, Bools]:
    """(V,) and (V,): what is nearer, along the surface, to the landmarks of the one side than to the other's."""
    far = []
    for which in sides:
        start = np.linalg.norm(mesh.vertices_mm[:, None] - landmarks_mm[list(which)], axis=2).argmin(axis=0)
        far.append(dijkstra(graph, indices=np.unique(start), limit=2 * reach_mm, min_only=True))
    one, other = far
    return (one < reach_mm) & (one < other), (other < reach_mm) & (other < one)


def eye_surface(mesh: Mesh, parts: Labels, lids_mm: Floats) -> tuple[Bools, bool]:
    """(V,) the surface of one eye, and whether it is a loose piece (an eyeball) or a sheet between the lids."""
    middle, wide = lids_mm.mean(axis=0), float(np.linalg.norm(np.ptp(lids_mm, axis=0)))
    count, piece = connected_components(mesh.adjacency(), directed=False)
    main = np.bincount(piece[mesh.triangles[:, 0]], minlength=count).argmax()
    near = (parts == EYE) & (np.linalg.norm(mesh.vertices_mm - middle, axis=1) < wide)
    loose = np.bincount(piece[near & (piece != main)], minlength=count)
    if loose.any():
        return (piece == loose.argmax()) & near, True
    return near, False


def _in_sight(mesh: Mesh) -> Bools:
    """(V,) what can be seen from before the face."""
    surface, normals = Surface(mesh), mesh.vertex_normals
    seen = np.zeros(len(mesh.vertices_mm), np.bool_)
    for view in _VIEWS_DEG:
        towards = direction_of(*view)
        front = np.flatnonzero((normals @ towards > 0.2) & ~seen)
        start = mesh.vertices_mm[front] + 0.05 * normals[front]
        distance, _, _ = surface.cast(start, np.broadcast_to(towards, start.shape))
        seen[front] |= np.isinf(distance)
    return seen


def geodesic_kernel(mesh: Mesh, parts: Labels, some: NDArray[np.integer], reach_mm: float) -> sparse.csr_array:
    """(n, n) among some vertices: exp(-d^2 / (2 reach^2)), d the way along the surface, up to three times the reach.

    Eyes and lids, where they are one surface, do not go with each other.
    """
    eye = (parts == EYE).astype(np.float64)
    lengths = _lengths(mesh)
    kept = sparse.diags_array(eye) @ lengths @ sparse.diags_array(eye)
    kept = sparse.csr_array(kept + sparse.diags_array(1 - eye) @ lengths @ sparse.diags_array(1 - eye))
    kept.eliminate_zeros()
    graph = sparse.csr_array(kept[some][:, some])
    blocks = []
    for start in range(0, len(some), 500):
        far = dijkstra(graph, indices=np.arange(start, min(start + 500, len(some))), limit=3 * reach_mm)
        near = np.isfinite(far)
        rows, columns = np.nonzero(near)
        values = np.exp(-np.square(far[near]) / (2 * reach_mm**2))
        blocks.append(sparse.csr_array((values, (rows, columns)), shape=(len(far), len(some))))
    return sparse.csr_array(sparse.vstack(blocks))
