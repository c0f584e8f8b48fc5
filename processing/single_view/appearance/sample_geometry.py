"""How places and normals of samples follow their triangles' corners, in the camera's frame."""

from dataclasses import dataclass

import numpy as np

from common.array_types import Floats


@dataclass(frozen=True, eq=False)
class SampleGeometry:
    """M samples near triangles whose corners are where they are now; camera's frame, mm.

    A sample keeps its place beside the triangle. Its normal is fixed in the triangle's frame (normal, first edge): it
    turns as the triangle turns.
    """

    barycentric: Floats  # (M, 3)
    corners_mm: Floats  # (M, 3, 3)
    beside_mm: Floats  # (M, 3) from the triangle's point to the sample
    local: Floats  # (M, 3) the normal in the triangle's frame

    @property
    def points_mm(self) -> Floats:
        """(M, 3)"""
        return np.asarray(np.einsum("nk,nkd->nd", self.barycentric, self.corners_mm) + self.beside_mm)

    @property
    def frames(self) -> Floats:
        """(M, 3, 3) first edge, across, normal: unit rows."""
        return triangle_frames(self.corners_mm)

    @property
    def normals(self) -> Floats:
        """(M, 3) unit."""
        return np.asarray(np.einsum("nk,nkd->nd", self.local, self.frames))

    def turns(self, along: Floats) -> Floats:
        """(M, K, 3, 3): how K numbers change with the corners (corner, axis), of how they do with the normal (M, K, 3).

        The triangle's turn is n x dn of its normal, and the first edge's turn about it.
        """
        b = self.corners_mm[:, 1] - self.corners_mm[:, 0]
        d = self.corners_mm[:, 2] - self.corners_mm[:, 0]
        frames = self.frames
        across, facet = frames[:, 1], frames[:, 2]
        twice = np.linalg.norm(np.cross(b, d), axis=1).clip(1e-12)[:, None, None]
        # d = along . (turn x normal) = turn . (normal x along)
        turn = np.cross(self.normals[:, None], along)
        across_facet = np.cross(turn, facet[:, None]) / twice  # turn . (facet x dc) = dc . (turn x facet)
        spin = np.einsum("nkd,nd->nk", turn, facet) / np.linalg.norm(b, axis=1).clip(1e-12)[:, None]
        # c = b x d: dc . v = db . (d x v) + dd . (v x b)
        by_b = np.cross(d[:, None], across_facet) + spin[:, :, None] * across[:, None]
        by_d = np.cross(across_facet, b[:, None])
        return np.stack([-by_b - by_d, by_b, by_d], axis=2)


def triangle_frames(corners_mm: Floats) -> Floats:
    """(M, 3, 3) corners -> (M, 3, 3) unit rows: along the first edge, across it, normal."""
    b = corners_mm[:, 1] - corners_mm[:, 0]
    normal = np.cross(b, corners_mm[:, 2] - corners_mm[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True).clip(1e-12)
    first = b / np.linalg.norm(b, axis=1, keepdims=True).clip(1e-12)
    return np.stack([first, np.cross(normal, first), normal], axis=1)
