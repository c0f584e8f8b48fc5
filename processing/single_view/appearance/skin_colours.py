"""The model's colours at places of the face, blurred as the photograph is."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from common.array_types import Bools, Floats, Floats32, Ints32, Ints64
from processing.face_models.face_model import Albedo, FaceModel
from processing.geometry.mesh import Mesh

#: RGB 0..255 of a face whose model has no albedo: lighting then takes the person's colour, and brows and lips are
#: residuals like any other.
PLAIN = (190.0, 145.0, 122.0)
COMPONENTS = 24  # of the albedo's, at most: later ones are finer than what is looked at
_KNOWN = 0.15  # of a texel's blurred colour must come from texels that the model colours
_MARGIN = 3  # texels around the face's
_NARROWEST = 1.0  # texels: a narrower blur is in the texels already


@dataclass(frozen=True, eq=False)
class ColourLevel:
    """Mean and components of the albedo over a part of its square."""

    table: Floats32  # (N + 1, 1 + C, 3): mean, then components times deviations; the last row is of no texel
    place: Ints32  # (h, w) row of the table; N: none
    corner: tuple[int, int]  # column and row of the square where the part begins
    size_px: int  # of the whole square


class SkinColours:
    """What colours places of a model's face can have, at any blur.

    counted: (T,) the triangles that will be asked for.
    """

    def __init__(self, model: FaceModel, counted: Bools) -> None:
        mesh = model.topology.mesh
        self._mesh, self._counted = mesh, counted
        self._albedo: Albedo | None = None if mesh.uvs is None else model.albedo
        self._levels: dict[float, ColourLevel] = {}

    @property
    def components(self) -> int:
        """How many numbers say a colour; 0 without an albedo."""
        return 0 if self._albedo is None else min(COMPONENTS, len(self._albedo.deviations))

    def at(self, triangle: Ints32, barycentric: Floats, blur_mm: float = 0.0) -> tuple[Floats, Floats32, Bools]:
        """Places (M,), (M, 3) of the mesh -> (M, 3) mean colour, RGB 0..255; (M, 3, C) what a deviation of each
        component adds; (M,) whether the model colours the place.

        blur_mm: standard deviation of the Gaussian over the surface; levels are kept.
        """
        count = len(triangle)
        if self._albedo is None:
            return np.tile(PLAIN, (count, 1)), np.zeros((count, 3, 0), np.float32), np.ones(count, np.bool_)
        if blur_mm not in self._levels:
            self._levels[blur_mm] = self._level(blur_mm)
        level = self._levels[blur_mm]
        at = self._texels(triangle, barycentric, level.size_px) - level.corner
        first = np.floor(at).astype(np.int64)
        part = at - first
        total = np.zeros((count, 1 + self.components, 3), np.float32)
        share = np.zeros(count, np.float32)
        none = len(level.table) - 1
        h, w = level.place.shape
        for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
            x, y = first[:, 0] + dx, first[:, 1] + dy
            inside = (x >= 0) & (y >= 0) & (x < w) & (y < h)
            row = np.where(inside, level.place[y.clip(0, h - 1), x.clip(0, w - 1)], none)
            weight = np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1]) * (row != none)
            total += level.table[row] * weight.astype(np.float32)[:, None, None]
            share += weight.astype(np.float32)
        known = share > 0.3
        total /= share.clip(1e-6)[:, None, None]
        return total[:, 0].astype(np.float64), np.ascontiguousarray(total[:, 1:].transpose(0, 2, 1)), known

    def _texels(self, triangle: Ints32, barycentric: Floats, size: int) -> Floats:
        """(M, 2) column and row, centres at integers."""
        assert self._mesh.uvs is not None
        assert self._mesh.uv_triangles is not None
        uv = np.einsum("nk,nkd->nd", barycentric, self._mesh.uvs[self._mesh.uv_triangles[triangle]])
        return np.asarray(np.stack([uv[:, 0] * size, (1 - uv[:, 1]) * size], axis=1) - 0.5)

    @cached_property
    def texels_per_mm(self) -> float:
        """Of the counted triangles, on average."""
        assert self._albedo is not None
        mesh: Mesh = self._mesh
        assert mesh.uvs is not None
        assert mesh.uv_triangles is not None
        uv = mesh.uvs[mesh.uv_triangles[self._counted]]
        b, c = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
        flat = np.nansum(np.abs(b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0]))
        real = np.linalg.norm(mesh.triangle_cross[self._counted], axis=1).sum()
        return float(self._albedo.mask.shape[0] * np.sqrt(flat / max(real, 1e-9)))

    def _level(self, blur_mm: float) -> ColourLevel:
        albedo = self._albedo
        assert albedo is not None
        size = albedo.mask.shape[0]
        triangles = np.flatnonzero(self._counted).astype(np.int32)
        corners = [self._texels(triangles, np.tile(one, (len(triangles), 1)), size) for one in np.eye(3)]
        where = np.concatenate(corners)
        where = where[np.isfinite(where).all(axis=1)]
        margin = _MARGIN + int(3 * blur_mm * self.texels_per_mm)
        low = (np.floor(where.min(axis=0)).astype(int) - margin).clip(0)
        high = (np.ceil(where.max(axis=0)).astype(int) + margin + 1).clip(0, size)
        part = slice(low[1], high[1]), slice(low[0], high[0])
        mask = albedo.mask[part]
        rows: Ints64 = np.cumsum(albedo.mask.ravel()).reshape(albedo.mask.shape)[part][mask] - 1
        colours = np.empty((1 + self.components, len(rows), 3), np.float32)
        colours[0] = albedo.mean[rows]
        np.take(albedo.components[: self.components], rows, axis=1, out=colours[1:], mode="clip")
        colours[1:] *= albedo.deviations[: self.components, None, None].astype(np.float32)
        place = np.full(mask.shape, -1, np.int32)
        if blur_mm * self.texels_per_mm > _NARROWEST:
            colours, known = _blurred(colours, mask, blur_mm * self.texels_per_mm)
        else:
            known = mask
        place[:] = colours.shape[1]
        place[known] = np.arange(colours.shape[1])
        table = np.concatenate([colours.transpose(1, 0, 2), np.zeros((1, len(colours), 3), np.float32)])
        return ColourLevel(np.ascontiguousarray(table), place, (int(low[0]), int(low[1])), size)


def _blurred(colours: Floats32, mask: Bools, sigma: float) -> tuple[Floats32, Bools]:
    """Of (K, N, 3) at the N texels of a mask (h, w): the mean of what is known around each, and where there is one."""
    share = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    known = share > _KNOWN
    out = np.empty((len(colours), int(known.sum()), 3), np.float32)
    for k, colour in enumerate(colours):
        spread = np.zeros((*mask.shape, 3), np.float32)
        spread[mask] = colour
        out[k] = cv2.GaussianBlur(spread, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)[known] / share[known, None]
    return out, known
