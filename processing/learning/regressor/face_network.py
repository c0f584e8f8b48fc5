"""The network of the learned fit: ShuffleNet v2's trunk, and what of it becomes a face before a camera.

FaceScape (TPAMI 2023), section 4.1, names the trunk and what comes out: identity, expression, rotation, scale,
translation. Three things are ours. The map before the last layers is flattened instead of averaged: where something is
seen in the crop is what pose follows from. The five points by which the face was cropped go in beside the picture: they
tell the pose roughly from the first step of a training on. And the camera's distance comes out besides: a face before a
short lens is no weak perspective.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from common.array_types import Floats, Floats32
from processing.learning.networks.shufflenet_v2 import STRIDE, Trunk
from processing.learning.regressor.face_crop import FIVE_POINTS

FIVE = 11  # numbers of five points, and whether there are some
DIRECT = FIVE + FIVE * (FIVE + 1) // 2
POSE = 10  # six numbers of the turn, size, place (2), distance
ACROSS_MM = 221.0  # that the crop shows of a face whose eyes are 62 mm apart
DISTANCE_MM = 1000.0
_UNIT = 0.3  # of expression weights by a unit of output
_SIZE, _PLACE, _DISTANCE = 0.2, 0.2, 0.8


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

    def seen(self, points_mm: Tensor, pivot_mm: Tensor) -> tuple[Tensor, Tensor]:
        """(B, M, 3) model's frame -> (B, M, 2) places in the crop, and (B, M) mm of depth beyond the pivot."""
        y = (points_mm - pivot_mm) @ self.R.transpose(1, 2)
        near = 1 + (y[..., 2:] / self.distance_mm[:, None, None]).clamp(min=-0.8)
        return self.place[:, None] + self.size[:, None, None] * y[..., :2] / near, y[..., 2]


class FaceNetwork(nn.Module):  # type: ignore[misc]
    """(B, 3, S, S) BGR 0..255 and (B, 11) of `five_inputs` -> FaceOutput."""

    def __init__(
        self, identities: int, units: int, *, input_px: int, width: float, places: int = 96, hidden: int = 512
    ) -> None:
        super().__init__()
        self.identities, self.units, self.input_px, self.width = identities, units, input_px, width
        self.places, self.hidden = places, hidden
        self.trunk = Trunk(width)
        self.flat = nn.Sequential(
            nn.Conv2d(self.trunk.channels, places, 1, bias=False), nn.BatchNorm2d(places), nn.ReLU(inplace=True)
        )
        self.side = side = input_px // STRIDE
        self.five = nn.Sequential(nn.Linear(FIVE, 64), nn.ReLU(inplace=True), nn.Linear(64, 64), nn.ReLU(inplace=True))
        self.mixed = nn.Sequential(nn.Linear(places * side * side + 64, hidden), nn.ReLU(inplace=True))
        self.out = nn.Linear(hidden, identities + units + POSE)
        self.direct = nn.Linear(DIRECT, POSE)  # the pose by the five points alone: `begin` solves it
        for layer in (self.out, self.direct):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def architecture(self) -> dict[str, Any]:
        """What `of_architecture` builds it anew from."""
        keys = ("identities", "units", "input_px", "width", "places", "hidden")
        return {"network": "ShuffleNet v2", **{key: getattr(self, key) for key in keys}}

    def forward(self, x: Tensor, five: Tensor) -> FaceOutput:
        x = ((x.to(torch.float32) - 128.0) / 64.0).contiguous(memory_format=torch.channels_last)
        seen = self.flat(self.trunk(x))
        if seen.shape[-1] != self.side:  # of smaller pictures, with which a training begins
            seen = nn.functional.interpolate(seen, size=(self.side, self.side), mode="nearest")
        both = torch.cat([seen.flatten(1), self.five(five)], dim=1)
        out = self.out(self.mixed(both)).float()
        rough = nn.functional.pad(self.direct(squared(five)).float(), (out.shape[1] - POSE, 0))
        return self.face(out + rough)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def begin(self, five: Tensor, R: Tensor, size: Tensor, place: Tensor, distance_mm: Tensor) -> None:
        """Begin where the five points (N, 11) alone tell the pose, by least squares: the first step is not blind."""
        six = R[:, :2].flatten(1) - R.new_tensor([1.0, 0, 0, 0, -1.0, 0])
        rest = [torch.log(size * ACROSS_MM)[:, None] / _SIZE, (place - 0.5) / _PLACE]
        wanted = torch.cat([six, *rest, torch.log(distance_mm / DISTANCE_MM)[:, None] / _DISTANCE], dim=1).double()
        rows = torch.cat([squared(five), torch.ones_like(five[:, :1])], dim=1).double()
        gram = rows.T @ rows + 1e-3 * len(rows) * torch.eye(rows.shape[1], dtype=torch.float64, device=rows.device)
        found = torch.linalg.solve(gram, rows.T @ wanted).float()
        self.direct.weight.copy_(found[:-1].T)
        self.direct.bias.copy_(found[-1])

    def face(self, raw: Tensor) -> FaceOutput:
        """(B, n + U + 10) -> what it means."""
        scores, weights, pose = raw.split([self.identities, self.units, POSE], dim=1)
        return FaceOutput(
            scores,
            _UNIT * (weights + 0.3),
            rotation_of(pose[:, :6]),
            torch.exp(_SIZE * pose[:, 6].clamp(-8, 8)) / ACROSS_MM,
            0.5 + _PLACE * pose[:, 7:9],
            DISTANCE_MM * torch.exp(_DISTANCE * pose[:, 9].clamp(-3, 3)),
        )


def five_inputs(five: Floats | None) -> Floats32:
    """(11,) of five points (5, 2) in the crop's sides (0..1); None, or NaN: there are none."""
    out = np.zeros(FIVE, np.float32)
    if five is not None and np.isfinite(five).all():
        out[:10], out[10] = (10 * (np.asarray(five) - FIVE_POINTS)).clip(-10, 10).ravel(), 1.0
    return out


def squared(five: Tensor) -> Tensor:
    """(B, 11) -> (B, 77): the numbers, and the products of any two."""
    rows, columns = torch.triu_indices(FIVE, FIVE).unbind()
    return torch.cat([five, five[:, rows] * five[:, columns]], dim=1)


def rotation_of(six: Tensor) -> Tensor:
    """(B, 6) -> (B, 3, 3): the first two rows, made orthonormal (Zhou et al. 2019); zeros: a face from the front."""
    first = nn.functional.normalize(six[:, :3] + six.new_tensor([1.0, 0, 0]), dim=1)
    second = six[:, 3:] + six.new_tensor([0, -1.0, 0])
    second = nn.functional.normalize(second - (first * second).sum(dim=1, keepdim=True) * first, dim=1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=1)


def network_of(architecture: dict[str, Any]) -> FaceNetwork:
    """The network that an architecture says. Raises KeyError, TypeError, ValueError for none."""
    said = {key: architecture[key] for key in ("identities", "units", "input_px", "width", "places", "hidden")}
    whole = {key: int(value) for key, value in said.items() if key != "width"}
    if not all(0 < value <= 65_536 for value in whole.values()) or whole["input_px"] % STRIDE:
        raise ValueError(f"no network has the sizes {whole}")
    width = float(said["width"])
    return FaceNetwork(
        whole["identities"], whole["units"], input_px=whole["input_px"], width=width, places=whole["places"],
        hidden=whole["hidden"],
    )  # fmt: skip
