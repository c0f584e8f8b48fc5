"""What a decoder of heads is built as; apart from the network, so that predicting does without PyTorch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from processing.errors import DataError

SLOPE = 0.2  # of the hidden layer below nothing


@dataclass(frozen=True)
class DecoderShape:
    """What builds the network anew."""

    vertices: int  # L
    features: int = 128
    hidden: int = 128
    components: int = 200
    dropout: float = 0.0  # of features and of the hidden layer, while it learns

    def as_json(self) -> Mapping[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(said: Mapping[str, Any]) -> "DecoderShape":
        """Raises DataError for what `as_json` did not make."""
        try:
            sizes = [int(said[key]) for key in ("vertices", "features", "hidden", "components")]
            shape = DecoderShape(sizes[0], sizes[1], sizes[2], sizes[3], float(said["dropout"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"no decoder of heads is built so ({error!r}); train again") from None
        if min(shape.vertices, shape.features, shape.hidden, shape.components) < 1 or not 0 <= shape.dropout < 1:
            raise DataError("no decoder of heads is built so: a size is below 1; train again")
        return shape
