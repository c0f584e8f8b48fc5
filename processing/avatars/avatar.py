"""One photograph to a head that moves: the numerics of `mien avatar`, without files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from common.array_types import Floats, Image
from common.progress import Progress, no_progress
from processing.avatars.avatar_review import judge_avatar, light_ratio
from processing.avatars.avatar_texture import AvatarTexture, Light, avatar_texture
from processing.avatars.head_fit import HeadFit, fit_head
from processing.avatars.mouth_parts import TeethMesh, teeth_mesh
from processing.avatars.person_head import PersonHead
from processing.errors import DataError
from processing.geometry.uv_rasterization import Texels
from processing.scan_quality.verdict import QualityReview
from processing.single_view.appearance.light_solution import NoLight
from processing.single_view.appearance.lighting import Appearance
from processing.single_view.appearance.lighting_fit import estimate_appearance
from processing.single_view.fitting.pose import PhotoPose
from processing.single_view.photograph import Photograph
from processing.template.template import SKIN

_DENSE = 5000  # places of the skin by which light and mask are told


class AvatarError(DataError):
    """No avatar can be made of a photograph."""


@dataclass(frozen=True, eq=False)
class Avatar:
    """A textured head at rest, with its 52 units; model's frame, mm."""

    person: PersonHead
    neutral_mm: Floats  # (L, 3)
    offsets_mm: Floats  # (U, L, 3)
    weights: Floats  # (U,) the photograph's expression
    fit: HeadFit
    texture: AvatarTexture
    teeth: TeethMesh | None
    figures: Mapping[str, Any]
    review: QualityReview


def make_avatar(
    person: PersonHead,
    photograph: Photograph,
    landmarks_px: Floats,
    texels: Texels,
    other: Image,
    *,
    light: Light = "even",
    start: PhotoPose | None = None,
    progress: Progress = no_progress,
) -> Avatar:
    """landmarks_px: (478, 2) as detected.  texels: of the person's mesh.  other: (S', S', 3) BGR, what completes.

    start: a pose to begin the fit at.  Raises AvatarError, PhotoFitError, Degenerate: the photograph is no basis.
    """
    progress(0.0, "fitting the head")
    fit = fit_head(person, photograph, landmarks_px, start=start)
    progress(0.3, "light and skin")
    appearance = _appearance(person, fit, photograph.image)
    progress(0.45, "texture")
    size = (texels.size_px, texels.size_px)
    if other.shape[:2] != size:
        other = np.asarray(cv2.resize(other, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    texture = avatar_texture(
        person, fit, photograph.image, landmarks_px, texels, other, appearance, light=light
    )  # fmt: skip
    topology = person.model.topology
    skin = topology.face & (topology.parts == SKIN)
    normals = topology.mesh.with_vertices(fit.vertices_mm).vertex_normals[skin]
    figures = dict(fit.figures) | {
        "face_completed": texture.face_completed,
        "eyes": texture.eyes,
        "skin_share": None if appearance is None else appearance.share,
        "light_ratio": light_ratio(appearance, normals, fit.camera.R),
    }
    review = judge_avatar(fit.review, figures, landmarks_px)
    if review.verdict == "redo":
        raise AvatarError(
            f"{photograph.name}: {'; '.join(review.reasons)}. Give a photograph that shows the face from the front, "
            "uncovered and evenly lit"
        )
    progress(0.95, "teeth")
    teeth = teeth_mesh(person, fit.neutral_mm)
    return Avatar(person, fit.neutral_mm, person.offsets_mm, fit.weights, fit, texture, teeth, figures, review)


def _appearance(person: PersonHead, fit: HeadFit, image: Image) -> Appearance | None:
    """None where too little of the face is seen, or the model has no colours to compare with."""
    if person.model.albedo is None:
        return None
    try:
        return estimate_appearance(
            person.model, fit.vertices_mm, fit.camera, image, rng=np.random.default_rng(0), dense=_DENSE
        )
    except NoLight:
        return None
