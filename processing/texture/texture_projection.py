"""The texture of a registered face: photographs projected onto its UVs and blended band by band.

Broad colour is averaged over the views that see a place, so that no view's border shows; fine detail comes from the
best of them, so that pores stay sharp where views differ by a fraction of a millimetre. The photographs themselves are
split into bands, which no chart's border can disturb (Allène, Pons and Keriven 2008; Burt and Adelson 1983).
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from common.array_types import Bools, Floats, Floats32, Image
from common.progress import Progress, no_progress, part
from processing.errors import DataError, ShapeError
from processing.geometry.cameras import Camera
from processing.geometry.image_sampling import sample_image
from processing.geometry.mesh import Mesh, subdivide
from processing.geometry.uv_rasterization import Texels, texels_of
from processing.photometry.exposure_gains import Gains, solve_gains
from processing.texture.view_visibility import keep_best_views, view_weights

VIEWS_A_VERTEX = 5
DISAGREEMENT = 18.0  # grey levels between views of one place that are still ordinary
FINE_VERTICES = 40_000  # the mesh on which visibility is found has at least this many
# What is finer than so many mm on the face is one band, and so on; how strongly each band prefers the best view.
BAND_MM = (0.8, 4.0)
BAND_POWERS = (6.0, 2.5, 1.0)
_COMPARISON_BLUR_PX = 1.5  # photographs are compared at vertices after a blur of this
_DARK, _BRIGHT = 12, 245
_GAIN_SAMPLES = 5000
_TEXELS_AT_ONCE = 1 << 18
COARSER, COARSE_PX = 4, 512  # broad bands have this many times fewer texels a side, but no fewer than these
CLEARLY_WORSE = 0.6  # of the best view's weight: under 5 % of its weight in the finest band


@dataclass(frozen=True, eq=False)
class Texture:
    """The colours of a face over its UVs."""

    image: Image  # (S, S, 3) BGR, row 0 is v = 1, filled where unseen
    seen: Bools  # (S, S) a camera saw the texel
    gains: Floats  # (C, 3) by which each photograph's channels were multiplied to match the others


def project_texture(
    mesh: Mesh,
    images: Sequence[Image],
    cameras: Sequence[Camera],
    *,
    size_px: int = 2048,
    progress: Progress = no_progress,
) -> Texture:
    """Project the photographs onto the mesh's UVs.

    mesh: registered, with UVs, mm.  images: (H, W, 3) uint8 BGR, distorted, one a camera.
    Views that disagree with the others (glare, a hand, an error of the geometry) get little weight.
    Raises ShapeError, MeshError and DataError when nothing is seen.
    """
    fine = mesh
    while len(fine.vertices_mm) < FINE_VERTICES:
        fine = subdivide(fine)
    projection = PhotoProjection(fine, images, cameras, progress=part(progress, 0.0, 0.4))
    progress(0.4, "rasterising the UVs")
    return projection.texture(fine, texels_of(fine, size_px), progress=part(progress, 0.45, 1.0))


class PhotoProjection:
    """The weights of photographs at a mesh's vertices, and the gains that match their colours.

    Made once, it serves for several positions of the same topology that lie close together.
    """

    def __init__(
        self, mesh: Mesh, images: Sequence[Image], cameras: Sequence[Camera], *, progress: Progress = no_progress
    ) -> None:
        if len(images) != len(cameras):
            raise ShapeError("images", (len(images),), f"one a camera, ({len(cameras)},)")
        for image, camera in zip(images, cameras, strict=True):
            if image.shape != (camera.height, camera.width, 3):
                wanted = f"({camera.height}, {camera.width}, 3)"
                raise ShapeError(f"image of camera {camera.name or '?'}", image.shape, wanted)
        self.images, self.cameras = images, cameras
        weights = view_weights(mesh, cameras, progress=part(progress, 0.0, 0.8))
        if not weights.any():
            raise DataError("no camera sees the mesh: do the cameras belong to it, in the same frame and in mm?")
        progress(0.8, "matching colours")
        colours = _vertex_colours(mesh, images, cameras, weights)
        self.gains = match_colours(colours)
        weights = weights * _agreement(colours * self.gains.gain.astype(np.float32)[:, None], weights)
        weights = keep_best_views(weights, VIEWS_A_VERTEX)
        self.weights: Floats32 = weights / weights.sum(axis=1, keepdims=True).clip(1e-12)

    def texture(self, mesh: Mesh, texels: Texels, *, progress: Progress = no_progress) -> Texture:
        """The photographs over `texels` of a mesh like the first one. Raises ShapeError."""
        if len(mesh.vertices_mm) != len(self.weights):
            raise ShapeError("mesh.vertices_mm", mesh.vertices_mm.shape, f"({len(self.weights)}, 3)")
        # Broad bands need no more texels than they have detail; the finest one no views that would hardly count.
        coarse = texels_of(mesh, texels.size_px // COARSER) if texels.size_px >= COARSER * COARSE_PX else texels
        best = self.weights.max(axis=1, keepdims=True)
        sharp = np.where(self.weights >= CLEARLY_WORSE * best, self.weights, 0).astype(np.float32)
        fine, broad = _BandSums(texels, 1), _BandSums(coarse, len(BAND_POWERS) - 1)
        for c, (image, camera) in enumerate(zip(self.images, self.cameras, strict=True)):
            progress(0.9 * c / len(self.cameras), f"projecting photograph {c + 1} of {len(self.cameras)}")
            seeing = np.flatnonzero(self.weights[:, c] > 0)
            if len(seeing):
                footprint = float(np.median(camera.depth(mesh.vertices_mm[seeing]))) / camera.K[0, 0]
                split = split_bands(image, [mm / footprint for mm in BAND_MM])
                gain = self.gains.gain[c].astype(np.float32)
                fine.add(mesh, camera, sharp[:, c], gain, split[:1], BAND_POWERS[:1])
                broad.add(mesh, camera, self.weights[:, c], gain, split[1:], BAND_POWERS[1:])
        seen = broad.mass[-1] > 0.02
        if coarse is texels:
            picture = _fill_unseen(texels, broad.color() + fine.color(), seen)
        else:  # what nobody saw is filled in the broad bands alone: it has no others
            size = (texels.size_px, texels.size_px)
            large = _fill_unseen(coarse, broad.color(), seen)
            mask = np.asarray(coarse.image(seen.astype(np.uint8)), dtype=np.uint8)
            seen = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST).ravel()[texels.index] > 0
            picture = np.asarray(cv2.resize(large, size, interpolation=cv2.INTER_CUBIC), dtype=np.float32)
            picture.reshape(-1, 3)[texels.index] += fine.color() * seen[:, None]
        image = np.rint(picture, out=picture).clip(0, 255).astype(np.uint8)
        progress(1.0, "textured")
        return Texture(image, np.asarray(texels.image(seen & texels.inside), dtype=np.bool_), self.gains.gain)


class _BandSums:
    """Weighted sums of some bands over texels, photograph by photograph: total (B, N, 3) and mass (B, N)."""

    def __init__(self, texels: Texels, bands: int) -> None:
        self.texels = texels
        self.total = np.zeros((bands, len(texels.index), 3), dtype=np.float32)
        self.mass = np.zeros((bands, len(texels.index)), dtype=np.float32)

    def color(self) -> Floats32:
        """(N, 3) the bands' means, added up."""
        out = self.total[0] / self.mass[0].clip(1e-12)[:, None]
        for total, mass in zip(self.total[1:], self.mass[1:], strict=True):
            out += total / mass.clip(1e-12)[:, None]
        return np.asarray(out, dtype=np.float32)

    def add(
        self,
        mesh: Mesh,
        camera: Camera,
        weight: Floats32,
        gain: Floats32,
        split: Sequence[NDArray[np.generic]],
        powers: Sequence[float],
    ) -> None:
        """One photograph's bands. Pixels are interpolated between vertices: a triangle is a mm wide."""
        texels = self.texels
        used: Bools = np.asarray((weight > 0)[mesh.triangles].any(axis=1))
        at_vertex = np.zeros((len(weight), 3), dtype=np.float32)
        touched = np.unique(mesh.triangles[used])
        at_vertex[touched, :2], at_vertex[touched, 2] = camera.project(mesh.vertices_mm[touched]), weight[touched]
        at_vertex = np.nan_to_num(at_vertex, nan=-1e4)

        def chunk(start: int) -> None:
            some = start + np.flatnonzero(used[texels.triangle[start : start + _TEXELS_AT_ONCE]])
            corners, barycentric = mesh.triangles[texels.triangle[some]], texels.barycentric[some]
            here = at_vertex[corners[:, 0]] * barycentric[:, :1]
            for k in (1, 2):
                here += at_vertex[corners[:, k]] * barycentric[:, k : k + 1]
            good = here[:, 2] > 1e-3
            some, here = some[good], here[good]
            if not len(some):
                return
            for band, power in enumerate(powers):
                weights = here[:, 2] if power == 1 else here[:, 2] ** power
                self.total[band, some] += sample_image(split[band], here[:, :2]) * gain * weights[:, None]
                self.mass[band, some] += weights

        if len(touched):
            with ThreadPoolExecutor(2) as pool:  # each texel is in one chunk
                list(pool.map(chunk, range(0, len(texels.index), _TEXELS_AT_ONCE)))


def split_bands(image: Image, sigmas_px: Sequence[float]) -> list[NDArray[np.generic]]:
    """(H, W, 3) uint8 -> its detail finer than each sigma in turn (int16), then what is left (uint8); they add up."""
    out: list[NDArray[np.generic]] = []
    rest: Image = image
    for sigma in sigmas_px:
        broad = _blurred(image, sigma)
        out.append(np.asarray(cv2.subtract(rest, broad, dtype=cv2.CV_16S)))
        rest = broad
    return [*out, rest]


def _blurred(image: Image, sigma_px: float) -> Image:
    """A Gaussian blur, wide ones on a smaller picture."""
    shrink = int(sigma_px / 3)
    if shrink < 2:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), max(sigma_px, 0.3)), dtype=np.uint8)
    height, width = image.shape[:2]
    size = (max(1, width // shrink), max(1, height // shrink))
    small = cv2.GaussianBlur(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (0, 0), sigma_px * size[0] / width)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def _vertex_colours(mesh: Mesh, images: Sequence[Image], cameras: Sequence[Camera], weights: Floats32) -> Floats32:
    """(C, V, 3) what each camera sees at each vertex, NaN where it does not."""
    colours = np.full((len(cameras), len(weights), 3), np.nan, dtype=np.float32)
    for c, (image, camera) in enumerate(zip(images, cameras, strict=True)):
        seeing = np.flatnonzero(weights[:, c] > 0)
        if len(seeing):
            colours[c, seeing] = sample_image(
                cv2.GaussianBlur(image, (0, 0), _COMPARISON_BLUR_PX), camera.project(mesh.vertices_mm[seeing])
            )
    return colours


def match_colours(colours: Floats32) -> Gains:
    """The gains that bring (C, V, 3) colours together, from places that several cameras see well exposed."""
    several = np.flatnonzero(np.isfinite(colours[..., 0]).sum(axis=0) >= 2)
    places = colours[:, several[:: max(1, len(several) // _GAIN_SAMPLES)]]
    with np.errstate(invalid="ignore"):
        usable: Bools = np.asarray((places > _DARK).all(axis=2) & (places < _BRIGHT).all(axis=2))
    return solve_gains(np.log(np.where(usable[..., None], places, np.nan)))


def _agreement(colours: Floats32, weights: Floats32) -> Floats32:
    """(V, C) how far each view agrees with the weighted mean of the others at a vertex (Geman-McClure, twice)."""
    known: Bools = np.asarray(np.isfinite(colours[..., 0]).T)
    values = np.nan_to_num(colours).transpose(1, 0, 2)
    agreement = known.astype(np.float32)
    for _ in range(2):
        weight = (weights * agreement)[..., None]
        mean = (weight * values).sum(axis=1) / weight.sum(axis=1).clip(1e-9)
        off = np.abs(values - mean[:, None]).mean(axis=2)
        agreement = known / (1 + np.square(off / DISAGREEMENT)) ** 2
    return np.asarray(agreement, dtype=np.float32)


def _fill_unseen(texels: Texels, color: Floats32, seen: Bools) -> Floats32:
    """Unseen texels, and the square around the charts, take the colours nearest by, ever more blurred (push-pull)."""
    values = np.asarray(texels.image(np.where(seen[:, None], color, 0).astype(np.float32)), dtype=np.float32)
    mask = np.asarray(texels.image(seen.astype(np.float32)), dtype=np.float32)
    return push_pull_fill(values, mask)


def push_pull_fill(values: Floats32, mask: Floats32) -> Floats32:
    """Fill (H, W, K) where mask (H, W) is 0 from coarser and coarser averages; kept exactly where it is 1."""
    height, width = mask.shape
    if not mask.any() or (mask > 0).all() or min(height, width) <= 1:
        return values
    size = ((width + 1) // 2, (height + 1) // 2)
    share = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    half = cv2.resize(values * mask[..., None], size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)
    half = half / np.maximum(share, 1e-6)[..., None]
    coarse = push_pull_fill(half.astype(np.float32), (share > 1e-6).astype(np.float32))
    back = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, -1)
    return np.asarray(np.where(mask[..., None] > 0, values, back), dtype=np.float32)
