"""The texture of a registered face: photographs projected onto its UVs and blended."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from processing.appearance.visibility import keep_best, view_weights
from processing.cameras import Camera, Image
from processing.errors import DataError, ShapeError
from processing.mesh import Mesh, subdivide
from processing.progress import Progress, part, silent
from processing.uv_texels import Texels, texels_of

Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Bools = NDArray[np.bool_]

VIEWS_A_VERTEX = 5
DISAGREEMENT = 18.0  # grey levels between views of one texel that are still ordinary
FINE_VERTICES = 40_000  # the mesh on which visibility is found has at least this many
_GAIN_POINTS = 4000


@dataclass(frozen=True, eq=False)
class Texture:
    """image: (S, S, 3) uint8 BGR, row 0 is v = 1, filled where unseen.  seen: (S, S) a camera saw the texel.

    gains: (C,) by which each photograph was multiplied to match the others.
    """

    image: Image
    seen: Bools
    gains: Floats


def project_texture(
    mesh: Mesh,
    images: Sequence[Image],
    cameras: Sequence[Camera],
    *,
    size_px: int = 2048,
    progress: Progress = silent,
) -> Texture:
    """Project the photographs onto the mesh's UVs.

    mesh: registered, with UVs, mm.  images: (H, W, 3) uint8 BGR, distorted, one a camera.
    A texel takes the weighted mean of the views that see its point best; views that disagree with the others (glare,
    a hand, a slip of the geometry) get little say. Raises ShapeError, MeshError and DataError when nothing is seen.
    """
    if len(images) != len(cameras):
        raise ShapeError("images", (len(images),), f"one a camera, ({len(cameras)},)")
    for image, camera in zip(images, cameras, strict=True):
        if image.shape != (camera.height, camera.width, 3):
            raise ShapeError(
                f"image of camera {camera.name or '?'}", image.shape, f"({camera.height}, {camera.width}, 3)"
            )
    fine = mesh
    while len(fine.vertices_mm) < FINE_VERTICES:
        fine = subdivide(fine)
    weights = view_weights(fine, cameras, progress=part(progress, 0.0, 0.4))
    if not weights.any():
        raise DataError("no camera sees the mesh: do the cameras belong to it, in the same frame and in millimetres?")
    gains = exposure_gains(fine, images, cameras, weights)
    weights = keep_best(weights, VIEWS_A_VERTEX)
    weights /= weights.sum(axis=1, keepdims=True).clip(1e-12)
    progress(0.4, "rasterising the UVs")
    texels = texels_of(fine, size_px)
    color, seen = _blend(fine, texels, images, cameras, weights, gains, part(progress, 0.45, 0.95))
    image = _fill_unseen(texels, color, seen)
    progress(1.0, "textured")
    return Texture(image, np.asarray(texels.image(seen & texels.inside), dtype=np.bool_), gains)


def _sample(image: Image, pixels: Floats) -> Floats32:
    """(N, 2) px -> (N, 3) bilinear; cv2.remap takes at most 32767 rows, so the points are laid out in a block."""
    count = len(pixels)
    width = 8192
    padded = np.zeros((-(-count // width) * width, 2), dtype=np.float32)
    padded[:count] = pixels
    block = padded.reshape(-1, width, 2)
    out = [
        cv2.remap(image, rows[..., 0], rows[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for rows in np.split(block, range(8192, len(block), 8192))
    ]
    return np.concatenate(out).reshape(-1, 3)[:count].astype(np.float32)


def exposure_gains(
    mesh: Mesh, images: Sequence[Image], cameras: Sequence[Camera], weights: Floats32, *, limit: float = 2.0
) -> Floats:
    """(C,) factors that bring the photographs to one exposure: each point's colour times each camera's gain.

    Alternating medians in the logarithm over points that several cameras see; their geometric mean is 1.
    """
    several = np.flatnonzero((weights > 0).sum(axis=1) >= 2)
    if not len(several):
        return np.ones(len(cameras))
    points = several[:: max(1, len(several) // _GAIN_POINTS)]
    bright = np.full((len(points), len(cameras)), np.nan)
    for c, (image, camera) in enumerate(zip(images, cameras, strict=True)):
        see = np.flatnonzero(weights[points, c] > 0)
        if len(see):
            grey = _sample(image, camera.project(mesh.vertices_mm[points[see]])).mean(axis=1)
            usable = (grey > 12) & (grey < 245)
            bright[see[usable], c] = np.log(grey[usable])
    gain = np.zeros(len(cameras))
    known = np.isfinite(bright)
    enough = known.sum(axis=0) >= 20
    for _ in range(8):
        corrected = np.where(known, bright + gain, np.nan)
        rows = known.sum(axis=1) >= 2
        if not rows.any():
            break
        point = np.nanmedian(corrected[rows], axis=1)
        for c in np.flatnonzero(enough).tolist():
            use = known[rows, c]
            if use.any():
                gain[c] = float(np.median(point[use] - bright[rows][use, c]))
        if enough.any():
            gain[enough] -= gain[enough].mean()
    return np.asarray(np.exp(gain.clip(-np.log(limit), np.log(limit))))


def _blend(
    mesh: Mesh,
    texels: Texels,
    images: Sequence[Image],
    cameras: Sequence[Camera],
    weights: Floats32,
    gains: Floats,
    progress: Progress,
) -> tuple[Floats32, Bools]:
    """(N, 3) colours and (N,) seen: a weighted mean, then once more with views far from it doubted."""
    points = texels.interpolate(mesh, mesh.vertices_mm)
    corners = mesh.triangles[texels.triangle]
    total = np.zeros((len(points), 3), dtype=np.float32)
    mass = np.zeros(len(points), dtype=np.float32)
    looks: list[tuple[NDArray[np.int64], NDArray[np.uint8], Floats32]] = []
    for c, (image, camera) in enumerate(zip(images, cameras, strict=True)):
        progress(0.8 * c / len(cameras), f"projecting photograph {c + 1} of {len(cameras)}")
        column = weights[:, c]
        used: Bools = np.asarray((column > 0)[mesh.triangles].any(axis=1))
        some = np.flatnonzero(used[texels.triangle])
        if not len(some):
            continue
        weight = np.einsum("nk,nk->n", column[corners[some]], texels.barycentric[some])
        some, weight = some[weight > 1e-4], weight[weight > 1e-4]
        pixels = camera.project(points[some].astype(np.float64))
        color = (_sample(image, pixels) * gains[c]).clip(0, 255)
        total[some] += color * weight[:, None]
        mass[some] += weight
        looks.append((some, np.rint(color).astype(np.uint8), weight.astype(np.float32)))
    mean = total / mass.clip(1e-6)[:, None]
    total[:], second = 0, np.zeros_like(mass)
    for some, stored, weight in looks:
        color = stored.astype(np.float32)
        off = np.abs(color - mean[some]).mean(axis=1)
        trusted = weight / (1 + np.square(off / DISAGREEMENT)) ** 2
        total[some] += color * trusted[:, None]
        second[some] += trusted
    seen = mass > 0.02
    return np.asarray(total / second.clip(1e-6)[:, None], dtype=np.float32), seen


def _fill_unseen(texels: Texels, color: Floats32, seen: Bools) -> Image:
    """Unseen texels, and the square around the charts, take the colours nearest by, ever more blurred (push-pull)."""
    values = np.asarray(texels.image(np.where(seen[:, None], color, 0).astype(np.float32)), dtype=np.float32)
    mask = np.asarray(texels.image(seen.astype(np.float32)), dtype=np.float32)
    return np.rint(push_pull(values, mask)).clip(0, 255).astype(np.uint8)


def push_pull(values: Floats32, mask: Floats32) -> Floats32:
    """Fill (H, W, K) where mask (H, W) is 0 from coarser and coarser averages; kept exactly where it is 1."""
    height, width = mask.shape
    if not mask.any() or (mask > 0).all() or min(height, width) <= 1:
        return values
    size = ((width + 1) // 2, (height + 1) // 2)
    share = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    half = cv2.resize(values * mask[..., None], size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)
    half = half / np.maximum(share, 1e-6)[..., None]
    coarse = push_pull(half.astype(np.float32), (share > 1e-6).astype(np.float32))
    back = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, -1)
    return np.asarray(np.where(mask[..., None] > 0, values, back), dtype=np.float32)
