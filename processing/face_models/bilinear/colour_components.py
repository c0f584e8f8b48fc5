"""Albedo of a study: its textures brought to one light and one size, and their principal components, streamed.

Eigenfaces by the small Gram matrix (Sirovich and Kirby 1987; Turk and Pentland 1991) over texels of the template's UVs.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats, Floats32, Image
from common.progress import Progress, no_progress, part
from processing.errors import DataError
from processing.face_models.bilinear.tucker import leading
from processing.face_models.face_model import Albedo
from processing.geometry.mesh import Mesh
from processing.geometry.uv_rasterization import texels_of
from processing.template.face_mask import uv_mask
from processing.template.template import EYE, MOUTH_INTERIOR

#: Number of a member -> its texture (any square, 3) RGB, which texels a camera saw (the same square), or None.
ReadTexture = Callable[[int], tuple[Image, NDArray[np.uint8] | None]]
EYE_TEXELS = 24  # of the texture as it came, seen ones: with fewer, eyes tell nothing of the light
WHITE = 0.85  # of the eyes' values of a channel, this share is darker than the white of the eye
MOST_GAIN = 3.0
_SLAB_VALUES = 20_000_000
_MARGIN_PX = 2  # around each chart, so that what samples a seam finds skin on both sides


class ColourMatching(StrEnum):
    """How members' textures are brought to one light."""

    EYES = "eyes"  # the white of the eyes is the same to all; keeps who is dark and who is fair
    MEAN = "mean"  # everybody has the same mean colour
    NONE = "none"  # the studio's light was always the same


@dataclass(frozen=True)
class ColourSettings:
    size_px: int = 256
    components: int = 50
    matching: ColourMatching = ColourMatching.EYES


def colour_components(
    count: int, read: ReadTexture, mesh: Mesh, parts: NDArray[np.int8], settings: ColourSettings,
    *, progress: Progress = no_progress,
) -> tuple[Albedo, Floats]:  # fmt: skip
    """The colours of `count` members, and (C,) the share of their variance in the first 1, 2, ... components.

    A texel that a member's cameras did not see has the others' mean colour in it. Texels that half of the members lack
    are not in the model. In memory is a slab of texels of all; what was read lies in a temporary file without a name.
    Raises DataError for a texture that is no square picture and MeshError for a mesh without UVs.
    """
    texels = texels_of(mesh, settings.size_px, _MARGIN_PX)
    inside = (parts[mesh.triangles[texels.triangle]] == MOUTH_INTERIOR).all(axis=1)
    index = texels.index[~inside]
    eyes: dict[int, Bools] = {}  # of each size of pictures
    with tempfile.TemporaryFile() as file:
        colours = np.memmap(file, dtype=np.float32, mode="w+", shape=(count, len(index), 3))
        levels = np.ones((count, 3))
        for i in range(count):
            picture, seen = _checked(*read(i))
            size = len(picture)
            if size not in eyes:
                eyes[size] = uv_mask(mesh, parts == EYE, size)[..., 0] > 0
            white = to_linear(picture[eyes[size] & seen])
            small, known = _sized(picture, seen, settings.size_px)
            linear = to_linear(small.reshape(-1, 3)[index])
            linear[~known.ravel()[index]] = np.nan
            levels[i] = _level(linear, white, settings.matching)
            colours[i] = linear
            progress(0.5 * (i + 1) / count, f"textures: {i + 1} of {count}")
        gains = (np.median(levels, axis=0) / levels).clip(1 / MOST_GAIN, MOST_GAIN).astype(np.float32)
        for i in range(count):
            colours[i] = from_linear(colours[i] * gains[i])
        return _components(colours, index, settings, part(progress, 0.5, 1.0))


def to_linear(values: NDArray[np.generic]) -> Floats32:
    """sRGB 0..255 to linear light 0..1 (IEC 61966-2-1)."""
    c = np.asarray(values, dtype=np.float32) / np.float32(255)
    return np.asarray(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4), dtype=np.float32)


def from_linear(values: NDArray[np.floating]) -> Floats32:
    """Linear light to sRGB 0..255 and beyond: what is lighter than white stays so."""
    c = np.asarray(values, dtype=np.float32).clip(0)
    return np.asarray(255 * np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055), dtype=np.float32)


def _checked(picture: Image, seen: NDArray[np.uint8] | None) -> tuple[Image, Bools]:
    if picture.ndim != 3 or picture.shape[0] != picture.shape[1] or picture.shape[2] != 3:
        raise DataError(f"a texture of shape {picture.shape}; wanted a square colour picture")
    if seen is None:
        seen = np.full(picture.shape[:2], 255, dtype=np.uint8)
    seen = seen[..., 0] if seen.ndim == 3 else seen
    if seen.shape != picture.shape[:2]:
        raise DataError(f"a mask of seen texels of shape {seen.shape} beside a texture of {picture.shape[:2]}")
    return picture, np.asarray(seen > 127)


def _sized(picture: Image, seen: Bools, size_px: int) -> tuple[Floats32, Bools]:
    """(S, S, 3) and (S, S): texels averaged over those that were seen."""
    weight = seen.astype(np.float32)
    size = (size_px, size_px)
    share = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    total = cv2.resize(picture.astype(np.float32) * weight[..., None], size, interpolation=cv2.INTER_AREA)
    return np.asarray(total / share[..., None].clip(1e-6), dtype=np.float32), np.asarray(share > 0.5)


def _level(linear: Floats32, white: Floats32, matching: ColourMatching) -> Floats:
    """(3,) how light what is the same to all is: texels (N, 3), NaN where unseen, and those of the eyes (E, 3).

    Each channel by itself: a texture of any other gains has its level by these gains.
    """
    known = np.isfinite(linear).all(axis=1)
    if matching is ColourMatching.NONE or not known.any():
        return np.ones(3)
    if matching is ColourMatching.EYES and len(white) >= EYE_TEXELS:
        return np.asarray(np.quantile(white, WHITE, axis=0).clip(1e-3), dtype=np.float64)
    return np.asarray(linear[known].mean(axis=0).clip(1e-3), dtype=np.float64)


def _components(
    colours: Floats32, index: NDArray[np.int64], settings: ColourSettings, progress: Progress
) -> tuple[Albedo, Floats]:
    """Of sRGB colours (n, N, 3), NaN where unseen, at the texels `index` (N,) of the square."""
    count, texels = colours.shape[:2]
    step = max(1, _SLAB_VALUES // (3 * count))
    gram, mean, kept = np.zeros((count, count)), np.zeros((texels, 3)), np.zeros(texels, dtype=np.bool_)
    for start in range(0, texels, step):
        away, here = _about_mean(colours[:, start : start + step], mean[start : start + step])
        kept[start : start + step] = here
        flat = away.reshape(count, -1)
        gram += flat @ flat.T
        progress(0.5 * (start + step) / texels, "colours of the members")
    vectors, values = leading(gram, min(settings.components, count - 1))
    scale = np.sqrt(values[: vectors.shape[1]])
    used = scale > 1e-6 * max(float(scale[0]), 1.0) if len(scale) else np.zeros(0, dtype=np.bool_)
    turned = (vectors[:, used] / scale[used]).T
    components = np.empty((len(turned), texels, 3), dtype=np.float32)
    for start in range(0, texels, step):
        away, _ = _about_mean(colours[:, start : start + step], mean[start : start + step])
        components[:, start : start + step] = (turned @ away.reshape(count, -1)).reshape(len(turned), -1, 3)
        progress(0.5 + 0.5 * (start + step) / texels, "components of colour")
    mask = np.zeros(settings.size_px**2, dtype=np.bool_)
    mask[index[kept]] = True
    order = np.argsort(index[kept])
    albedo = Albedo(
        mask.reshape(settings.size_px, -1),
        mean[kept][order].astype(np.float32),
        np.ascontiguousarray(components[:, kept][:, order]),
        scale[used] / np.sqrt(count),
    )
    return albedo, np.cumsum(values[: len(turned)]) / max(float(values.sum()), 1e-300)


def _about_mean(colours: Floats32, mean: Floats) -> tuple[Floats, Bools]:
    """Deviations (n, M, 3) from the mean of those who were seen, nothing where unseen or where half of the members are.

    `mean` (M, 3) is filled. Also (M,) which texels are in the model.
    """
    values = np.asarray(colours, dtype=np.float64)
    known = np.isfinite(values).all(axis=2)
    number = known.sum(axis=0)
    kept = 2 * number > len(values)
    values[~known] = 0
    mean[:] = values.sum(axis=0) / number[:, None].clip(1)
    values -= mean
    values[~known] = 0
    values[:, ~kept] = 0
    return values, kept
