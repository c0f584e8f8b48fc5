"""What no camera measures rides along: the mouth's inside, eyeballs rigidly, and the eye between lids upon them."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from common.array_types import Bools, Floats, Ints64
from processing.geometry.mesh import Mesh
from processing.geometry.procrustes import Degenerate, fit_motion
from processing.geometry.sparse_cholesky import Factor, graph_laplacian
from processing.template.template import EYE, SKIN, Labels

_ROUND = 0.06  # a patch whose distances from its sphere's centre scatter by less, of the radius, lies on an eyeball
_MOUTH_HOLD = 0.25  # what lips do of their own reaches some five rings into the mouth
_AROUND_MM = 8.0  # over which what lies in the mouth goes as the lips and cheeks around it
_NEAR_MM = 20.0  # farther than this nothing lies around it
_MOST_SAMPLES = 1500  # of the skin around the mouth
_LITTLE_MM2 = 0.3  # squared motion of the skin around, below which it says little
_MOVED_MM = 0.01
_LEAST_PATCH = 12  # vertices


@dataclass(frozen=True, eq=False)
class _Ball:
    """A patch of eye between lids and the eyeball that it lies on."""

    vertices: Ints64
    centre: Floats
    radius: Floats  # (n,) of each vertex


@dataclass(frozen=True, eq=False)
class _Follower:
    """Vertices that take on what differs where they meet the skin, harmonically, or less with the distance."""

    inside: Ints64
    skin: Ints64
    across: sparse.csr_array  # (inside, skin)
    factor: Factor

    @classmethod
    def of(cls, laplacian: sparse.csr_array, inside: Bools, skin: Bools, hold: float) -> "_Follower | None":
        """hold: how much a vertex keeps to itself, beside its edges of weight 1; None where nothing is inside."""
        if not inside.any():
            return None
        own = sparse.csr_array(laplacian[inside][:, inside])
        factor = Factor(own + (hold + 1e-9) * sparse.eye_array(own.shape[0]))
        return cls(np.flatnonzero(inside), np.flatnonzero(skin), sparse.csr_array(laplacian[inside][:, skin]), factor)

    def follow(self, out: Floats, base: Floats, personal: Floats) -> None:
        change = personal[self.skin] - base[self.skin]
        out[self.inside] = base[self.inside]
        if np.abs(change).max(initial=0.0) > 1e-9:
            out[self.inside] += self.factor.solve(-(self.across @ change))


@dataclass(frozen=True, eq=False)
class _Around:
    """Vertices that differ as the skin does that lies around them in space, in proportion to how far they move."""

    vertices: Ints64  # (n,) the mouth's inside and its rim
    samples: Ints64  # (m,) of skin
    near: sparse.csr_array  # (n, m)

    @classmethod
    def of(cls, mesh: Mesh, inside: Ints64, skin: Ints64, rim: Ints64) -> "_Around | None":
        """None where nothing is inside."""
        if not len(inside):
            return None
        points, vertices = mesh.vertices_mm, np.union1d(inside, rim)
        far, _ = cKDTree(points[inside]).query(points[skin], distance_upper_bound=_NEAR_MM)
        close = skin[np.isfinite(far)]
        samples = close[:: max(1, -(-len(close) // _MOST_SAMPLES))]
        distance = cKDTree(points[vertices]).sparse_distance_matrix(
            cKDTree(points[samples]), _NEAR_MM, output_type="coo_matrix"
        )
        share = np.exp(-np.square(distance.data) / (2 * _AROUND_MM**2))
        near = sparse.csr_array((share, (distance.row, distance.col)), shape=distance.shape)
        return cls(vertices, samples, near)

    def add(self, base: Floats, personal: Floats) -> None:
        """To a unit's smooth offsets (V, 3), what the personal ones (V, 3) say besides of the skin around."""
        size, of_skin = np.linalg.norm(base[self.vertices], axis=1), np.linalg.norm(base[self.samples], axis=1)
        said = self.near @ (of_skin[:, None] * (personal - base)[self.samples])
        base[self.vertices] += (size / (self.near @ of_skin**2 + _LITTLE_MM2))[:, None] * said


class RideAlong:
    """Brings units that are right on the skin to the rest of the head.

    neutral: the subject's, in the template's topology.  parts: (V,) the template's.
    """

    def __init__(self, neutral: Mesh, parts: Labels) -> None:
        self._neutral, self._skin = neutral, parts == SKIN
        _, piece = connected_components(neutral.adjacency(), directed=False)
        with_skin = np.zeros(piece.max(initial=-1) + 1, np.bool_)
        with_skin[piece[self._skin]] = True
        loose = ~with_skin[piece]
        self._loose: list[Ints64] = [np.flatnonzero(loose & (piece == n)) for n in np.unique(piece[loose])]
        self._rigid = [v for v in self._loose if (parts[v] == EYE).mean() > 0.5]
        hanging = ~self._skin & ~loose
        laplacian = graph_laplacian(neutral.edges, len(parts))
        self._eyes = _Follower.of(laplacian, hanging & (parts == EYE), self._skin, 0.0)
        self._mouth = _Follower.of(laplacian, hanging & (parts != EYE), self._skin, _MOUTH_HOLD)
        touching = np.zeros(len(parts), np.bool_)
        touching[neutral.triangles[(hanging & (parts != EYE))[neutral.triangles].any(axis=1)]] = True
        self._around = _Around.of(
            neutral,
            np.flatnonzero(hanging & (parts != EYE)),
            np.flatnonzero(self._skin),
            np.flatnonzero(touching & self._skin),
        )
        self._balls = [ball for v in _patches(neutral, hanging & (parts == EYE)) if (ball := _ball(neutral, v))]

    def __call__(self, smooth_mm: Floats, personal_mm: Floats) -> Floats:
        """(U, V, 3) mm: the personal units, and what follows of them elsewhere.

        smooth_mm: (U, V, 3) the personal ones but for details.  What is not skin goes as they do. The mouth's inside
        also takes on the details of lips and cheeks around it, and close to the lips theirs; the eye between lids
        theirs. Eyeballs keep their shape, and what lies on them stays there.
        """
        out = personal_mm.copy()
        for number, personal in enumerate(personal_mm):
            base = smooth_mm[number].copy()
            if self._around is not None:
                self._around.add(base, personal)
            for follower in (self._eyes, self._mouth):
                if follower is not None:
                    follower.follow(out[number], base, personal)
            for piece in self._loose:
                out[number, piece] = smooth_mm[number, piece]
            self._keep_round(out[number])
        return out

    def _keep_round(self, offset: Floats) -> None:
        vertices = self._neutral.vertices_mm
        for piece in self._rigid:
            if np.abs(offset[piece]).max() > _MOVED_MM:
                rest = vertices[piece]
                try:
                    offset[piece] = fit_motion(rest, rest + offset[piece], with_scale=False)(rest) - rest
                except Degenerate:
                    continue
        for ball in self._balls:
            if np.abs(offset[ball.vertices]).max() > _MOVED_MM:
                away = vertices[ball.vertices] + offset[ball.vertices] - ball.centre
                length = np.linalg.norm(away, axis=1, keepdims=True).clip(1e-9)
                offset[ball.vertices] = ball.centre + away / length * ball.radius[:, None] - vertices[ball.vertices]


def _patches(mesh: Mesh, inside: Bools) -> list[Ints64]:
    """The connected sets of these vertices (V,)."""
    which = np.flatnonzero(inside)
    if not len(which):
        return []
    count, label = connected_components(mesh.adjacency()[which][:, which], directed=False)
    return [which[label == n] for n in range(count) if (label == n).sum() >= _LEAST_PATCH]


def _ball(mesh: Mesh, vertices: Ints64) -> _Ball | None:
    """The sphere through a patch; None for one that lies on no eyeball."""
    p = mesh.vertices_mm[vertices]
    middle = p.mean(axis=0)
    q = p - middle
    solution = np.linalg.lstsq(np.c_[2 * q, np.ones(len(q))], np.square(q).sum(axis=1), rcond=None)[0]
    centre = solution[:3] + middle
    distance = np.linalg.norm(p - centre, axis=1)
    reach = float(np.ptp(p, axis=0).max())
    if distance.std() > _ROUND * distance.mean() or distance.mean() > 3 * reach:
        return None
    return _Ball(vertices, centre, distance)
