"""Displacement maps by learned weights: a texture and a motion to heights in millimetres."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import torch

from common.array_types import Bools, Floats, Floats32, Image
from processing.errors import DataError, ShapeError
from processing.files.displacement_map import DisplacementMap
from processing.geometry.mesh import Mesh
from processing.geometry.topology import topology_id
from processing.geometry.uv_rasterization import texels_of
from processing.learning.detail.common_relief import CommonRelief
from processing.learning.detail.detail_inputs import (
    MOTIONS,
    InputShape,
    input_window,
    label_window,
    motion_values,
    portrait,
)
from processing.learning.detail.detail_network import CODE, PORTRAIT_PX, DetailNetwork
from processing.learning.detail.tiling import tiled
from processing.learning.detail.uv_motion import StretchMeter, TexelGrid
from processing.learning.networks.pix2pix_hd import GeneratorShape
from processing.learning.weights_file import LearnedWeights, load_network

TILE_PX = 512  # of a map made in tiles
_MOST_PX = 8192


@dataclass(frozen=True, eq=False)
class DetailPredictor:
    """A network that was read from its file, for meshes of one topology with UVs."""

    network: DetailNetwork
    relief: CommonRelief
    labels: tuple[str, ...]  # of the key expressions, the neutral first
    units: tuple[str, ...]
    key_weights: Floats  # (E, U)
    mesh: Mesh
    motion: str  # "deforming" or "label"
    change: Floats32 | None  # (E, P, P) mm, of a network of kind "label"
    device: str

    @staticmethod
    def open(weights: LearnedWeights, mesh: Mesh, device: str = "cpu") -> "DetailPredictor":
        """mesh: the model's, with UVs. Raises DataError for weights of another topology, or that are not whole."""
        said, tensors = weights.card.architecture, weights.tensors
        own = weights.card.model.get("topology")
        if own is not None and own != topology_id(mesh):
            raise DataError(
                f"these weights are for faces of topology {own} and the model's is {topology_id(mesh)}; train with "
                "this model (`mien learn detail`), or name the model that they were trained with"
            )
        try:
            labels, units = tuple(map(str, said["labels"])), tuple(map(str, said["units"]))
            shape, motion = GeneratorShape(**said["generator"]), said["motion"]
            relief = CommonRelief(
                tensors["relief.rest"].astype(np.float32),
                tensors["relief.slopes"].astype(np.float32),
                tensors["relief.valid"] > 0,
            )
            keys = np.asarray(tensors["key_weights"], np.float64)
            change = tensors["relief.change"].astype(np.float32) if motion == "label" else None
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"these weights lack what a detail network needs ({error}); train again") from None
        if motion not in MOTIONS or shape.inputs != InputShape(motion, len(labels)).channels + CODE:
            raise DataError("these weights are of a network with other inputs: of another version of Mien; train again")
        if keys.shape != (len(labels), len(units)):
            raise ShapeError("key_weights", keys.shape, f"({len(labels)}, {len(units)})")
        network = DetailNetwork(shape)
        load_network(network, weights)
        placed: Any = network.eval().to(device, memory_format=torch.channels_last)
        return DetailPredictor(placed, relief, labels, units, keys, mesh, motion, change, device)

    @property
    def own_px(self) -> int:
        """Side of the maps that the network was trained on, and works on: wrinkles have so many texels as it knows."""
        return self.relief.size_px

    @cached_property
    def grid(self) -> TexelGrid:
        return TexelGrid.of(self.mesh, texels_of(self.mesh, self.own_px))

    @cached_property
    def meter(self) -> StretchMeter:
        return StretchMeter(self.mesh)

    def heights(
        self,
        texture: Image,
        rest_mm: Floats,
        source_mm: Floats,
        target_mm: Floats,
        *,
        label: int = 0,
        tile_px: int | None = None,
    ) -> Floats32:
        """(P, P) mm, P = own_px, of a target expression.

        texture: (S, S, 3) RGB over the UVs, of the source expression.  rest_mm, source_mm, target_mm: (V, 3) the
        person's neutral, source and target without head motion.  label: the target's number, for a network that goes by
        it.  tile_px: side of tiles; None: all at once.  Tiles give what is made at once, to float32's rounding.
        """
        own = _resized(texture, self.own_px)
        values = motion_values(self.meter, rest_mm, source_mm, target_mm)
        code = self._code(own)

        def draw(top: int, left: int, height: int, width: int) -> Floats32:
            colours = own[top : top + height, left : left + width]
            grid = self.grid.window(top, left, height, width)
            if self.change is not None:
                inputs, common = label_window(grid, label, self.change, colours, self.relief, (top, left))
            else:
                inputs, common = input_window(grid, values, colours, self.relief, (top, left))
            return self._answer(inputs, common, code)

        shape = self.network.shape
        tile = tile_px or self.own_px
        return tiled(draw, self.own_px, tile_px=tile, reach_px=shape.reach, multiple=shape.multiple)

    def map(
        self,
        texture: Image,
        rest_mm: Floats,
        source_mm: Floats,
        target_mm: Floats,
        size_px: int,
        *,
        label: int = 0,
    ) -> DisplacementMap:
        """`heights` as a map of size_px, valid where the study measured.

        Larger than own_px it is drawn smoothly between the network's texels: it tells no finer relief than was learned.
        Raises ShapeError for a size that is none.
        """
        if not 8 <= size_px <= _MOST_PX:
            raise ShapeError("size_px", (size_px,), f"8 to {_MOST_PX}")
        tile = None if self.own_px <= TILE_PX else TILE_PX
        own = self.heights(texture, rest_mm, source_mm, target_mm, label=label, tile_px=tile)
        return resampled(own, self.relief.valid, size_px)

    def _code(self, texture: Image) -> torch.Tensor:
        """Of the whole texture: the same for every tile."""
        given = torch.from_numpy(portrait(texture, PORTRAIT_PX)[None]).to(self.device)
        with torch.inference_mode():
            return self.network.code(given)

    def _answer(self, inputs: Floats32, planes: Floats32, code: torch.Tensor) -> Floats32:
        given = torch.from_numpy(inputs[None]).to(self.device, memory_format=torch.channels_last)
        with torch.inference_mode():
            answer = self.network.relief(given, torch.from_numpy(planes[None]).to(self.device), code)
            return np.asarray(answer[0].float().cpu().numpy(), np.float32)


def resampled(height_mm: Floats32, valid: Bools, size_px: int) -> DisplacementMap:
    """A map at another size: cubic when larger, the mean when smaller."""
    if size_px == len(height_mm):
        return DisplacementMap(height_mm, valid)
    larger = size_px > len(height_mm)
    how = cv2.INTER_CUBIC if larger else cv2.INTER_AREA
    height = cv2.resize(height_mm, (size_px, size_px), interpolation=how)
    way = cv2.INTER_NEAREST if larger else cv2.INTER_AREA
    share = cv2.resize(valid.astype(np.float32), (size_px, size_px), interpolation=way)
    return DisplacementMap(np.asarray(height, np.float32), np.asarray(share > 0.5))


def _resized(texture: Image, size_px: int) -> Image:
    if texture.ndim != 3 or texture.shape[0] != texture.shape[1] or texture.shape[2] != 3:
        raise ShapeError("texture", texture.shape, "(S, S, 3) RGB")
    if len(texture) == size_px:
        return texture
    how = cv2.INTER_AREA if len(texture) > size_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(texture, (size_px, size_px), interpolation=how), np.uint8)
