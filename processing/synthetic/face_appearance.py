"""Textures and displacement maps of synthetic study subjects, over their template's UVs.

Both follow from the study's seed and the subject's number, as its shape does, and from its age and gender; what is laid
on the face follows the surface of every expression.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from common.array_types import Floats, Floats32, Image
from processing.files.displacement_map import DisplacementMap
from processing.geometry.mesh import Mesh
from processing.geometry.noise_field import NoiseField
from processing.geometry.procrustes import fit_motion_robust
from processing.synthetic.face_look import FaceLook
from processing.synthetic.face_paint import paint_face, paint_irises
from processing.synthetic.face_places import FacePlaces, face_places
from processing.synthetic.face_study import StudySubject
from processing.synthetic.skin_displacement import pore_displacement, wrinkle_displacement
from processing.template.template import EYE

TEXTURE_PX = 1024
_PURPOSE = 4  # of a subject's random numbers; face_study has those before
_AGE_DEPTH_MM = 0.3  # of folds that stay in an old face at rest
_YOUNG = 0.35  # of an old face's wrinkles, as deep are a young one's where it moves
_PORES = 0.6  # of what stereo is given to match, as much is in a usual face


@dataclass(frozen=True, eq=False)
class FaceAppearance:
    """What a study subject looks like: made once, then asked for each expression."""

    subject: StudySubject
    look: FaceLook
    places: FacePlaces

    @cached_property
    def _paint(self) -> Floats32:
        return paint_face(self.places, self.look)

    @cached_property
    def _at_rest(self) -> Floats32:
        """(N,) mm of displacement whatever the face does."""
        noise = NoiseField(self.look.seed + 1)
        pores = _PORES * pore_displacement(self.places, noise)
        return np.asarray(pores + self.look.lines * _AGE_DEPTH_MM * _folds(self.places, noise), np.float32)

    def texture(self, vertices_mm: Floats | None = None) -> Image:
        """(S, S, 3) sRGB, RGB order, without light; row 0 is v = 1.

        vertices_mm: (V, 3) the face as it is, on which the eyes look ahead; None: neutral.
        """
        mesh = self.subject.template.mesh
        vertices = self.subject.neutral_mm if vertices_mm is None else vertices_mm
        posed = self.places.texels.interpolate(mesh, vertices)
        color = paint_irises(self._paint, self.places, self.look, posed, self._eyes(vertices))
        shown = np.where(color <= 0.0031308, 12.92 * color, 1.055 * color ** (1 / 2.4) - 0.055)
        fill = np.median(shown, axis=0)
        picture = self.places.texels.image((shown * 255 + 0.5).astype(np.uint8))
        picture[self.places.texels.image(np.ones(len(color), np.uint8)) == 0] = (fill * 255 + 0.5).astype(np.uint8)
        return np.asarray(picture)

    def displacement(self, vertices_mm: Floats | None = None) -> DisplacementMap:
        """Pores, what age has drawn, and wrinkles where the skin of `vertices_mm` (V, 3) is squeezed; mm."""
        places, height = self.places, self._at_rest
        if vertices_mm is not None:
            mesh = self.subject.template.mesh
            lost = 1 - mesh.with_vertices(vertices_mm).vertex_areas / _areas(mesh, self.subject.neutral_mm)
            squeeze = places.texels.interpolate(mesh, np.clip(lost, 0, 1))
            wrinkles = wrinkle_displacement(places, squeeze, NoiseField(self.look.seed + 1))
            height = height + (_YOUNG + (1 - _YOUNG) * self.look.lines) * wrinkles
        image = np.asarray(places.texels.image(height.astype(np.float32)), np.float32)
        return DisplacementMap(image, np.asarray(places.texels.image(places.texels.inside), np.bool_))

    def _eyes(self, vertices_mm: Floats) -> dict[str, tuple[Floats, float, Floats]]:
        """Of each side: the eyeball's centre and radius, and where it looks: ahead of the neutral's place."""
        template, neutral = self.subject.template, self.subject.neutral_mm
        still = (template.parts != EYE).astype(np.float64)
        motion = fit_motion_robust(neutral, vertices_mm, still, with_scale=False, noise_mm=0.3)
        R, t = motion.R, motion.t
        turn = np.radians(self.look.gaze_deg)
        ahead = R @ np.array([np.sin(turn[0]) * np.cos(turn[1]), np.sin(turn[1]), np.cos(turn[0]) * np.cos(turn[1])])
        eyes = {}
        for side, sign in (("L", 1), ("R", -1)):
            here = neutral[(template.parts == EYE) & (sign * template.mesh.vertices_mm[:, 0] > 0)]
            if len(here) < 4:  # of a template so coarse that it has none: nothing is painted there
                continue
            solution = np.linalg.lstsq(np.c_[2 * here, np.ones(len(here))], (here**2).sum(axis=1), rcond=None)[0]
            radius = float(np.sqrt(solution[3] + solution[:3] @ solution[:3]))
            eyes[side] = R @ solution[:3] + t, radius, ahead
        return eyes


def face_appearance(subject: StudySubject, seed: int, number: int, *, size_px: int = TEXTURE_PX) -> FaceAppearance:
    """The appearance of subject `number` (from 0) of the study of a seed.

    size_px: side of the maps.  Raises MeshError where the subject's template has no UVs.
    """
    look = FaceLook.draw(np.random.default_rng([seed, number, _PURPOSE]), subject.age, subject.gender)
    return FaceAppearance(subject, look, face_places(subject.template, size_px))


def _areas(mesh: Mesh, vertices_mm: Floats) -> Floats:
    return mesh.with_vertices(vertices_mm).vertex_areas.clip(1e-12)


def _folds(places: FacePlaces, noise: NoiseField) -> Floats32:
    """(N,) -1..1: lines over the forehead, crow's feet, the fold from nose to mouth."""
    p = places.average_mm
    x, y, z = np.abs(p[:, 0]), p[:, 1], p[:, 2]
    bend = 1.2 * noise(p, 16.0, 41)
    forehead = np.clip((y - 58) / 8, 0, 1) * np.clip((94 - y) / 10, 0, 1) * (x < 45) * np.sin(2 * np.pi * y / 9 + bend)
    fan = np.exp(-(((x - 60) / 8) ** 2) - ((y - 32) / 14) ** 2) * np.sin(np.arctan2(y - 34, x - 44) * 12 + bend)
    fold = (
        -np.exp(-(((x - 22 - 0.42 * (-14 - y)) / 2.0) ** 2))
        * np.clip((-10 - y) / 8, 0, 1)
        * np.clip((y + 52) / 10, 0, 1)
    )
    return np.asarray((0.7 * forehead + 0.8 * fan + fold) * (z > 30) * (places.parts == 0), np.float32)
