"""What a decoder of heads is trained with."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from processing.errors import DataError
from processing.synthetic.training_photographs import PhotographLimits

Size = Literal["small", "full"]
#: How more heads are made of a study's: DR features blended (the paper's own), Gaussian in PCA's coefficients by group
#: (its ablation C-PCA), members again and again (its ablation No-Aug).
SAMPLINGS = ("dr", "pca", "none")


class AvatarTrainingError(DataError):
    """A decoder of heads cannot be trained so."""


def _limits(size_px: int) -> PhotographLimits:
    return PhotographLimits(
        size_px=size_px,
        yaw_deg=15,
        pitch_deg=15,
        roll_deg=15,
        distance_mm=(350, 2200),
        across_mm=(240, 330),
        shift=0.05,
    )


@dataclass(frozen=True)
class AvatarSettings:
    """`full` is the paper's; `small` is for two cores."""

    size: Size = "full"
    vertices: int = 3000  # of the low-poly head, about
    sampling: str = "dr"
    heads: int = 10_000
    members: int = 5  # blended for one head
    radius: tuple[float, float] = (0.6, 1.3)
    photographs: int = 4  # of each head
    of_members: int = 30  # of each consenting member, whose mean features completion compares with
    texture_px: int = 512
    kept_px: int = 512  # of textures that go into the weights, of consenting members alone
    kept_textures: int = 64  # at most
    textures_near: int = 5  # of the nearest consenting members of a head one's texture is drawn
    occlusion_rays: int = 12
    shard: int = 50  # heads a file
    processes: int = 2  # that render
    components: int = 200
    # Beside the paper: people of another population are else farther off than the mean head is.
    dropout: float = 0.2  # of features and of the hidden layer
    feature_noise: float = 0.7  # deviations
    weight_decay: float = 0.0
    batch: int = 64
    epochs: int = 500
    patience: int = 60  # epochs without a better score of those held back
    rate: float = 1e-4
    betas: tuple[float, float] = (0.5, 0.999)
    face_mm: float = 95.0  # from the tip of the nose,
    face_weight: float = 5.0  # within which a vertex counts so much
    limits: PhotographLimits = field(default_factory=lambda: _limits(224))

    def __post_init__(self) -> None:
        if self.sampling not in SAMPLINGS:
            raise AvatarTrainingError(f"there is no sampling '{self.sampling}'; there are {', '.join(SAMPLINGS)}")
        for key in ("heads", "members", "photographs", "of_members", "shard", "processes", "components", "batch"):
            if getattr(self, key) < 1:
                raise AvatarTrainingError(f"{key} is {getattr(self, key)}; at least 1 is needed")

    @staticmethod
    def of(size: Size) -> "AvatarSettings":
        """The presets."""
        if size == "full":
            return AvatarSettings()
        if size != "small":
            raise AvatarTrainingError(f"there is no size '{size}'; there are small and full")
        return AvatarSettings(
            size="small", heads=1200, photographs=3, of_members=6, texture_px=256, kept_px=256, kept_textures=32,
            rate=1e-3, epochs=40, patience=8, limits=_limits(176),
        )  # fmt: skip

    def as_json(self) -> Mapping[str, Any]:
        """For the card."""
        return asdict(self)
