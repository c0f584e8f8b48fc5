"""Maps to maps, after pix2pixHD (Wang et al. 2018): a generator, discriminators at several scales, and their losses.

Two things differ. Nothing is normalised over the picture: what a texel becomes depends on those within `reach` of it
alone, so that a map made in overlapping tiles is the map made at once. And the first features go past the coarse part
to the end, since relief is as fine as the texels themselves.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_SLOPE = 0.2
_RESIDUAL = 0.1  # what a block of the generator adds at first, as a share of what its layers give
_FEW_ROWS = 4


@dataclass(frozen=True)
class GeneratorShape:
    """What a generator is built from."""

    inputs: int  # channels
    outputs: int = 1
    width: int = 16  # channels at the maps' own size; twice as many at each halving
    halvings: int = 2
    blocks: int = 4  # residual blocks at the coarsest size

    @property
    def multiple(self) -> int:
        """Sides of what it takes are multiples of this."""
        return 1 << self.halvings

    @property
    def reach(self) -> int:
        """Texels around one, in each direction, that its value can depend on, rounded up to `multiple`."""
        texels, step = 2, 1  # the first layer's
        for _ in range(self.halvings):
            texels, step = texels + step, 2 * step
        texels += 2 * self.blocks * step
        for _ in range(self.halvings):  # up: one at the finer size, and half a coarse texel for the repeated ones
            texels, step = texels + step, step // 2
        texels += 2  # the last two layers
        return -(-texels // self.multiple + 0) * self.multiple + self.multiple


class Generator(nn.Module):  # type: ignore[misc]
    """(B, inputs, H, W) to (B, outputs, H, W), H and W multiples of `shape.multiple`; at first nearly zero."""

    def __init__(self, shape: GeneratorShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.first = nn.Conv2d(shape.inputs, width, 5, padding=2)
        sizes = [width << k for k in range(shape.halvings + 1)]
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(sizes))
        self.blocks = nn.ModuleList(_Block(sizes[-1]) for _ in range(shape.blocks))
        self.up = nn.ModuleList(nn.Conv2d(b, a, 3, padding=1) for a, b in zip(sizes[-2::-1], sizes[:0:-1], strict=True))
        self.joined = nn.Conv2d(2 * width, width, 3, padding=1)
        self.last = nn.Conv2d(width, shape.outputs, 3, padding=1)
        for layer in (self.first, *self.down, *self.up, self.joined):
            _begin(layer)
        nn.init.normal_(self.last.weight, std=0.01)
        nn.init.zeros_(self.last.bias)

    def forward(self, maps: Tensor) -> Tensor:
        fine = functional.leaky_relu(self.first(maps), _SLOPE)
        x = fine
        for layer in self.down:
            x = functional.leaky_relu(layer(x), _SLOPE)
        for block in self.blocks:
            x = block(x)
        for layer in self.up:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = functional.leaky_relu(layer(x), _SLOPE)
        x = functional.leaky_relu(self.joined(torch.cat([x, fine], dim=1)), _SLOPE)
        return self.last(x)


class _Block(nn.Module):  # type: ignore[misc]
    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        _begin(self.one)
        _begin(self.two)
        with torch.no_grad():
            self.two.weight.mul_(_RESIDUAL)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.two(functional.leaky_relu(self.one(x), _SLOPE))


class Discriminator(nn.Module):  # type: ignore[misc]
    """Layers' answers to (B, inputs, H, W): features of each layer, the last one a verdict a patch (PatchGAN)."""

    def __init__(self, inputs: int, width: int = 16, halvings: int = 3) -> None:
        super().__init__()
        sizes = [inputs, *(width << min(k, 3) for k in range(halvings + 1))]
        steps = [2] * halvings + [1]
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, 4, stride=step, padding=2) for a, b, step in zip(sizes[:-1], sizes[1:], steps, strict=True)
        )
        self.verdict = nn.Conv2d(sizes[-1], 1, 4, padding=2)
        for layer in self.layers:
            _begin(layer)

    def forward(self, maps: Tensor) -> list[Tensor]:
        answers, x = [], maps
        for number, layer in enumerate(self.layers):
            x = layer(x)
            if number and min(x.shape[2:]) >= _FEW_ROWS:
                x = functional.instance_norm(x)
            x = functional.leaky_relu(x, _SLOPE)
            answers.append(x)
        return [*answers, self.verdict(x)]


class MultiScaleDiscriminator(nn.Module):  # type: ignore[misc]
    """Discriminators of one architecture that see a map at its own size, at half of it, at a quarter (Wang, 3.2)."""

    def __init__(self, inputs: int, width: int = 16, halvings: int = 3, scales: int = 3) -> None:
        super().__init__()
        self.scales = nn.ModuleList(Discriminator(inputs, width, halvings) for _ in range(scales))

    def forward(self, maps: Tensor) -> list[list[Tensor]]:
        answers = []
        for number, one in enumerate(self.scales):
            if number:
                maps = functional.avg_pool2d(maps, 3, stride=2, padding=1, count_include_pad=False)
            answers.append(one(maps))
        return answers


def lsgan_loss(answers: Sequence[Sequence[Tensor]], *, real: bool) -> Tensor:
    """Mean square distance of verdicts from 1 (real) or 0, summed over scales (Mao et al. 2017)."""
    wanted = 1.0 if real else 0.0
    return torch.stack([(scale[-1].float() - wanted).square().mean() for scale in answers]).sum()


def feature_matching_loss(made: Sequence[Sequence[Tensor]], true: Sequence[Sequence[Tensor]]) -> Tensor:
    """How far layers' answers to what was made lie from those to the truth: mean absolute difference, averaged over
    layers but the verdict, summed over scales (Wang et al. 2018, equation 4).
    """
    scales = []
    for ours, theirs in zip(made, true, strict=True):
        layers = zip(ours[:-1], theirs[:-1], strict=True)
        scales.append(torch.stack([(a.float() - b.float().detach()).abs().mean() for a, b in layers]).mean())
    return torch.stack(scales).sum()


def masked_l1(made: Tensor, true: Tensor, valid: Tensor) -> Tensor:
    """Mean absolute difference over valid texels; zero where there are none."""
    return ((made.float() - true.float()).abs() * valid).sum() / valid.sum().clamp(min=1.0)


def _begin(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, a=_SLOPE)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
