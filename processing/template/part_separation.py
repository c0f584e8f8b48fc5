"""Parts of a posed head drawn apart where they pass through each other: lips, lids, eyes, what lies in the mouth.

A linear model of shapes knows nothing of contact: lids go straight through the eyeball that they slide over, and lips
that meet in one person pass through each other in the next. What is on the wrong side goes to the right one, and what
lies around it, along the surface, follows the less the farther it is (Shepard's interpolation).
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from common.array_types import Floats, Ints32
from processing.geometry.mesh import Mesh
from processing.template.eye_sheets import EyeSheet, eye_sheets
from processing.template.part_contacts import (
    FACE_WIDTH_MM,
    KINDS,
    MOUTH_MM,
    Contact,
    geodesic_kernel,
    part_contacts,
)
from processing.template.template import Labels

ROUNDS = 14
#: How strongly parts go where they belong; more where the shortest way out led deeper in.
AWAY = (1.0, 3.0, 8.0)
SETTLED_MM = 0.4  # what is still deeper is tried again
TOLERANCE_MM = 0.1  # what is less deep stays
GAP_MM = 0.05  # that is left between parts drawn apart
STEP_MM = 2.0  # at most, a round
REACH_MM = 2.0  # along the surface, over which what is around follows
STIFFNESS = 0.25  # of what is around, against 1 of what is on the wrong side
AROUND_MM = 14.0  # beyond lids' landmarks, what may follow


@dataclass(frozen=True, eq=False)
class PartSeparation:
    """The contacts of one topology, made ready for any pose."""

    contacts: tuple[Contact, ...]
    vertices: Ints32  # (n,) that may be moved
    sheets: tuple[EyeSheet, ...]
    kernel: sparse.csr_array  # (n, n) how much each goes with each other one

    @classmethod
    def of(cls, mesh: Mesh, parts: Labels, landmarks_mm: Floats) -> "PartSeparation":
        """Of a head at rest. parts: (V,) as a template's; landmarks_mm: (68, 3) Multi-PIE, on it."""
        unit = float(np.linalg.norm(landmarks_mm[45] - landmarks_mm[36])) / FACE_WIDTH_MM
        contacts = part_contacts(mesh, parts, landmarks_mm)
        near = np.zeros(len(mesh.vertices_mm), np.bool_)
        for contact in contacts:
            near[contact.vertices] = near[contact.sheet.vertices] = True
        middle = [landmarks_mm[36:42].mean(axis=0), landmarks_mm[42:48].mean(axis=0), landmarks_mm[48:].mean(axis=0)]
        for at, reach in zip(middle, (2 * AROUND_MM, 2 * AROUND_MM, MOUTH_MM), strict=True):
            near |= np.linalg.norm(mesh.vertices_mm - at, axis=1) < reach * unit
        some = np.flatnonzero(near).astype(np.int32)
        sheets = eye_sheets(mesh, parts, landmarks_mm)
        return cls(contacts, some, sheets, geodesic_kernel(mesh, parts, some, REACH_MM * unit))

    def deepest(self, vertices_mm: Floats) -> dict[str, float]:
        """Kind of contact -> the deepest crossing of a posed head (V, 3), mm; 0 where nothing is crossed."""
        found = dict.fromkeys(KINDS, 0.0)
        for contact in self.contacts:
            found[contact.kind] = max(found[contact.kind], float(contact.depths(vertices_mm).depth_mm.max(initial=0.0)))
        return found

    def __call__(self, vertices_mm: Floats) -> Floats:
        """A posed head (V, 3) with its parts drawn apart.

        Nothing that is less deep than TOLERANCE_MM moves, but for eyes that are one with the skin: they go behind lids.
        """
        best, least = vertices_mm, np.inf
        for away in AWAY:
            out, deepest = self._rounds(best, away)
            if deepest < least:
                best, least = out, deepest
            if least <= SETTLED_MM:
                break
        return best

    def _rounds(self, vertices_mm: Floats, away: float) -> tuple[Floats, float]:
        """The best of some rounds, and how deep its deepest crossing is."""
        out, best, least = vertices_mm.copy(), vertices_mm, np.inf
        for _ in range(ROUNDS + 1):
            for sheet in self.sheets:
                out[sheet.inside] = sheet.lay(out)
            moves, weight = np.zeros((2, len(vertices_mm), 3))
            deepest = max((_add(contact, out, away, moves, weight) for contact in self.contacts), default=0.0)
            if deepest < least:
                best, least = out.copy(), deepest
            moved = weight[self.vertices, 0] > 0
            if not moved.any():
                break
            wanted = moves[self.vertices][moved] / weight[self.vertices][moved]
            share = sparse.csr_array(self.kernel[:, np.flatnonzero(moved)])
            out[self.vertices] += (share @ wanted) / (share.sum(axis=1) + STIFFNESS)[:, None]
        return best, least


def _add(contact: Contact, vertices_mm: Floats, away: float, moves: Floats, weight: Floats) -> float:
    """Add how a contact's vertices and sheet part: moves (V, 3) times their weight, and the weight (V, 3).

    Returns the deepest crossing, mm.
    """
    found = contact.depths(vertices_mm, away)
    deep = np.flatnonzero(found.depth_mm > TOLERANCE_MM)
    if not len(deep):
        return float(found.depth_mm.max(initial=0.0))
    way = np.minimum(found.depth_mm[deep] + GAP_MM, STEP_MM)[:, None] * found.outwards[deep]
    if contact.give > 0:
        np.add.at(moves, contact.vertices[deep], contact.give * way)
        np.add.at(weight, contact.vertices[deep], 1.0)
    if contact.give < 1:
        for k in range(3):
            share = found.barycentric[deep, k][:, None]
            np.add.at(moves, found.corners[deep, k], -(1 - contact.give) * share * way)
            np.add.at(weight, found.corners[deep, k], np.broadcast_to(share, way.shape))
    return float(found.depth_mm.max())
