"""What a regressor is trained with."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from processing.errors import DataError
from processing.synthetic.training_photographs import PhotographLimits, Spoiling

Size = Literal["small", "full"]


class RegressorError(DataError):
    """A regressor cannot be trained so."""


@dataclass(frozen=True)
class RegressorSettings:
    """`full` is the paper's: 256 x 256 in, ShuffleNet v2 1.0x. `small` is for two cores and minutes, in which a trunk
    learns little: it reads the landmark detector's points.
    """

    size: Size = "full"
    reads: Literal["pixels", "landmarks"] = "pixels"
    input_px: int = 256
    width: float = 1.0  # of ShuffleNet v2: 0.5, 1.0, 1.5, 2.0
    photographs: int = 400_000  # renders, once for all epochs
    measured: int = 2000  # renders of people held back, to measure with
    views: int = 5  # of each face
    render_px: int = 320
    texture_px: int = 512
    shard: int = 250  # photographs a file
    batch: int = 64
    steps: int = 200_000  # in all, over which the rate falls
    coarse_px: int = 128  # of the crops with which a training begins: a quarter of the work, or less
    coarse_share: float = 0.4  # of the steps, with those
    rate: float = 2e-3
    warm_steps: int = 400
    weight_decay: float = 0.02
    average: float = 0.9995  # of the weights that are kept, a step
    points: int = 320  # of the face that are compared, about
    processes: int = 2  # that render
    geometry_steps: int = 3000  # by which the layers from points to faces are taught beforehand, without pictures
    geometry_batch: int = 512
    photograph_fits: str = ""  # folder of `mien face fit` results: the studio's own photographs
    photograph_share: float = 0.25  # of a batch, where there are some
    limits: PhotographLimits = field(default_factory=lambda: PhotographLimits(size_px=320))
    spoiling: Spoiling = field(default_factory=Spoiling)

    def __post_init__(self) -> None:
        if self.input_px % 32 or self.input_px < 64:
            raise RegressorError(
                f"a network that looks at {self.input_px} px is none of ours: a multiple of 32 from 64"
            )
        for key in ("photographs", "measured", "views", "shard", "batch", "steps", "points", "processes"):
            if getattr(self, key) < 1:
                raise RegressorError(f"{key} is {getattr(self, key)}; at least 1 is needed")
        if self.limits.size_px != self.render_px:
            object.__setattr__(self, "limits", replace(self.limits, size_px=self.render_px))

    @staticmethod
    def of(size: Size) -> "RegressorSettings":
        """The presets."""
        if size == "full":
            return RegressorSettings()
        if size != "small":
            raise RegressorError(f"there is no size '{size}'; there are small and full")
        return RegressorSettings(
            size="small", reads="landmarks", photographs=3000, measured=250, render_px=256, batch=256, steps=1600,
            rate=1e-3,
        )  # fmt: skip

    def as_json(self) -> Mapping[str, Any]:
        """For the card."""
        return asdict(self)
