"""What a photograph's pixels say of a face's shape, as rows of a Gauss-Newton step.

Supplement of FaceScape, section 3, equation 2, with three differences. Light and albedo are not alternated with the
shape but solved for together with it and eliminated, so that the shape is not believed where light or colour would
explain a pixel as well. Residuals are weighted by the inverse of their covariance over the channels, which is
estimated, and robustly, so that the term can be added to others. And the photograph is blurred by millimetres of the
face, coarse to fine, with the albedo blurred alike.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from common.array_types import Bools, Floats, Image, Ints32
from processing.face_models.fitting.normal_equations import INDEPENDENT_MM
from processing.face_models.fitting.robust import geman_mcclure
from processing.geometry.cameras import Camera
from processing.single_view.appearance.blurred_photograph import BlurredPhotograph
from processing.single_view.appearance.face_pixels import FacePixels, smooth_normals
from processing.single_view.appearance.light_solution import (
    FLOOR,
    LIGHTS,
    LightSolution,
    SampleColours,
    appearance_rows,
    light_prior,
    solve_light,
)
from processing.single_view.appearance.lighting import LEAST_SHADING, Lighting, display_slope, linear
from processing.single_view.appearance.sample_geometry import SampleGeometry, triangle_frames
from processing.single_view.appearance.spherical_harmonics import sh_basis_gradient
from processing.single_view.appearance.visible_samples import VisibleSamples

SAMPLES = 2000  # of a photograph
#: Millimetres by which the photograph is blurred, coarse to fine.
BLURS_MM = (4.0, 2.0)
_REACH = 1.5  # deviations of the blur from what is not skin
_LEFT = 0.83  # of a normal distribution's variance, by weights of 3 deviations


@dataclass(frozen=True, eq=False)
class PixelRows:
    """Equations residual + rows . step, each weighted: NormalEquations.add takes them as they are."""

    rows: Floats  # (E, P)
    residual: Floats  # (E,)
    weight: Floats  # (E,)


@dataclass(frozen=True, eq=False)
class PixelLook:
    """Samples of a face in a photograph at one blur, their colours, and the light that explains them."""

    photograph: BlurredPhotograph
    samples: VisibleSamples  # M
    corners: Ints32  # (M, 3) rows of `FacePixels.vertices` between which they lie
    shares: Floats  # (M, 3) how much of each
    beside_mm: Floats  # (M, 3) from there to the sample, camera's frame
    local: Floats  # (M, 3) normals in the frames of the corners' triangles
    colours: SampleColours
    light: LightSolution
    independent: float  # 0..1 how many independent observations a sample is worth
    strength: float
    floor: float  # display values

    def residuals(self, places_mm: Floats, focal_px: float, middle_px: Floats) -> Floats:
        """(M, 3) photograph minus explanation, display values, with the face's vertices at places (N, 3), camera."""
        return self._compared(places_mm, focal_px, middle_px)[1]

    def rows(
        self, places_mm: Floats, change: NDArray[np.floating], focal_px: float, middle_px: Floats,
        *, eliminate: bool = True,
    ) -> PixelRows:  # fmt: skip
        """How residuals change with all unknowns of a fit.

        places_mm: (N, 3) `FacePixels.vertices` in the camera's frame.  change: (N, 3, P) how they move with the
        unknowns, of which the last is the logarithm of the focal length.  middle_px: (2,) where the axis meets the
        picture.  eliminate: light and albedo are unknown too; without, they are as solved, and rows are the plain
        derivatives, a row a sample and channel.
        """
        geometry, residual, gradient, now, within = self._compared(places_mm, focal_px, middle_px)
        by_corner, by_focal = self._by_corners(geometry, gradient, now, focal_px)
        count, unknowns = len(residual), change.shape[2]
        moved = change[self.corners].reshape(count, 9, unknowns)
        rows = np.matmul(by_corner.reshape(count, 3, 9).astype(moved.dtype), moved).astype(np.float64)
        rows[:, :, -1] += by_focal
        if not eliminate:
            return PixelRows(rows.reshape(-1, unknowns), residual.ravel(), np.repeat(within.astype(float), 3))
        white, weight = self._white(residual, within)
        rows, residual = np.matmul(white, rows).reshape(-1, unknowns), (residual @ white.T).ravel()
        _, appearance = appearance_rows(now, self.light.coefficients, self.light.albedo)
        appearance = -np.matmul(white, appearance).reshape(len(rows), -1)
        weight = np.repeat(weight * self.independent * self.strength, 3)
        return _eliminated(rows, residual, weight, appearance, self.light)

    def _compared(
        self, places_mm: Floats, focal_px: float, middle_px: Floats
    ) -> tuple[SampleGeometry, Floats, Floats, SampleColours, Bools]:
        geometry = SampleGeometry(self.shares, places_mm[self.corners], self.beside_mm, self.local)
        points = geometry.points_mm
        pixels = focal_px * points[:, :2] / points[:, 2:] + middle_px
        seen, gradient, within = self.photograph.at(pixels)
        now = replace(self.colours, seen=seen, normals=geometry.normals)
        explained, _ = appearance_rows(now, self.light.coefficients, self.light.albedo)
        return geometry, seen - explained, gradient, now, within

    def _by_corners(
        self, geometry: SampleGeometry, gradient: Floats, now: SampleColours, focal_px: float
    ) -> tuple[Floats, Floats]:
        """(M, 3 channels, 3 corners, 3 axes) of the residuals, and (M, 3) with the focal length's logarithm."""
        points = geometry.points_mm
        flat = points[:, :2] / points[:, 2:]
        along = gradient * (focal_px / points[:, 2])[:, None, None]
        by_place = np.concatenate([along, -np.einsum("nck,nk->nc", along, flat)[:, :, None]], axis=2)
        by_corner = geometry.barycentric[:, None, :, None] * by_place[:, :, None, :]
        lin = linear((now.mean + now.components @ self.light.albedo).clip(1.0, 255.0))
        shading = Lighting(self.light.coefficients).shading(now.normals)
        slope = display_slope(lin * shading) * lin * (shading > LEAST_SHADING)
        by_normal = np.einsum("nkd,kc->ncd", sh_basis_gradient(now.normals), self.light.coefficients)
        by_corner -= geometry.turns(slope[:, :, None] * by_normal)
        return by_corner, np.einsum("nck,nk->nc", gradient, focal_px * flat)

    def _white(self, residual: Floats, within: Bools) -> tuple[Floats, Floats]:
        """(3, 3) that brings residuals (M, 3) to unit covariance, and (M,) what each sample counts."""
        share = self.light.weight * within
        covariance = np.einsum("n,nc,nd->cd", share, residual, residual) / share.sum().clip(1e-9) / _LEFT
        covariance += self.floor**2 * np.eye(3)
        white = np.linalg.inv(np.linalg.cholesky(covariance))
        off = np.sqrt(np.square(residual @ white.T).mean(axis=1))
        return white, np.asarray(geman_mcclure(off, 1.0) * self.colours.share * within)


class PixelTerm:
    """One photograph compared with a model's face. Made once a photograph; `look` before each round of steps.

    image: (H, W, 3) BGR.  skin: (H, W) pixels that may count; None: all.  strength: of the whole term; below 1 where
    the model is known not to explain colours.  floor: display values by which the model's colours are off at least.
    """

    def __init__(
        self, pixels: FacePixels, image: Image, *, count: int = SAMPLES, skin: Bools | None = None,
        strength: float = 1.0, floor: float = FLOOR,
    ) -> None:  # fmt: skip
        self.pixels, self.skin = pixels, skin
        self._image, self._count, self._strength, self._floor = image, count, strength, floor
        self.light: LightSolution | None = None  # as solved when the photograph was last looked at

    def look(self, vertices_mm: Floats, camera: Camera, blur_mm: float, *, rng: np.random.Generator) -> PixelLook:
        """Choose what is compared, at this blur, and solve for the light: vertices (V, 3) in the model's frame.

        camera: without distortion, of one focal length. Raises NoLight where too little of the face is seen.
        """
        mesh = self.pixels.model.topology.mesh.with_vertices(vertices_mm)
        samples = self.pixels.samples(mesh, camera, count=self._count, rng=rng, margin_mm=_REACH * blur_mm)
        if self.skin is not None and len(samples):
            at = np.rint(samples.pixel).astype(int).clip(0, [self.skin.shape[1] - 1, self.skin.shape[0] - 1])
            samples = samples.kept(self.skin[at[:, 1], at[:, 0]])
        mean, components, known = self.pixels.colours.at(samples.triangle, samples.barycentric, blur_mm)
        samples, mean, components = samples.kept(known), mean[known], components[known]
        depth = float(np.median(camera.depth(vertices_mm[self.pixels.vertices])))
        photograph = BlurredPhotograph.of(self._image, *_bounds(samples.pixel), blur_mm * float(camera.K[0, 0]) / depth)
        seen, _, within = photograph.at(samples.pixel)
        normals = smooth_normals(mesh, samples) @ camera.R.T
        corners, shares = self.pixels.between(samples.triangle, samples.barycentric)
        places = camera.to_camera(vertices_mm[self.pixels.vertices])[corners]
        own = np.einsum("nk,nkd->nd", samples.barycentric, vertices_mm[mesh.triangles[samples.triangle]])
        beside = camera.to_camera(own) - np.einsum("nk,nkd->nd", shares, places)
        colours = SampleColours(seen, normals, mean, components, within.astype(np.float64))
        area = float(samples.area_mm2.mean()) if len(samples) else 1.0
        independent = min(1.0, area / (INDEPENDENT_MM**2 + 4 * np.pi * blur_mm**2))
        first = self.light is None
        self.light = solve_light(
            colours, independent=independent, floor=self._floor, iterations=8 if first else 2,
            start=None if self.light is None else (self.light.coefficients, self.light.albedo),
        )  # fmt: skip
        return PixelLook(
            photograph, samples, corners, shares, beside, np.einsum("nkd,nd->nk", triangle_frames(places), normals),
            colours, self.light, independent, self._strength, self._floor,
        )  # fmt: skip


def _eliminated(rows: Floats, residual: Floats, weight: Floats, appearance: Floats, light: LightSolution) -> PixelRows:
    """The equations of the shape alone, of those in which light and albedo are unknown too, with their priors.

    Least squares over light and albedo, put in for them: what is left is rows and residual less their part that light
    and albedo could explain, and what that explanation costs by its prior.
    """
    precision, mean = light_prior(light.coefficients)
    size = appearance.shape[1]
    prior = np.eye(size)
    prior[:LIGHTS, :LIGHTS] = precision
    away = np.r_[light.coefficients.ravel() - mean, light.albedo]
    weighted = appearance * weight[:, None]
    factor = cho_factor(weighted.T @ appearance + prior)
    both = np.c_[rows, residual]
    pull = weighted.T @ both
    pull[:, -1] += prior @ away
    answer = cho_solve(factor, pull)  # light and albedo move by -answer . (step, 1)
    left = both - appearance @ answer
    cost = np.linalg.cholesky(prior).T
    by_prior = -cost @ answer
    by_prior[:, -1] += cost @ away
    every = np.concatenate([left, by_prior])
    return PixelRows(every[:, :-1], every[:, -1], np.r_[weight, np.ones(size)])


def _bounds(pixels: Floats) -> tuple[Floats, Floats]:
    if not len(pixels):
        return np.zeros(2), np.ones(2)
    return pixels.min(axis=0), pixels.max(axis=0)
