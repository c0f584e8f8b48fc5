"""Lids of a template and where photographs show their edges: what a fit is held to around the eyes.

A scan carries eye and lids as one surface, so that no lid's edge can be seen on it: fitted to the scan alone, lids come
to lie anywhere on the eye. The edges are known from photographs. The rim of the surface between a template's lids is
held to them, skin meets the scan's skin outside them alone, and the surface between them meets the eye inside.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.sparse.csgraph import connected_components

from common.array_types import Bools, Floats, Ints32, Ints64
from processing.geometry.mesh import Mesh
from processing.geometry.vertex_rings import dilated
from processing.landmarks.lid_contours import EYE_CORNERS, LID_LANDMARKS, MARKED, LidContours
from processing.registration.correspondence import Matches
from processing.template.template import EYE, Template

OPEN_MM = 0.5  # lids nearer than this are one line, beyond the corner of an eye or where it is closed
OPENING_DEPTH_MM = 8.0  # how far before and behind the lids' edges a point may lie between them
FACING = 0.6  # cosine to the way out of the eye below which skin at a rim faces the opening
LEAST_WALL_RINGS, MOST_WALL_RINGS = 2, 11
RINGS_BEYOND = 3  # so far past its landmarks a lid goes over into the skin
LID_MM = 2.0  # from a lid's edge back to its rim: how thick a lid is before the eye
RIM_WEIGHT = 20.0  # in a fit, of a vertex whose place is known, against 1 of what meets the scan
EITHER_SIDE_MM = 0.3  # so near to a lid's edge the scan may be skin or eye
CORNER_SHARE = 0.15  # of a lid's length from a corner, within which it slides less and less
LEAST_STEP = 0.3  # of a step along a lid, what sliding leaves of it
CELL_MM, BORDER_MM = 0.1, 3.0  # of the raster that tells what lies between the lids


@dataclass(frozen=True, eq=False)
class LidRim:
    """One eye's rim on a template: vertices of the skin where the surface between its lids begins."""

    eye: int  # 0: right, 1: left
    upper: Ints32  # (n,) from the outer corner to the inner one, both included
    lower: Ints32  # (m,) likewise
    inside: Ints32  # (k,) vertices of the surface between them
    walls: Ints32  # (w,) vertices of the lids' own edges, which face the opening, without the rim
    marks: Ints32  # (2, 2, 3) upper and lower lid, outer and inner landmark: corners of the triangle that holds it
    mark_weights: Floats  # (2, 2, 3) barycentric, in it

    def marks_of(self, values: Floats) -> Floats:
        """(2, 2, K) what the landmarks have of the vertices' values (V, K)."""
        return np.asarray((self.mark_weights[..., None] * values[self.marks]).sum(axis=2))


@dataclass(frozen=True, eq=False)
class LidTarget:
    """Where the vertices of one eye's rim belong."""

    rim: LidRim
    vertices: Ints32  # (n,) of the rim, each once
    points_mm: Floats  # (n, 3) a little behind the edges
    edges_mm: Floats  # (2, K, 3) the lids' edges from corner to corner
    outwards: Floats  # (3,) unit, out of the eye

    def between(self, points_mm: Floats, margin_mm: float) -> Bools:
        """(N,) which points lie between the lids; margin_mm: how far beyond the edges (negative: within) still do."""
        middle, frame, low, inside_mm = self._opening
        off = (points_mm - middle) @ frame.T
        place = np.round((off[:, :2] - low) / CELL_MM).astype(np.int64)
        size = np.array(inside_mm.shape[::-1])
        close = (place >= 0).all(axis=1) & (place < size).all(axis=1) & (np.abs(off[:, 2]) < OPENING_DEPTH_MM)
        found = np.zeros(len(points_mm), dtype=np.bool_)
        found[close] = inside_mm[place[close, 1], place[close, 0]] > -margin_mm
        return found

    def slid(self, motion: Floats) -> "LidTarget":
        """This target after the lids slid along their edges as some motion (n, 3) of the rim's vertices says.

        Corners stay, and everything keeps its order.
        """
        count = len(self.rim.upper)
        chains = (np.arange(count), np.r_[0, np.arange(count, len(self.vertices)), count - 1])
        points = self.points_mm.copy()
        for chain, edge in zip(chains, self.edges_mm - LID_MM * self.outwards, strict=True):
            way = np.gradient(self.points_mm[chain], axis=0)
            length = float(np.linalg.norm(np.diff(edge, axis=0), axis=1).sum())
            along = (motion[chain] * way).sum(axis=1) / np.linalg.norm(way, axis=1).clip(1e-9) / max(length, 1e-9)
            shares = _shares_on(edge, self.points_mm[chain])
            free = np.minimum(np.minimum(shares, 1 - shares) / CORNER_SHARE, 1.0)
            shares[[0, -1]] = 0.0, 1.0
            steps = np.maximum(np.diff(shares + free * along), LEAST_STEP * np.diff(shares))
            moved = np.r_[0.0, steps.cumsum()] / steps.sum()
            points[chain[1:-1]] = _along(edge, moved[1:-1])
        return replace(self, points_mm=points)

    @cached_property
    def _opening(self) -> tuple[Floats, Floats, Floats, Floats]:
        """The opening as seen along `outwards`: its middle, axes (3, 3), and from a lowest corner (2,) a raster of the
        distance within it, mm, negative outside."""
        middle = self.edges_mm.mean(axis=(0, 1))
        across = self.edges_mm[0, -1] - self.edges_mm[0, 0]
        across = across - across @ self.outwards * self.outwards
        across /= np.linalg.norm(across)
        frame = np.stack([across, np.cross(self.outwards, across), self.outwards])
        loop = ((np.concatenate([self.edges_mm[0], self.edges_mm[1, ::-1]]) - middle) @ frame.T)[:, :2]
        low = loop.min(axis=0) - BORDER_MM
        width, height = np.ceil((loop.max(axis=0) + BORDER_MM - low) / CELL_MM).astype(int).tolist()
        drawn = np.zeros((height, width), dtype=np.uint8)
        cv2.fillPoly(drawn, [np.round((loop - low) / CELL_MM).astype(np.int32)], 1)
        within, beyond = (cv2.distanceTransform(m, cv2.DIST_L2, 5) for m in (drawn, 1 - drawn))
        return middle, frame, low, np.asarray((within.astype(np.float64) - beyond) * CELL_MM)


@dataclass(frozen=True, eq=False)
class LidFit:
    """What a mesh's lids are held to, of the eyes whose lids' edges are known."""

    rest: Mesh  # the mesh before it was fitted
    targets: tuple[LidTarget, ...] = ()

    @cached_property
    def rims(self) -> Ints32:
        """(R,) vertices of the lids' rims."""
        return np.concatenate([np.zeros(0, np.int32), *(lid.vertices for lid in self.targets)])

    @cached_property
    def rims_mm(self) -> Floats:
        """(R, 3) where they belong."""
        return np.concatenate([np.zeros((0, 3)), *(lid.points_mm for lid in self.targets)])

    @cached_property
    def hidden(self) -> Bools:
        """(V,) what no photograph shows as skin: the lids' inner sides, their rims, the eyes."""
        hidden = np.zeros(len(self.rest.vertices_mm), dtype=np.bool_)
        for lid in self.targets:
            hidden[lid.vertices] = hidden[lid.rim.inside] = hidden[lid.rim.walls] = True
        return hidden

    def sided(self, vertices: Ints32 | Ints64, matches: Matches) -> Matches:
        """Matches of some vertices (N,) without those of skin to an eye and of an eye to skin."""
        wrong = np.zeros(len(vertices), dtype=np.bool_)
        for lid in self.targets:
            eye = np.isin(vertices, lid.rim.inside)
            wrong |= np.where(
                eye, ~lid.between(matches.points_mm, EITHER_SIDE_MM), lid.between(matches.points_mm, -EITHER_SIDE_MM)
            )
        return replace(matches, weight=np.where(wrong, 0.0, matches.weight))

    def slid(self, motion: Floats) -> "LidFit":
        """This after the lids slid along their edges as a motion (V, 3) of the mesh says."""
        return replace(self, targets=tuple(lid.slid(motion[lid.vertices]) for lid in self.targets))


NO_LIDS = LidFit(Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int32)))


def lid_rims(template: Template, main: Mesh, number: Ints32) -> list[LidRim]:
    """The rims of a template whose eyes' surface is one with its skin; none where they are loose.

    main: its largest part.  number: (V,) of each template vertex in it, -1 where it is in none. Vertices are main's.
    """
    eye = np.zeros(len(main.vertices_mm), dtype=np.bool_)
    eye[number[(template.parts == EYE) & (number >= 0)]] = True
    landmarks = template.landmark_points(template.mesh.vertices_mm)
    count, label = connected_components(main.adjacency()[eye][:, eye], directed=False)
    members, rims = np.flatnonzero(eye), []
    centres = np.array([main.vertices_mm[members[label == k]].mean(axis=0) for k in range(count)]).reshape(-1, 3)
    for side, corners in enumerate(EYE_CORNERS):
        outer, inner = landmarks[corners]
        reach = float(np.linalg.norm(outer - inner))
        off = np.linalg.norm(centres - (outer + inner) / 2, axis=1)
        if not len(off) or off.min() > reach:
            continue
        inside = members[label == off.argmin()].astype(np.int32)
        loop = _loop_around(main, inside)
        marks = number[template.mesh.triangles[template.landmark_triangles[LID_LANDMARKS[side]]]]
        if loop is not None and len(loop) >= 8 and (marks >= 0).all():
            upper, lower = _split_rim(main, loop, (outer, inner))
            walls = _walls(main, loop, inside, marks, outwards(inner - outer, side))
            mark_weights = template.landmark_barycentric[LID_LANDMARKS[side]]
            rims.append(LidRim(side, upper, lower, inside, walls, marks, mark_weights))
    return rims


def _loop_around(mesh: Mesh, inside: Ints32) -> Ints32 | None:
    """The vertices around a disk of a mesh in order; None where they are no single loop."""
    within = np.zeros(len(mesh.vertices_mm), dtype=np.bool_)
    within[inside] = True
    region = mesh.triangles[within[mesh.triangles].any(axis=1)]
    sides = np.concatenate([region[:, [0, 1]], region[:, [1, 2]], region[:, [2, 0]]])
    outer = sides[~within[sides].any(axis=1)]
    following = dict(outer.tolist())
    if len(following) != len(outer):
        return None
    loop = [int(outer[0, 0])]
    while len(loop) <= len(outer):
        after = following.get(loop[-1])
        if after is None:
            return None
        if after == loop[0]:
            break
        loop.append(after)
    return np.array(loop, dtype=np.int32) if len(loop) == len(outer) else None


def _walls(mesh: Mesh, loop: Ints32, inside: Ints32, marks: Ints32, out_of_eye: Floats) -> Ints32:
    """Vertices around a rim that face its opening rather than out of the eye, to a little beyond its landmarks.

    marks: (2, 2, 3) corners of the landmarks' triangles, at the lids' edges: where the detector sees these, skin may
    face outwards already.
    """
    ring = mesh.adjacency()
    taken, at_edge = np.zeros((2, len(mesh.vertices_mm)), dtype=np.bool_)
    taken[inside] = taken[loop] = at_edge[marks] = True
    aside = (mesh.vertex_normals @ out_of_eye < FACING) | dilated(ring, at_edge, RINGS_BEYOND)
    found = taken.copy()
    for number in range(MOST_WALL_RINGS):
        found |= dilated(ring, found, 1) & (aside | (number < LEAST_WALL_RINGS))
    return np.flatnonzero(found & ~taken).astype(np.int32)


def _split_rim(mesh: Mesh, loop: Ints32, corners: tuple[Floats, Floats]) -> tuple[Ints32, Ints32]:
    """A loop cut at the ends of the line between an eye's corners (outer, inner): upper and lower lid."""
    at = mesh.vertices_mm[loop]
    along = at @ (corners[1] - corners[0])
    loop = np.roll(loop, -int(along.argmin()))
    cut = int(np.roll(along, -int(along.argmin())).argmax())
    one, other = loop[: cut + 1], np.r_[loop[:1], loop[cut:][::-1]]
    if mesh.vertices_mm[one][:, 1].mean() < mesh.vertices_mm[other][:, 1].mean():
        one, other = other, one
    return one.astype(np.int32), other.astype(np.int32)


def lid_targets(rims: list[LidRim], start_mm: Floats, contours: LidContours) -> list[LidTarget]:
    """Where the rims of a mesh belong by the lids' edges; of eyes whose edges are known.

    start_mm: (V, 3) the mesh's vertices: each keeps its share of the way along its lid between corners and landmarks.
    """
    targets = []
    for rim in rims:
        if not contours.known[rim.eye]:
            continue
        shown = _open_part(contours.points_mm[rim.eye])
        edges = contours.points_mm[rim.eye][:, shown]
        marked = np.array(MARKED) - shown.start
        vertices = np.r_[rim.upper, rim.lower[1:-1]]
        points = []
        marks_mm = rim.marks_of(start_mm)
        for chain, marks, edge in zip((rim.upper, rim.lower), marks_mm, edges, strict=True):
            shares, edge_shares = _shares(start_mm[chain]), _shares(edge)
            at = shares[_feet(start_mm[chain], marks)]
            points.append(_along(edge, _carried(shares, at, edge_shares[marked.clip(0, len(edge) - 1)])))
        corner = [edges[:, 0].mean(axis=0), edges[:, -1].mean(axis=0)]
        points[0][[0, -1]] = corner
        out = outwards(corner[1] - corner[0], rim.eye)
        behind = np.r_[points[0], points[1][1:-1]] - LID_MM * out
        targets.append(LidTarget(rim, vertices, behind, edges, out))
    return targets


def _feet(chain: Floats, marks: Floats) -> Ints64:
    """(m,) which points of a lid's chain lie beside some marks (m, 3), along it."""
    along = (chain[-1] - chain[0]) / np.linalg.norm(chain[-1] - chain[0])
    return np.asarray(np.abs((marks @ along)[:, None] - chain @ along).argmin(axis=1))


def _carried(shares: Floats, marks: Floats, to: Floats) -> Floats:
    """(n,) shares of a way, with some (m,) carried to others and all between them smoothly; as they are where those
    are out of order."""
    knots, values = np.r_[0.0, marks, 1.0], np.r_[0.0, to, 1.0]
    if (np.diff(knots) <= 0).any() or (np.diff(values) <= 0).any():
        return shares
    return np.asarray(PchipInterpolator(knots, values)(shares))


def _open_part(edges: Floats) -> slice:
    """Which of the edges' (2, K, 3) points lie between the corners that show: beyond them both are one line.

    All of a closed eye's.
    """
    gap = np.linalg.norm(edges[0] - edges[1], axis=1)
    apart = np.flatnonzero(gap > min(OPEN_MM, 0.3 * float(gap.max())))
    if len(apart) < 3:
        return slice(0, len(gap))
    return slice(max(int(apart[0]) - 1, 0), int(apart[-1]) + 2)


def outwards(across: Floats, eye: int) -> Floats:
    """(3,) unit, out of an eye (0: right), at right angles to the way across it, outer corner to inner, and to the
    head's height."""
    normal = np.cross(across, np.array([0.0, 1.0, 0.0])) * (1.0 if eye == 0 else -1.0)
    return np.asarray(normal / np.linalg.norm(normal))


def _shares(points: Floats) -> Floats:
    """(n,) how far along a chain of points each lies, 0 to 1."""
    way = np.r_[0.0, np.linalg.norm(np.diff(points, axis=0), axis=1).cumsum()]
    return np.asarray(way / max(way[-1], 1e-9))


def _shares_on(curve: Floats, points: Floats) -> Floats:
    """(n,) how far along a curve (K, 3) the nearest place to each point (n, 3) lies, 0 to 1."""
    begin, way = curve[:-1], np.diff(curve, axis=0)
    off = points[:, None] - begin
    part = ((off * way).sum(axis=2) / (way**2).sum(axis=1).clip(1e-12)).clip(0, 1)
    segment = np.linalg.norm(off - part[..., None] * way, axis=2).argmin(axis=1)
    at = _shares(curve)
    return np.asarray(at[segment] + part[np.arange(len(points)), segment] * np.diff(at)[segment])


def _along(curve: Floats, shares: Floats) -> Floats:
    """(n, 3) the points so far along a curve (K, 3)."""
    at = _shares(curve)
    return np.stack([np.interp(shares, at, curve[:, k]) for k in range(3)], axis=1)
