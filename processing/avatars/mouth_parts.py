"""Teeth of an avatar: two rows behind the lips, the lower one on the jaw, with a texture of their own.

The rows are single_view's, whose measures are those of adults; what its pictures draw of a tooth is drawn here once, as
a texture with gaps between, gums above, and nothing beyond the biting edges.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Floats, Image, Ints32
from processing.avatars.person_head import PersonHead
from processing.single_view.editing.teeth import coverage, teeth_of
from processing.template.template import MOUTH_INTERIOR

_TOOTH = np.array([172.0, 190.0, 200.0])  # BGR; in the lips' shade
_GUM = np.array([112.0, 104.0, 176.0])
_GUM_FROM_MM = 9.5  # from the biting edge
_HEIGHT_MM, _HALF_MM = 14.0, 34.0  # that the texture shows of each row
_PX = (512, 128)  # width, height of a row
_BEHIND_LIPS_MM = 3.0


@dataclass(frozen=True, eq=False)
class TeethMesh:
    """Two strips of N vertices, model's frame, mm."""

    vertices_mm: Floats  # (N, 3)
    triangles: Ints32  # (M, 3)
    uvs: Floats  # (N, 2), origin at the bottom left
    offsets_mm: Floats  # (U, N, 3) by each unit at weight 1


def teeth_mesh(person: PersonHead, neutral_mm: Floats) -> TeethMesh | None:
    """The teeth of a head; None for one without the inside of a mouth, which would show them closed.

    neutral_mm: (L, 3) with what the photograph corrected.
    """
    if not (person.head.parts == MOUTH_INTERIOR).any():
        return None
    model, one, count = person.model, np.ones(1), len(person.units)
    rest = teeth_of(model, one, np.zeros(count))
    lips = person.head.landmark_points(neutral_mm)[60:].mean(axis=0)
    shift = lips - person.head.landmark_points(person.neutral_mm)[60:].mean(axis=0) - [0.0, 0.0, _BEHIND_LIPS_MM]
    offsets = np.zeros((count, len(rest.vertices_mm), 3))
    for unit, name in enumerate(person.units):
        if name.startswith("jaw"):
            offsets[unit] = teeth_of(model, one, np.eye(count)[unit]).vertices_mm - rest.vertices_mm
    u = 0.5 + rest.along_mm / (2 * _HALF_MM)
    v = (rest.height_mm / _HEIGHT_MM).clip(0, 1)
    uvs = np.stack([u.clip(0, 1), np.where(rest.lower, 0.5 * v, 0.5 + 0.5 * v)], axis=1)
    return TeethMesh(rest.vertices_mm + shift, rest.triangles, uvs, offsets)


def teeth_texture() -> Image:
    """(H, W, 4) BGRA of both rows, the upper one above."""
    width, height = _PX
    along = (np.arange(width) + 0.5) / width * 2 * _HALF_MM - _HALF_MM
    up = (1 - (np.arange(height) + 0.5) / height) * _HEIGHT_MM
    grid_along, grid_up = (grid.ravel() for grid in np.meshgrid(along, up))
    rows = []
    for lower in (False, True):
        covered, light = coverage(grid_along, grid_up, np.full(len(grid_along), lower))
        deep = 1 - 0.75 * (np.abs(grid_along) / _HALF_MM) ** 2  # little light reaches the back ones
        tooth = _TOOTH * (light * deep)[:, None]
        gum = ((grid_up - _GUM_FROM_MM) / 1.5).clip(0, 1)[:, None]
        colour = tooth + gum * (_GUM * (0.75 * deep)[:, None] - tooth)
        rows.append(np.c_[colour, 255 * covered].reshape(height, width, 4))
    return np.asarray(np.concatenate(rows).clip(0, 255).round(), np.uint8)


def encoded_png(image: Image) -> bytes:
    """A PNG's bytes."""
    return bytes(cv2.imencode(".png", image)[1])
