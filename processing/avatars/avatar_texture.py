"""The texture of an avatar: the photograph where it shows the face, completed from a subject's texture.

Section 3.5 of the avatar paper. Only the face itself is taken from the photograph: hair, collar and what else stands
before a head belong to no head's skin. Eyes are textured by themselves: from the photograph where they are open.
"""

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np

from common.array_types import Bools, Floats, Floats32, Image
from processing.avatars.head_fit import HeadFit
from processing.avatars.person_head import PersonHead
from processing.avatars.poisson_blending import blend
from processing.avatars.projected_texture import ProjectedTexture, project_photograph
from processing.geometry.mesh import Mesh
from processing.geometry.uv_rasterization import Texels
from processing.landmarks.multi_pie_68 import MEDIAPIPE_TO_68
from processing.single_view.appearance.lighting import Appearance, display, linear
from processing.template.template import EYE, MOUTH_INTERIOR, SKIN

Light = Literal["keep", "even"]

_SEEN = 0.3  # trust from which on a texel is the photograph's
_CORE = (*range(6, 11), *range(17, 68))  # landmarks between which all belongs to the face: brows, beard, lips
_GROWN = 0.02  # of the eyes' distance, by which that is enlarged
_EDGE_MM = 2.5  # a mask's edge is no skin yet
_EVEN = (0.72, 1.5)  # factors on light that are divided out, at most: nine functions say little of grazing places
_OPEN = 0.12  # an eye's height by its width from which on it is open enough to be taken
_EYE_SEEN = 0.05  # trust from which on a texel of an eye is the photograph's: its edge is under a lid
_SOFT = 0.003  # of the square's side
_EYE_SHOWN = 0.08  # share of an eye's texels that must be seen
_CAVITY = (34.0, 26.0, 92.0)  # BGR of the mouth's inside at its entrance
_CLOSED_GAIN = (0.5, 1.6)
_DARK = 12.0  # added to colours before their logarithm is taken: noise of dark places is no ratio
_GREY = 1.0  # mean difference of channels of a photograph without colours


@dataclass(frozen=True, eq=False)
class AvatarTexture:
    """S x S texels, row 0 is v = 1."""

    image: Image  # (S, S, 3) BGR
    completed: Bools  # (S, S) texels of skin that the photograph does not show
    shown: Bools  # (S, S) texels of the face's skin that are the photograph's
    face_completed: float  # share of the face that is completed, by area
    eyes: str  # whose they are: "photograph", "subject" (that of `other`), "none" of a head that has none


def avatar_texture(
    person: PersonHead,
    fit: HeadFit,
    photograph: Image,
    landmarks_px: Floats,
    texels: Texels,
    other: Image,
    appearance: Appearance | None,
    *,
    light: Light = "even",
) -> AvatarTexture:
    """photograph: (H, W, 3) BGR.  landmarks_px: (478, 2).  other: (S, S, 3) BGR, the texture that completes.

    appearance: light and skin of the photograph, where they could be told.  light: "even" divides the broad light out.
    """
    head, size = person.head, texels.size_px
    mesh = person.model.topology.mesh.with_vertices(fit.vertices_mm)
    usable = _usable(photograph, landmarks_px, appearance, float(fit.figures["px_per_mm"]))
    face = _texels_of(texels, np.asarray(person.model.topology.face[head.triangles].all(axis=1)))
    shown = _some(texels, np.asarray((person.model.topology.face | (head.parts == EYE))[head.triangles].all(axis=1)))
    seen = project_photograph(mesh, fit.camera, photograph, shown, usable)
    if light == "even" and appearance is not None:
        seen = _evened(seen, mesh, fit, shown, appearance)
    parts = _part_texels(person, texels)
    base = (_grey(other) if _is_grey(photograph) else other).astype(np.float32)
    known = (seen.trust > _SEEN) & face & (parts == SKIN) & ~_at_open_mouth(parts, landmarks_px, size)
    # As logarithms: light and skin are factors on colours, and dark hair is not made blue by what makes skin paler.
    whole = blend(mesh, texels, np.log(seen.colours + _DARK), known, np.log(base + _DARK), parts == SKIN)
    colours = (np.exp(whole.colours) - _DARK).clip(0, 255)
    colours[known] = seen.colours[known]
    gain = _gain(colours, base, known)
    eyes = _draw_eyes(colours, seen, person, texels, parts, landmarks_px, gain)
    _draw_mouth(colours, mesh, person, texels, parts)
    _fill_around(colours, texels)
    skin = face & (parts == SKIN)
    area = _areas(mesh, texels)
    share = float(area[skin & ~known].sum() / max(float(area[skin].sum()), 1e-9))
    image = np.rint(colours).clip(0, 255).astype(np.uint8)
    return AvatarTexture(image, whole.completed, known, share, eyes)


def _is_grey(photograph: Image) -> bool:
    """Whether a photograph has no colours."""
    small = photograph[::7, ::7].astype(np.int32)
    return bool(np.abs(small - small.mean(axis=2, keepdims=True)).mean() < _GREY)


def _grey(image: Image) -> Image:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)


def eye_openings(landmarks_px: Floats) -> tuple[float, float]:
    """Height by width of the subject's right and left eye, as detected."""
    points = landmarks_px[MEDIAPIPE_TO_68]
    found = []
    for first in (36, 42):
        a, b, c, d, e, f = points[first : first + 6]
        height = (np.linalg.norm(b - f) + np.linalg.norm(c - e)) / 2
        found.append(float(height / max(float(np.linalg.norm(a - d)), 1e-6)))
    return found[0], found[1]


def _usable(image: Image, landmarks_px: Floats, appearance: Appearance | None, px_per_mm: float) -> Bools:
    """(H, W) pixels that are the face's: between its landmarks, and what is skin around them."""
    points = landmarks_px[MEDIAPIPE_TO_68]
    core = np.zeros(image.shape[:2], np.uint8)
    hull = cv2.convexHull(points[list(_CORE)].astype(np.float32))
    cv2.fillConvexPoly(core, np.rint(hull).astype(np.int32), 1)
    grown = max(1, round(_GROWN * float(np.linalg.norm(points[36] - points[45]))))
    core = cv2.dilate(core, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grown + 1, 2 * grown + 1)))
    edge = max(1, round(_EDGE_MM * px_per_mm))
    square = np.ones((2 * edge + 1, 2 * edge + 1), np.uint8)
    outline = np.zeros_like(core)
    cv2.fillConvexPoly(outline, np.rint(cv2.convexHull(landmarks_px.astype(np.float32))).astype(np.int32), 1)
    outline = cv2.erode(outline, square, borderValue=0)
    if appearance is None:
        return np.asarray((core > 0) & (outline > 0))
    skin = cv2.erode(appearance.skin.astype(np.uint8), square, borderValue=0)
    return np.asarray(((core > 0) & (outline > 0)) | (skin > 0))


def _evened(
    seen: ProjectedTexture, mesh: Mesh, fit: HeadFit, texels: Texels, appearance: Appearance
) -> ProjectedTexture:
    """The photograph's colours without the light's broad differences; its mean colour over the face stays."""
    normals = mesh.vertex_normals @ fit.camera.R.T
    shading = appearance.lighting.shading(normals)
    brightness = shading.mean(axis=1, keepdims=True)
    front = normals[:, 2] < -0.5
    typical = np.median(brightness[front]) if front.any() else np.median(brightness)
    factor = texels.interpolate(mesh, (brightness / typical).clip(*_EVEN))
    own = seen.colours.reshape(-1, 3)[texels.index].astype(np.float64)
    even = display(linear(own) / factor).clip(0, 255)
    return ProjectedTexture(np.asarray(texels.image(even.astype(np.float32)), np.float32), seen.trust)


def _part_texels(person: PersonHead, texels: Texels) -> np.ndarray:
    """(S, S) the part that each texel shows, -1 none; a triangle at a part's border is of the part that is no skin."""
    head = person.head
    of_triangle = np.zeros(len(head.triangles), np.int8)
    of_triangle[(head.parts[head.triangles] == EYE).any(axis=1)] = EYE
    of_triangle[(head.parts[head.triangles] == MOUTH_INTERIOR).all(axis=1)] = MOUTH_INTERIOR
    return np.asarray(texels.image(of_triangle[texels.triangle], background=-1))


def _some(texels: Texels, triangles: Bools) -> Texels:
    """The texels of some triangles (T,)."""
    kept = triangles[texels.triangle]
    return Texels(
        texels.size_px, texels.index[kept], texels.triangle[kept], texels.barycentric[kept], texels.inside[kept]
    )


def _texels_of(texels: Texels, triangles: Bools) -> Bools:
    picture: Any = texels.image(triangles[texels.triangle].astype(np.uint8))
    return np.asarray(picture > 0)


def _at_open_mouth(parts: np.ndarray, landmarks_px: Floats, size: int) -> Bools:
    """(S, S) the lips' inner edge, where the photograph shows teeth beside them."""
    points = landmarks_px[MEDIAPIPE_TO_68]
    gap = np.linalg.norm(points[[61, 62, 63]] - points[[67, 66, 65]], axis=1).mean()
    if gap < 0.06 * np.linalg.norm(points[60] - points[64]):
        return np.zeros(parts.shape, np.bool_)
    reach = max(1, round(9 * size / 1024))
    inside = (parts == MOUTH_INTERIOR).astype(np.uint8)
    return np.asarray(cv2.dilate(inside, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0)


def _gain(colours: Floats32, base: Floats32, known: Bools) -> Floats:
    """(3,) by what the photograph's skin differs from the other texture's."""
    if not known.any():
        return np.ones(3)
    ratio = np.median(colours[known], axis=0) / np.median(base[known], axis=0).clip(1)
    return np.asarray(ratio.clip(*_CLOSED_GAIN))


def _draw_eyes(
    colours: Floats32,
    seen: ProjectedTexture,
    person: PersonHead,
    texels: Texels,
    parts: np.ndarray,
    landmarks_px: Floats,
    gain: Floats,
) -> str:
    """Both eyes from the photograph where both are open; what the lids hide goes on as what is seen ends.

    Both or none: eyes of two people in one face are seen at once.
    """
    if not (parts == EYE).any():
        return "none"
    across = person.neutral_mm[:, 0] - person.neutral_mm[person.head.parts == EYE, 0].mean()
    sideways: Any = texels.image(texels.interpolate(person.model.topology.mesh, across))
    left = np.asarray(sideways > 0)
    domains = [(parts == EYE) & side for side in (~left, left)]
    known = [domain & (seen.trust > _EYE_SEEN) for domain in domains]
    shown = all(some.sum() > max(_EYE_SHOWN * domain.sum(), 1) for some, domain in zip(known, domains, strict=True))
    if not (shown and min(eye_openings(landmarks_px)) > _OPEN):
        colours[parts == EYE] *= float(gain.mean())
        return "subject"
    for domain, some in zip(domains, known, strict=True):
        _spread(colours, seen.colours, some, domain)
    return "photograph"


def _spread(colours: Floats32, seen: Floats32, known: Bools, domain: Bools) -> None:
    """Colours of the domain: those known, and the nearest known one elsewhere, softened."""
    rows, columns = np.flatnonzero(domain.any(axis=1)), np.flatnonzero(domain.any(axis=0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    there, values = known[box], seen[box]
    _, label = cv2.distanceTransformWithLabels(
        (~there).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.zeros((int(label.max()) + 1, 3), np.float32)
    of_label[label[there]] = values[there]
    nearest = of_label[label]
    soft = cv2.GaussianBlur(nearest, (0, 0), max(1.0, _SOFT * len(colours)))
    filled = np.where(there[..., None], values, soft)
    colours[box] = np.where(domain[box][..., None], filled, colours[box])


def _draw_mouth(colours: Floats32, mesh: Mesh, person: PersonHead, texels: Texels, parts: np.ndarray) -> None:
    """The mouth's inside: dark, the darker the deeper."""
    inside = parts == MOUTH_INTERIOR
    if not inside.any():
        return
    neutral = person.neutral_mm
    lips = person.head.landmark_points(neutral)[60:].mean(axis=0)
    depth = texels.image(texels.interpolate(mesh, (lips[2] - neutral[:, 2]).clip(0, 60)))
    light = np.exp(-np.asarray(depth) / 14.0)[..., None].astype(np.float32)
    colours[inside] = (np.array(_CAVITY, np.float32) * (0.35 + 0.65 * light))[inside]


def _fill_around(colours: Floats32, texels: Texels) -> None:
    """Beyond the charts, the mean: where a coarse copy of the texture mixes it in, nothing shows."""
    none = np.ones(texels.size_px**2, np.bool_)
    none[texels.index] = False
    flat = colours.reshape(-1, 3)
    if none.any():
        flat[none] = flat[texels.index].mean(axis=0)


def _areas(mesh: Mesh, texels: Texels) -> Floats32:
    """(S, S) mm^2 that each texel shows, up to a factor of its triangle."""
    area = np.linalg.norm(mesh.triangle_cross, axis=1)
    count = np.bincount(texels.triangle[texels.inside], minlength=len(area)).clip(1)
    per = (area / count)[texels.triangle] * texels.inside
    return np.asarray(texels.image(per.astype(np.float32)), np.float32)
