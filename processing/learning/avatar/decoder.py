"""A learned decoder of heads: identity features of a photograph to the shape of a low-poly head (Lin et al., 3.3).

Three matrices: NumPy multiplies them before PyTorch would be loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Floats, Floats32, Image
from common.identity_model.face_features import FEATURES
from processing.errors import ShapeError
from processing.face_models.low_poly_head import LowPolyHead
from processing.learning.avatar.decoder_shape import SLOPE, DecoderShape
from processing.learning.weights_file import LearnedWeights, WeightsError

MEMBER_FEATURES = "members.features"
MEMBER_TEXTURE = "members.texture."  # and its number
COMPLETION = "completion"  # of the card's architecture: codes of the members whose textures are there
_MOST_TEXTURE_PX = 8192


@dataclass(frozen=True, eq=False)
class NearMember:
    """A consenting member's skin, which completes what a photograph does not show."""

    code: str  # as the release names the subject
    texture: Image  # (S, S, 3) BGR over the head's UVs, row 0 is v = 1


@dataclass(frozen=True, eq=False)
class AvatarDecoder:
    """Weights made ready to predict heads."""

    head: LowPolyHead
    layers: Mapping[str, Floats32]  # the network's, by their names
    codes: tuple[str, ...]  # of members whose textures are there: N
    features: Floats32  # (N, FEATURES) of these
    weights: LearnedWeights

    @classmethod
    def open(cls, weights: LearnedWeights) -> "AvatarDecoder":
        """Raises WeightsError and LowPolyHeadError for weights that are none of a decoder."""
        head = LowPolyHead.of_arrays(weights.tensors)
        shape = DecoderShape.from_json(weights.card.architecture)
        if shape.vertices != len(head.vertices) or shape.features != FEATURES:
            raise WeightsError(
                f"a decoder of {shape.vertices} vertices from {shape.features} features does not fit a head of "
                f"{len(head.vertices)} and {FEATURES} features; train again"
            )
        layers = _layers(weights, shape)
        codes = tuple(str(code) for code in weights.card.architecture.get(COMPLETION, ()))
        features = np.asarray(weights.tensors.get(MEMBER_FEATURES, np.zeros((0, FEATURES))), np.float32)
        if features.shape != (len(codes), FEATURES) or any(
            f"{MEMBER_TEXTURE}{n}" not in weights.tensors for n in range(len(codes))
        ):
            raise WeightsError("these weights name other members than they have textures of; train again")
        return cls(head, layers, codes, features, weights)

    def predict(self, features: Floats32) -> Floats:
        """(FEATURES,) of `identity_features` -> (L, 3) mm: the head at rest, upright, in the head frame."""
        if features.shape != (FEATURES,):
            raise ShapeError("features", features.shape, f"({FEATURES},)")
        own = self.layers
        x = (np.asarray(features, np.float32) - own["feature_mean"]) * own["feature_scale"]
        x = own["first.weight"] @ x + own["first.bias"]
        x = own["second.weight"] @ np.where(x > 0, x, SLOPE * x) + own["second.bias"]
        return np.asarray(own["last.weight"] @ x + own["last.bias"], np.float64).reshape(-1, 3)

    @property
    def mean_mm(self) -> Floats:
        """(L, 3) the head of nobody: what the last layer adds to."""
        return np.asarray(self.layers["last.bias"], np.float64).reshape(-1, 3)

    def nearest(self, features: Floats32) -> NearMember | None:
        """The consenting member whose features differ least, by the sum of absolute differences (section 3.5); None
        where the weights have no textures. Raises WeightsError for a texture that is none.
        """
        if not self.codes:
            return None
        number = int(np.abs(self.features - features).sum(axis=1).argmin())
        stored = np.asarray(self.weights.tensors[f"{MEMBER_TEXTURE}{number}"], np.uint8).ravel()
        picture = cv2.imdecode(stored, cv2.IMREAD_COLOR) if stored.size else None
        if picture is None or picture.shape[0] != picture.shape[1] or picture.shape[0] > _MOST_TEXTURE_PX:
            raise WeightsError(f"the texture of member {self.codes[number]} in these weights is damaged; train again")
        return NearMember(self.codes[number], np.asarray(picture, np.uint8))


def _layers(weights: LearnedWeights, shape: DecoderShape) -> dict[str, Floats32]:
    """Parameters by their names. Raises WeightsError for those of another network."""
    sizes = {
        "feature_mean": (shape.features,), "feature_scale": (shape.features,),
        "first.weight": (shape.hidden, shape.features), "first.bias": (shape.hidden,),
        "second.weight": (shape.components, shape.hidden), "second.bias": (shape.components,),
        "last.weight": (3 * shape.vertices, shape.components), "last.bias": (3 * shape.vertices,),
    }  # fmt: skip
    layers = {}
    for name, size in sizes.items():
        array = weights.tensors.get(f"network.{name}")
        if array is None or array.shape != size or array.dtype.kind != "f":
            raise WeightsError(f"these weights have no layer {name} of shape {size}; train again")
        layers[name] = np.asarray(array, np.float32)
    return layers
