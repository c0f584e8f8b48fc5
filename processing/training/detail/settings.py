"""How displacement maps are learned."""

from dataclasses import dataclass
from typing import Literal

from processing.errors import DataError
from processing.learning.detail.detail_inputs import MOTIONS, Motion

Size = Literal["small", "full"]


@dataclass(frozen=True)
class DetailSettings:
    """Of the displacement network. Losses are weighed against each other: L1 in tenths of a millimetre counts `l1`."""

    size: Size = "small"
    map_px: int = 256  # side of the maps that are learned from
    patch_px: int = 128  # of them, what one step sees
    pairs: int = 2  # windows a step, each of one person and source with two target expressions
    width: int = 16  # of the generator, and of the discriminators
    blocks: int = 4
    halvings: int = 2
    discriminator_width: int = 12
    rate: float = 1e-3  # Adam's, falling with the steps
    decay_steps: int = 500
    l1: float = 10.0
    change: float = 20.0  # of the difference between two expressions of a person, in which what is still cancels
    feature_matching: float = 0.05  # lambda of equation 5, times `adversarial`
    adversarial: float = 0.005
    motion: Motion = "deforming"  # or "label": the paper's network without deforming map
    steps_an_epoch: int = 200
    steps: int = 400
    key_subjects: int = 12  # by whom the key expressions' weights are told

    def __post_init__(self) -> None:
        if self.motion not in MOTIONS:
            raise DataError(f"there is no motion '{self.motion}'; there are {', '.join(MOTIONS)}")
        multiple = 1 << self.halvings
        if self.patch_px > self.map_px or self.patch_px % multiple or self.map_px % multiple:
            raise DataError(
                f"patches of {self.patch_px} of maps of {self.map_px} px: multiples of {multiple} are wanted, and "
                "patches no larger than maps"
            )

    @staticmethod
    def of(size: Size) -> "DetailSettings":
        """small: minutes on two cores. full: as the paper, maps of 1024, on a GPU."""
        if size == "small":
            return DetailSettings()
        return DetailSettings(
            size="full", map_px=1024, patch_px=512, pairs=4, width=32, blocks=9, halvings=3, discriminator_width=64,
            rate=2e-4, decay_steps=100_000, steps_an_epoch=2_000, steps=300_000, key_subjects=100,
        )  # fmt: skip
