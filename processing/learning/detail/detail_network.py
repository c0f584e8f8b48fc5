"""The displacement network: how strongly a person has what faces have in common, by the whole portrait, and the rest.

    relief = gain_0 rest + gain_1 moved + SCALE_MM generator(...)          mm

Age shows anywhere on a face and deepens lines everywhere: a convolution over texels cannot carry that across the map,
and a tile does not see it. So a small encoder looks at the whole texture, once, and its code goes to every texel.
"""

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from processing.learning.detail.detail_inputs import SCALE_MM
from processing.learning.networks.pix2pix_hd import Generator, GeneratorShape

PORTRAIT_PX = 64  # side of the whole texture as the encoder sees it
CODE = 4  # numbers of the portrait that every texel is given
_GAINS = 2
_WIDTHS = (8, 16, 24)


class DetailNetwork(nn.Module):  # type: ignore[misc]
    """shape: of the generator, whose inputs are those of `InputShape` and CODE more. At first the common relief."""

    def __init__(self, shape: GeneratorShape) -> None:
        super().__init__()
        self.shape = shape
        self.generator = Generator(shape)
        sizes = (3, *_WIDTHS)
        self.encoder = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in itertools.pairwise(sizes))
        side = PORTRAIT_PX >> (len(_WIDTHS) + 1)
        self.coded = nn.Linear(_WIDTHS[-1] * side * side, CODE)
        self.gains = nn.Linear(CODE, _GAINS)
        nn.init.normal_(self.gains.weight, std=0.1)
        nn.init.zeros_(self.gains.bias)

    def code(self, portrait: Tensor) -> Tensor:
        """(B, 3, PORTRAIT_PX, PORTRAIT_PX) of -1..1 to (B, CODE)."""
        x = portrait
        for layer in self.encoder:
            x = functional.leaky_relu(layer(x), 0.2)
        return torch.tanh(self.coded(functional.avg_pool2d(x, 2).flatten(1)))

    def relief(self, inputs: Tensor, planes: Tensor, code: Tensor) -> Tensor:
        """(B, 1, H, W) mm. inputs: (B, C, H, W).  planes: (B, 2, H, W) mm, common relief at rest and what moves."""
        spread = code[:, :, None, None].expand(-1, -1, *inputs.shape[2:]).to(inputs.dtype)
        rest = self.generator(torch.cat([inputs, spread], dim=1)).float()
        gains = 1 + self.gains(code).float()[:, :, None, None]
        return (gains * planes).sum(dim=1, keepdim=True) + SCALE_MM * rest

    def forward(self, inputs: Tensor, planes: Tensor, portrait: Tensor) -> Tensor:
        return self.relief(inputs, planes, self.code(portrait))
