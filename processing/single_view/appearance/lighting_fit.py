"""Light, albedo and skin of a face whose shape and camera are known."""

import numpy as np

from common.array_types import Bools, Floats, Image
from processing.errors import ShapeError
from processing.face_models.face_model import FaceModel
from processing.face_models.fitting.normal_equations import INDEPENDENT_MM
from processing.geometry.cameras import Camera
from processing.single_view.appearance.blurred_photograph import BlurredPhotograph
from processing.single_view.appearance.face_pixels import FacePixels, smooth_normals
from processing.single_view.appearance.light_solution import (
    LEAST_SAMPLES,
    LightSolution,
    NoLight,
    SampleColours,
    appearance_rows,
    solve_light,
)
from processing.single_view.appearance.lighting import Appearance, Lighting, linear
from processing.single_view.appearance.skin_mask import full, skin_mask

SOLVED = 1800  # samples by which the light is told
DENSE = 6_000  # and of the mask
BLUR_MM = 1.2
_ROUNDS = 2  # of light and mask


def estimate_appearance(
    face: FaceModel | FacePixels,
    vertices_mm: Floats,
    camera: Camera,
    image: Image,
    *,
    rng: np.random.Generator,
    albedo: Floats | None = None,
    start: LightSolution | None = None,
    dense: int = DENSE,
) -> Appearance:
    """How a face is lit and coloured, and where the photograph shows its skin.

    face: the model, or its FacePixels where they are there already.  vertices_mm: (V, 3) in the model's frame.
    camera: from that frame.  image: (H, W, 3) BGR.  albedo: (C,) given and kept.  start: to begin with.
    Light and mask in turn: what the light does not explain is no skin, and does not count for the light. A dark skin in
    bright light and a fair one in dim light look alike: the priors of both decide. A model without albedo lights a
    plain skin: the light's colour is then the person's, and brows and lips are no skin.
    Raises ShapeError, and NoLight where too little of the face is seen.
    """
    pixels = FacePixels(face) if isinstance(face, FaceModel) else face
    if image.shape != (camera.height, camera.width, 3):
        raise ShapeError("image", image.shape, f"({camera.height}, {camera.width}, 3)")
    mesh = pixels.model.topology.mesh.with_vertices(vertices_mm)
    samples = pixels.samples(mesh, camera, count=dense, rng=rng)
    if len(samples) < LEAST_SAMPLES:
        raise NoLight(f"the face's light cannot be told: {len(samples)} places of its skin are seen")
    depth = float(np.median(camera.depth(vertices_mm[pixels.vertices])))
    px_per_mm = float(camera.K[0, 0]) / depth
    low, high = samples.pixel.min(axis=0), samples.pixel.max(axis=0)
    photograph = BlurredPhotograph.of(image, low, high, BLUR_MM * px_per_mm)
    seen, _, within = photograph.at(samples.pixel)
    mean, components, coloured = pixels.colours.at(samples.triangle, samples.barycentric, BLUR_MM)
    normals = smooth_normals(mesh, samples) @ camera.R.T
    known = within & coloured & ~full(seen)
    some = np.flatnonzero(known)[:: max(1, int(known.sum()) // SOLVED)]
    independent = min(1.0, float(samples.area_mm2.mean()) * len(samples) / max(len(some), 1) / INDEPENDENT_MM**2)
    every = SampleColours(seen, normals, mean, components, np.ones(len(seen)))
    given = None if albedo is None else albedo[: pixels.colours.components]
    skin = np.ones(len(samples), np.bool_)
    solution, mask = start, np.zeros(image.shape[:2], np.bool_)
    for _ in range(_ROUNDS):
        of = some[skin[some]] if skin[some].sum() >= LEAST_SAMPLES else some
        part = SampleColours(seen[of], normals[of], mean[of], components[of], np.ones(len(of)))
        before = None if solution is None else (solution.coefficients, solution.albedo)
        solution = solve_light(part, independent=independent, start=before, albedo=given)
        explained, _ = appearance_rows(every, solution.coefficients, solution.albedo)
        skin, mask = skin_mask(
            samples, linear(seen), linear(explained), known, image.shape[:2], samples.step_px / px_per_mm
        )
    assert solution is not None
    return _appearance(pixels.model, solution, mask, float(skin.mean()))


def _appearance(face: FaceModel, light: LightSolution, skin: Bools, share: float) -> Appearance:
    whole = np.zeros(0 if face.albedo is None else len(face.albedo.deviations))
    whole[: len(light.albedo)] = light.albedo
    deviation = float(np.sqrt(np.square(light.deviation).mean()))
    return Appearance(Lighting(light.coefficients), whole, skin, deviation, share)
