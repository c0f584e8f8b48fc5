"""Identity features to the vertices of a head: three fully connected layers (Lin et al., section 3.3)."""

import torch
from torch import nn

from common.array_types import Floats
from processing.learning.avatar.decoder_shape import SLOPE, DecoderShape


class ShapeDecoder(nn.Module):  # type: ignore[misc]
    """(B, features) -> (B, L, 3) mm."""

    def __init__(self, shape: DecoderShape) -> None:
        super().__init__()
        self.shape = shape
        self.first = nn.Linear(shape.features, shape.hidden)
        self.second = nn.Linear(shape.hidden, shape.components)
        self.last = nn.Linear(shape.components, 3 * shape.vertices)
        self.dropout = nn.Dropout(shape.dropout)
        # Features come standardised: of length 1, each of the 128 is a tenth.
        self.register_buffer("feature_mean", torch.zeros(shape.features))
        self.register_buffer("feature_scale", torch.ones(shape.features))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        x = (features - self.feature_mean) * self.feature_scale
        x = nn.functional.leaky_relu(self.first(self.dropout(x)), SLOPE)
        return self.last(self.second(self.dropout(x))).reshape(len(x), self.shape.vertices, 3)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def begin_with(self, mean_mm: Floats, components_mm: Floats, features: tuple[Floats, Floats]) -> None:
        """Start the last layer from a mean (L, 3) and components (K, L, 3), K <= `components`, each as long as its
        standard deviation; coefficients begin small, so that the first heads are about the mean.

        features: (F,) mean and standard deviation of the features to come.
        """
        count = len(components_mm)
        self.last.bias.copy_(torch.from_numpy(mean_mm.reshape(-1)))
        self.last.weight.zero_()
        self.last.weight[:, :count] = torch.from_numpy(components_mm.reshape(count, -1).T.copy())
        self.second.weight.mul_(0.1)
        self.second.bias.zero_()
        self.feature_mean.copy_(torch.from_numpy(features[0]))
        self.feature_scale.copy_(torch.from_numpy(1 / features[1].clip(1e-6)))
