"""What a COLMAP model consists of (https://colmap.github.io/format.html): lenses, and photographs with their poses."""

from typing import NamedTuple

from common.bounded.limits import MAX_SIDE_PX


class ColmapModel(NamedTuple):
    """A lens model of COLMAP."""

    number: int  # in binary files
    parameters: int  # how many it has


MODELS = {
    "SIMPLE_PINHOLE": ColmapModel(0, 3), "PINHOLE": ColmapModel(1, 4), "SIMPLE_RADIAL": ColmapModel(2, 4),
    "RADIAL": ColmapModel(3, 5),
    "OPENCV": ColmapModel(4, 8), "FULL_OPENCV": ColmapModel(6, 12),
}  # fmt: skip
MODEL_NAMES = {model.number: name for name, model in MODELS.items()}


class Lens(NamedTuple):
    """What COLMAP calls a camera: the intrinsics."""

    model: str  # a name of MODELS
    width: int  # px
    height: int
    parameters: tuple[float, ...]  # focal lengths, principal point, distortion, as the model has them


class PosedImage(NamedTuple):
    """What COLMAP calls an image: a photograph's pose, world to camera."""

    quaternion: tuple[float, ...]  # w x y z
    t: tuple[float, ...]  # in the model's unit
    camera: int  # the number of its lens
    name: str  # the photograph's file, its folders with "/"


def checked_lens(lens: Lens) -> Lens:
    """The same. Raises ValueError for one that no camera of ours holds."""
    if lens.model not in MODELS:
        raise ValueError(
            f"the lens model {lens.model[:40]} is not held by params.json; take one of {', '.join(MODELS)}"
        )
    if not (0 < lens.width <= MAX_SIDE_PX and 0 < lens.height <= MAX_SIDE_PX):
        raise ValueError(f"a camera of {lens.width} x {lens.height} pixels")
    wanted = MODELS[lens.model].parameters
    if len(lens.parameters) != wanted:
        raise ValueError(f"{lens.model} with {len(lens.parameters)} parameters; it has {wanted}")
    return lens
