"""A texture over UVs from one fitted photograph: light divided out, what is not seen completed and marked."""

from dataclasses import dataclass

import cv2
import numpy as np

from common.array_types import Bools, Floats, Floats32, Image
from processing.errors import ShapeError
from processing.face_models.face_model import FaceModel
from processing.geometry.image_sampling import sample_image
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.uv_rasterization import Texels, texels_of
from processing.single_view.appearance.face_pixels import FacePixels
from processing.single_view.appearance.lighting import display, linear
from processing.single_view.editing.face_view import face_window, in_camera, pixels_of, see_face
from processing.single_view.editing.hole_filling import extended
from processing.single_view.photograph import PhotoFit
from processing.template.template import EYE, SKIN

LEAST_COSINE = 0.4  # between a place's normal and the way to the lens: flatter ones are smeared
_DIM = 0.3  # of the usual shading: a place that is less lit tells its noise rather than its colour
_BRIGHT = 250  # a display value from which on a pixel tells no colour
_MIDLINE = (8, 27, 28, 29, 30, 33, 51, 57, 62, 66)  # landmarks between left and right
_SEAM_PX = 2  # by which what is seen is taken back from its rim
_MEMBRANE_PX = 256  # side of the maps on which differences are carried on


@dataclass(frozen=True, eq=False)
class PhotoTexture:
    """A texture and what of it the photograph showed."""

    texture: Image  # (S, S, 3) RGB without light; row 0 is v = 1
    completed: Bools  # (S, S) texels of the mesh that were not seen
    share: float  # of the mesh's texels, how many were completed
    face_share: float  # and of the face's


def photo_texture(model: FaceModel, fit: PhotoFit, image: Image, size_px: int) -> PhotoTexture:
    """The face's own colours where the photograph shows skin, by the fitted camera and light.

    image: (H, W, 3) BGR, as the fit had it. What is hidden takes its colours from the other side of the face where that
    is seen, else from the model's albedo with the fitted person's parameters; both are shifted smoothly, so that no
    border shows.  Raises ShapeError, MeshError for a model without UVs.
    """
    camera = fit.camera.camera
    if image.shape != (camera.height, camera.width, 3):
        raise ShapeError("image", image.shape, f"({camera.height}, {camera.width}, 3)")
    mesh = model.topology.mesh.with_vertices(fit.vertices_mm)
    texels = texels_of(mesh, size_px)
    colours, seen = seen_colours(model, mesh, texels, fit, image)
    flat = np.asarray(texels.image(colours.astype(np.float32)), np.float32)
    known = np.asarray(texels.image(seen), np.bool_)
    parameters = None if fit.appearance is None else fit.appearance.albedo
    base = base_colours(model, parameters, size_px, flat, known)
    whole = completed_texture(flat, known, base, mirrored_texels(model, texels, known))
    covered = np.asarray(texels.image(np.ones(len(texels.index), np.bool_)), np.bool_)
    left = covered & ~known
    picture = np.rint(whole.clip(0, 255)).astype(np.uint8)
    of_face = np.asarray(model.topology.face[mesh.triangles[texels.triangle]].all(axis=1))
    face = np.asarray(texels.image(of_face), np.bool_)
    return PhotoTexture(picture, left, _share(left, covered), _share(left, face))


def _share(of: Bools, among: Bools) -> float:
    return float((of & among).sum() / max(int(among.sum()), 1))


def seen_colours(model: FaceModel, mesh: Mesh, texels: Texels, fit: PhotoFit, image: Image) -> tuple[Floats32, Bools]:
    """(N, 3) display colours RGB without light at the texels, and (N,) where the photograph tells them.

    mesh: the fitted face, in the model's frame.
    """
    camera, topology = fit.camera.camera, model.topology
    places = texels.interpolate(mesh, mesh.vertices_mm).astype(np.float64)
    normals = texels.interpolate(mesh, mesh.vertex_normals).astype(np.float64) @ camera.R.T
    normals /= np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-9)
    here = camera.to_camera(places)
    towards = -here / np.linalg.norm(here, axis=1, keepdims=True).clip(1e-9)
    posed = in_camera(mesh, mesh.vertices_mm, camera)
    window = face_window(pixels_of(posed.vertices_mm, camera.K), (camera.width, camera.height), margin=0.02)
    view = see_face(posed, camera.K, window)
    facing = (normals * towards).sum(axis=1) > LEAST_COSINE
    seen = facing & view.shows(here) & (here[:, 2] > 0)
    pixels = np.where(seen[:, None], pixels_of(here, camera.K), 0.0)
    photographed = sample_image(image, pixels)[:, ::-1].astype(np.float64)
    counted = FacePixels(model).counted[texels.triangle]
    face = topology.face | (topology.parts == EYE)
    inside = face[mesh.triangles].all(axis=1)[texels.triangle]
    if fit.appearance is not None:
        skin = sample_image(fit.appearance.skin.astype(np.float32), pixels) > 0.5
        seen &= np.where(counted, skin, inside)
        shading = fit.appearance.lighting.shading(normals)
        lit = shading.mean(axis=1)
        if seen.any():
            seen &= lit > _DIM * np.median(lit[seen])
        colours = display(linear(photographed) / shading.clip(0.05))
    else:
        seen &= inside
        colours = photographed
    seen &= (photographed.max(axis=1) < _BRIGHT) & (colours.max(axis=1) < 300)
    return colours.clip(0, 255).astype(np.float32), np.asarray(seen)


def base_colours(model: FaceModel, parameters: Floats | None, size_px: int, seen: Floats32, known: Bools) -> Floats32:
    """(S, S, 3) RGB: the model's albedo of these parameters; of a model without, the median of what is seen."""
    if model.albedo is None:
        median = np.median(seen[known], axis=0) if known.any() else np.full(3, 128.0)
        return np.broadcast_to(median.astype(np.float32), (size_px, size_px, 3)).copy()
    picture = model.albedo.picture(parameters)
    filled = extended(picture.astype(np.float32), model.albedo.mask)
    return np.asarray(cv2.resize(filled, (size_px, size_px), interpolation=cv2.INTER_LINEAR), np.float32)


def mirrored_texels(model: FaceModel, texels: Texels, known: Bools) -> Floats32:
    """(S, S, 2) px, column first: where in the map the other side's place lies of each texel that is not known.

    -1 where a texel is known, or is no skin.
    """
    topology, size = model.topology, texels.size_px
    mesh = topology.mesh
    out = np.full((size * size, 2), -1.0, np.float32)
    wanted = np.flatnonzero(
        ~known.ravel()[texels.index] & topology.frontal[mesh.triangles[texels.triangle]].all(axis=1)
    )
    if not len(wanted) or mesh.uvs is None or mesh.uv_triangles is None:
        return out.reshape(size, size, 2)
    skin = (topology.parts == SKIN)[mesh.triangles].all(axis=1)
    own = np.flatnonzero(skin)
    middle = float(topology.landmark_points(mesh.vertices_mm)[list(_MIDLINE), 0].mean())
    places = texels.interpolate(mesh, mesh.vertices_mm)[wanted].astype(np.float64)
    reflected = places * [-1.0, 1.0, 1.0] + [2 * middle, 0.0, 0.0]
    found = Surface(Mesh(mesh.vertices_mm, mesh.triangles[own])).closest(reflected)
    corners = mesh.uvs[mesh.uv_triangles[own[found.triangle]]]
    uv = np.einsum("nk,nkd->nd", found.barycentric, corners)
    there = np.stack([uv[:, 0] * size - 0.5, (1 - uv[:, 1]) * size - 0.5], axis=1)
    good = skin[texels.triangle[wanted]] & np.isfinite(there).all(axis=1)
    out[texels.index[wanted[good]]] = there[good]
    return out.reshape(size, size, 2)


def completed_texture(seen: Floats32, known: Bools, base: Floats32, mirror: Floats32) -> Floats32:
    """(S, S, 3): what is known stays; the rest from the mirror where it is known there, else from the base.

    seen: (S, S, 3), of which `known` (S, S) counts.  base: (S, S, 3) everywhere.  mirror: (S, S, 2) as
    `mirrored_texels`.  Each filling is moved by what it differs by from the known texels, carried on smoothly.
    """
    core = _shrunk(known)
    filling = _shifted(base, seen, core)
    there = mirror[..., 0] >= 0
    share = cv2.remap(core.astype(np.float32), mirror, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    reflected = there & ~core & (share > 0.999)
    if reflected.any():
        other = cv2.remap(seen, mirror, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        # What both sides have in common with the base is compared: at the rim of what is seen nothing may jump.
        rim = _soft(reflected) * reflected
        own = filling + (other - _low(other, reflected)) + (_low(other, reflected) - filling) * rim[..., None]
        filling = np.where(reflected[..., None], own, filling).astype(np.float32)
    return np.where(core[..., None], seen, filling).astype(np.float32)


def _shifted(base: Floats32, seen: Floats32, known: Bools) -> Floats32:
    """The base, moved smoothly to meet what is known."""
    if not known.any():
        return base
    size, small = len(base), min(len(base), _MEMBRANE_PX)
    weight = cv2.resize(known.astype(np.float32), (small, small), interpolation=cv2.INTER_AREA)
    away = cv2.resize((seen - base) * known[..., None], (small, small), interpolation=cv2.INTER_AREA)
    away = away / weight.clip(1e-6)[..., None]
    carried = extended(away.astype(np.float32), weight > 0.5)
    return np.asarray(base + cv2.resize(carried, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def _low(picture: Floats32, mask: Bools) -> Floats32:
    """What of a picture is coarse, within a mask."""
    sigma = len(picture) / 64
    weight = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma)
    blurred = cv2.GaussianBlur(picture * mask[..., None], (0, 0), sigma)
    return np.asarray(blurred / weight.clip(1e-3)[..., None], np.float32)


def _soft(mask: Bools) -> Floats32:
    """0 at the rim of a mask, 1 well inside."""
    away = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray((away / (len(mask) / 32)).clip(0, 1), np.float32)


def _shrunk(known: Bools) -> Bools:
    kernel = np.ones((2 * _SEAM_PX + 1, 2 * _SEAM_PX + 1), np.uint8)
    return np.asarray(cv2.erode(known.astype(np.uint8), kernel) > 0)
