"""ShuffleNet v2 (Ma, Zhang, Zheng, Sun 2018), written from the paper: units of section 3 (figure 3 c and d), widths of
table 5.

A unit of stride 1 splits the channels in two: one half stays as it is, the other goes through a pointwise, a depthwise
and a pointwise convolution; both are joined and the channels of the two halves shuffled. A unit of stride 2 sends all
channels through both branches, and so doubles them. Each convolution is followed by a batch normalisation, pointwise
ones by a ReLU besides.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

STEM = 24  # channels after the first convolution
REPEATS = (4, 8, 4)  # units of stages 2, 3 and 4
#: Width -> channels of stages 2, 3, 4 and of the last pointwise convolution (table 5; the text of its 0.5x says 48).
CHANNELS: Mapping[float, tuple[int, int, int, int]] = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}
STRIDE = 32  # of the trunk: a picture of S px gives a map of S / 32


def shuffled(x: Tensor, groups: int = 2) -> Tensor:
    """(B, C, H, W) with channel i of group g at place i groups + g."""
    count, channels, height, width = x.shape
    return x.view(count, groups, channels // groups, height, width).transpose(1, 2).reshape(x.shape)


class Unit(nn.Module):  # type: ignore[misc]
    """Figure 3 (c) for stride 1, (d) for stride 2."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        if stride == 1 and inputs != outputs:
            raise ValueError(f"a unit of stride 1 keeps its channels; {inputs} cannot become {outputs}")
        half = outputs // 2
        self.stride = stride
        through = inputs if stride == 2 else inputs // 2
        self.kept = nn.Sequential()
        if stride == 2:
            self.kept = nn.Sequential(*_depthwise(inputs, 2), *_pointwise(inputs, half))
        self.changed = nn.Sequential(*_pointwise(through, half), *_depthwise(half, stride), *_pointwise(half, half))

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 2:
            joined = torch.cat([self.kept(x), self.changed(x)], dim=1)
        else:
            stays, goes = x.chunk(2, dim=1)
            joined = torch.cat([stays, self.changed(goes)], dim=1)
        return shuffled(joined)


class Trunk(nn.Module):  # type: ignore[misc]
    """(B, 3, S, S) -> (B, channels, S / 32, S / 32): the first convolution, pooling, and stages 2 to 4."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        if width not in CHANNELS:
            raise ValueError(f"there is no ShuffleNet v2 of width {width}; there are {', '.join(map(str, CHANNELS))}")
        first = nn.Conv2d(3, STEM, 3, stride=2, padding=1, bias=False)
        self.stem = nn.Sequential(first, nn.BatchNorm2d(STEM), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        stages, inputs = [], STEM
        for outputs, repeats in zip(CHANNELS[width], REPEATS, strict=False):
            units = [Unit(inputs, outputs, 2), *(Unit(outputs, outputs, 1) for _ in range(repeats - 1))]
            stages.append(nn.Sequential(*units))
            inputs = outputs
        self.stages = nn.Sequential(*stages)
        self.channels = inputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.stages(self.pool(self.stem(x)))
        return out


class ShuffleNetV2(nn.Module):  # type: ignore[misc]
    """The paper's classifier: (B, 3, S, S) -> (B, classes)."""

    def __init__(self, width: float = 1.0, classes: int = 1000) -> None:
        super().__init__()
        self.trunk = Trunk(width)
        last = CHANNELS[width][3]
        self.last = nn.Sequential(*_pointwise(self.trunk.channels, last))
        self.classes = nn.Linear(last, classes)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classes(self.last(self.trunk(x)).mean(dim=(2, 3)))
        return out


def _pointwise(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)


def _depthwise(channels: int, stride: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False)
    return convolution, nn.BatchNorm2d(channels)
