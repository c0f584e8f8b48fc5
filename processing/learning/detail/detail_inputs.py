"""What the displacement network sees, channel by channel, and what its answer means in millimetres."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from common.array_types import Floats, Floats32, Image
from processing.errors import ShapeError
from processing.learning.detail.common_relief import CommonRelief
from processing.learning.detail.uv_motion import StretchMeter, TexelGrid

Motion = Literal["deforming", "label"]
MOTIONS: tuple[Motion, ...] = ("deforming", "label")
SCALE_MM = 0.1  # of the network's answer: usual relief is of this size
_MOTION_MM, _STRETCH = 10.0, 0.3
_STRETCHES = 4  # target's three and the source's area, of the rest
TEXTURE = 3
VERTEX_VALUES = 3 + _STRETCHES


@dataclass(frozen=True)
class InputShape:
    """Which channels there are.

    deforming: texture (3), deforming map (3), stretch of the target's area and of its lengths along u and v and of the
    source's area, all of the face at rest (4), common relief at rest and what moves of it (2).
    label: as the paper's network without deforming map: texture (3), one channel an expression, common relief at rest
    and the mean change of the expression (2).
    """

    motion: Motion
    expressions: int

    @property
    def channels(self) -> int:
        return TEXTURE + (VERTEX_VALUES if self.motion == "deforming" else self.expressions) + 2


def motion_values(meter: StretchMeter, rest_mm: Floats, source_mm: Floats, target_mm: Floats) -> Floats32:
    """(V, 7) of the vertices: mm from source to target, then `StretchMeter` of target and source from rest."""
    return joined_motion(
        source_mm, target_mm, meter.stretch(rest_mm, source_mm), meter.stretch(rest_mm, target_mm)
    )  # fmt: skip


def joined_motion(source_mm: Floats, target_mm: Floats, of_source: Floats32, of_target: Floats32) -> Floats32:
    """The same from stretches (V, 3) that are there already."""
    return np.concatenate([target_mm - source_mm, of_target, of_source[:, :1]], axis=1).astype(np.float32)


def input_window(
    grid: TexelGrid, values: Floats32, texture: Image, relief: CommonRelief, at: tuple[int, int]
) -> tuple[Floats32, Floats32]:
    """(C, H, W) of a window for a network of kind "deforming", and (2, H, W) mm: the common relief, rest and moved.

    grid: of the window.  values: (V, 7) of `motion_values`.  texture: (H, W, 3) RGB.  at: the window's first texel.
    """
    drawn = grid.drawn(values)
    common = relief.of(drawn[3], *at)
    channels = [_colours(grid, texture), drawn[:3] / _MOTION_MM, drawn[3:] / _STRETCH]
    return np.concatenate([*channels, common / SCALE_MM]).astype(np.float32), common


def label_window(
    grid: TexelGrid, label: int, change: Floats32, texture: Image, relief: CommonRelief, at: tuple[int, int]
) -> tuple[Floats32, Floats32]:
    """The same for a network of kind "label". change: (E, S, S) mm, the mean change of each expression from rest."""
    height, width = grid.corners.shape[:2]
    rows, columns = slice(at[0], at[0] + height), slice(at[1], at[1] + width)
    common = np.stack([relief.rest[rows, columns], change[label, rows, columns]]).astype(np.float32)
    which = np.zeros((len(change), height, width), np.float32)
    which[label] = 1
    return np.concatenate([_colours(grid, texture), which, common / SCALE_MM]).astype(np.float32), common


def _colours(grid: TexelGrid, texture: Image) -> Floats32:
    if texture.shape != (*grid.corners.shape[:2], 3):
        raise ShapeError("texture", texture.shape, f"{(*grid.corners.shape[:2], 3)}")
    return np.asarray(np.moveaxis(texture.astype(np.float32) / 127.5 - 1, 2, 0), np.float32)


def portrait(texture: Image, size_px: int) -> Floats32:
    """(3, size_px, size_px) of -1..1: the whole texture (S, S, 3), small."""
    small = cv2.resize(texture, (size_px, size_px), interpolation=cv2.INTER_AREA)
    return np.asarray(np.moveaxis(small.astype(np.float32) / 127.5 - 1, 2, 0), np.float32)
