"""The network of the learned fit: ShuffleNet v2's trunk, points of the face in its maps, and what face has them.

FaceScape (TPAMI 2023), section 4.1, names the trunk and what comes out: identity, expression, rotation, scale,
translation. Between the two are points here: maps of the trunk's three stages say where some seventy vertices of the
model are seen or, hidden, would be (integral regression, Sun et al. 2018), and three layers say which face before which
camera has its vertices there, with what else the picture shows. Maps find a point wherever it is by the same weights,
and the layers are taught by the model itself without a picture: a tenth of the pictures teaches as much. The camera's
distance comes out besides: a face before a short lens is no weak perspective.
"""

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from common.array_types import Floats, Floats32
from processing.learning.networks.shufflenet_v2 import CHANNELS, STRIDE, Trunk
from processing.learning.regressor.face_crop import FIVE_POINTS

FIVE = 11  # numbers of five points, and whether there are some
POSE = 10  # six numbers of the turn, size, place (2), distance
ACROSS_MM = 221.0  # that the crop shows of a face whose eyes are 62 mm apart
DISTANCE_MM = 1000.0
_UNIT = 0.3  # of expression weights by a unit of output
_SIZE, _PLACE, _DISTANCE = 0.2, 0.2, 0.8
_BESIDE = 0.25  # crop sides by which a cell's point may be beside it, by a unit of output
_SIZES = ("identities", "units", "points", "input_px", "width", "maps", "hidden")
_LARGEST = 65_536


@dataclass(frozen=True, eq=False)
class FaceOutput:
    """A batch of faces in their crops. Lengths of the crop are in its sides, so that its pixels do not matter.

    A place x of the model (mm) lies at `y = R (x - pivot)` about the pivot and is seen at
    `place + size y_xy / (1 + y_z / distance)`: OpenCV's axes, along the line of sight to the pivot.
    """

    scores: Tensor  # (B, n) identity, deviations from the members' mean
    weights: Tensor  # (B, U) as they come: 0..1 and a little beyond
    R: Tensor  # (B, 3, 3) model's frame to the line of sight's
    size: Tensor  # (B,) crop sides a mm at the pivot
    place: Tensor  # (B, 2) of the pivot, 0..1 from the crop's upper left corner
    distance_mm: Tensor  # (B,) of the camera from the pivot
    located: Tensor  # (B, K, 2) where the network sees its points, in the crop's sides
    maps: Tensor  # (B, K, h, w) logarithms, but for a constant, of how likely each point is in each cell of the crop

    def seen(self, points_mm: Tensor, pivot_mm: Tensor) -> tuple[Tensor, Tensor]:
        """(B, M, 3) model's frame -> (B, M, 2) places in the crop, and (B, M) mm of depth beyond the pivot."""
        y = (points_mm - pivot_mm) @ self.R.transpose(1, 2)
        near = 1 + (y[..., 2:] / self.distance_mm[:, None, None]).clamp(min=-0.8)
        return self.place[:, None] + self.size[:, None, None] * y[..., :2] / near, y[..., 2]


class FaceNetwork(nn.Module):  # type: ignore[misc]
    """(B, 3, S, S) BGR 0..255 and (B, 11) of `five_inputs` -> FaceOutput."""

    def __init__(
        self,
        identities: int,
        units: int,
        points: int,
        *,
        input_px: int,
        width: float,
        maps: int = 96,
        hidden: int = 512,
    ) -> None:
        super().__init__()
        self.identities, self.units, self.points, self.input_px = identities, units, points, input_px
        self.width, self.maps, self.hidden = width, maps, hidden
        self.trunk = Trunk(width)
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(count, maps, 1, bias=False), nn.BatchNorm2d(maps)) for count in CHANNELS[width][:3]
        )
        self.joined = nn.Sequential(
            nn.ReLU(inplace=True),
            nn.Conv2d(maps, maps, 3, padding=1, groups=maps, bias=False), nn.BatchNorm2d(maps),
            nn.Conv2d(maps, maps, 1, bias=False), nn.BatchNorm2d(maps), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.places = nn.Conv2d(maps, 3 * points, 1)  # of each point, where it may be, and how far beside (2)
        out = identities + units + POSE
        self.geometry = nn.Sequential(
            nn.Linear(2 * points + FIVE, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True), nn.Linear(hidden, out),
        )  # fmt: skip
        self.besides = nn.Sequential(nn.Linear(self.trunk.channels, 128), nn.ReLU(inplace=True), nn.Linear(128, out))
        nn.init.normal_(self.places.weight, std=0.02)
        nn.init.normal_(self.geometry[-1].weight, std=0.01)
        nn.init.zeros_(self.geometry[-1].bias)
        nn.init.zeros_(self.besides[-1].weight)
        nn.init.zeros_(self.besides[-1].bias)

    def architecture(self) -> dict[str, Any]:
        """What `network_of` builds it anew from."""
        return {"network": "ShuffleNet v2", **{key: getattr(self, key) for key in _SIZES}}

    def forward(self, x: Tensor, five: Tensor) -> FaceOutput:
        x = ((x.to(torch.float32) - 128.0) / 64.0).contiguous(memory_format=torch.channels_last)
        stages = []
        x = self.trunk.pool(self.trunk.stem(x))
        for stage in self.trunk.stages:
            x = stage(x)
            stages.append(x)
        finest = stages[0].shape[-2:]
        joined = self.lateral[0](stages[0])
        for lateral, one in zip(list(self.lateral)[1:], stages[1:], strict=True):
            joined = joined + nn.functional.interpolate(lateral(one), size=finest, mode="nearest")
        maps = self.places(self.joined(joined)).float()
        face = self.face_of(self.located(maps), five, self.besides(x.mean(dim=(2, 3))).float())
        return replace(face, maps=maps[:, : self.points])

    def located(self, maps: Tensor) -> Tensor:
        """(B, 3 K, h, w) -> (B, K, 2) in the crop's sides: the mean place by the first K maps, each cell's shifted."""
        count, _, height, width = maps.shape
        share, x, y = maps.view(count, 3, self.points, height * width).unbind(dim=1)
        share = torch.softmax(share, dim=2)
        rows, columns = torch.meshgrid(
            (torch.arange(height, device=maps.device) + 0.5) / height,
            (torch.arange(width, device=maps.device) + 0.5) / width,
            indexing="ij",
        )
        across = (share * (columns.reshape(-1) + _BESIDE * x)).sum(dim=2)
        down = (share * (rows.reshape(-1) + _BESIDE * y)).sum(dim=2)
        return torch.stack([across, down], dim=2)

    def face_of(self, located: Tensor, five: Tensor, besides: Tensor | None = None) -> FaceOutput:
        """Of points (B, K, 2) in the crop's sides, and what the picture says besides (B, n + U + 10)."""
        raw = self.geometry(torch.cat([4 * (located - 0.5).flatten(1), five], dim=1)).float()
        return self.face(raw if besides is None else raw + besides, located)

    def face(self, raw: Tensor, located: Tensor) -> FaceOutput:
        """(B, n + U + 10) -> what it means."""
        maps = located.new_zeros((len(located), self.points, 1, 1))
        return replace(face_output(raw, self.identities, self.units), located=located, maps=maps)


def face_output(raw: Tensor, identities: int, units: int) -> FaceOutput:
    """(B, n + U + 10) of a last layer -> what it means, no points with it; zeros: a mean face from the front."""
    scores, weights, pose = raw.split([identities, units, POSE], dim=1)
    return FaceOutput(
        scores,
        _UNIT * (weights + 0.3),
        rotation_of(pose[:, :6]),
        torch.exp(_SIZE * pose[:, 6].clamp(-8, 8)) / ACROSS_MM,
        0.5 + _PLACE * pose[:, 7:9],
        DISTANCE_MM * torch.exp(_DISTANCE * pose[:, 9].clamp(-3, 3)),
        raw.new_zeros((len(raw), 0, 2)),
        raw.new_zeros((len(raw), 0, 1, 1)),
    )


def five_inputs(five: Floats | None) -> Floats32:
    """(11,) of five points (5, 2) in the crop's sides (0..1); None, or NaN: there are none."""
    out = np.zeros(FIVE, np.float32)
    if five is not None and np.isfinite(five).all():
        out[:10], out[10] = (10 * (np.asarray(five) - FIVE_POINTS)).clip(-10, 10).ravel(), 1.0
    return out


def rotation_of(six: Tensor) -> Tensor:
    """(B, 6) -> (B, 3, 3): the first two rows, made orthonormal (Zhou et al. 2019); zeros: a face from the front."""
    first = nn.functional.normalize(six[:, :3] + six.new_tensor([1.0, 0, 0]), dim=1)
    second = six[:, 3:] + six.new_tensor([0, -1.0, 0])
    second = nn.functional.normalize(second - (first * second).sum(dim=1, keepdim=True) * first, dim=1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=1)


def network_of(architecture: dict[str, Any]) -> FaceNetwork:
    """The network that an architecture says. Raises KeyError, TypeError, ValueError for none."""
    said = {key: architecture[key] for key in _SIZES}
    whole = {key: int(value) for key, value in said.items() if key != "width"}
    if not all(0 < value <= _LARGEST for value in whole.values()) or whole["input_px"] % STRIDE:
        raise ValueError(f"no network has the sizes {whole}")
    return FaceNetwork(
        whole["identities"], whole["units"], whole["points"], input_px=whole["input_px"], width=float(said["width"]),
        maps=whole["maps"], hidden=whole["hidden"],
    )  # fmt: skip


def fused(network: FaceNetwork) -> FaceNetwork:
    """The same network for looking alone, in evaluation's mode: normalisations are part of the convolutions before."""
    made = copy.deepcopy(network)
    for part in made.modules():
        if isinstance(part, nn.Sequential):
            kept: list[nn.Module] = []
            for layer in part.children():
                if isinstance(layer, nn.BatchNorm2d) and kept and isinstance(kept[-1], nn.Conv2d):
                    kept[-1] = fuse_conv_bn_eval(kept[-1], layer)
                else:
                    kept.append(layer)
            part._modules.clear()
            for number, layer in enumerate(kept):
                part.add_module(str(number), layer)
    return made
