"""FaceScape's table 1 in kind: detailed rigs made from one rendered photograph each, against true detailed meshes.

Mean absolute distance from the predicted surface to the true one over the face, after the similarity that fits the
predicted base mesh's face to the true base mesh's: of the base alone and of the detailed model, in the photographed
expression (source) and in all. Expressions are posed by the weights that the network's file keeps (all), and by
those fitted to the person's own take (all_own_weights).
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from common.array_types import Bools, Floats, Image
from processing.displacement.apply_displacement import displace
from processing.evaluation.lab.lab_cameras import FOCALS_PX, SIZE_PX, lab_views
from processing.evaluation.metrics.view import Perspective
from processing.face_models.face_model import FaceModel
from processing.face_models.fitting.vertex_fit import VertexFitSettings, fit_meshes
from processing.files.displacement_map import DisplacementMap
from processing.files.displacement_png import read_displacement_png
from processing.geometry.cameras import Camera
from processing.geometry.mesh import Mesh, Surface
from processing.geometry.procrustes import fit_motion
from processing.landmarks.detector import LandmarkDetector
from processing.landmarks.face_finding import MOST_FACES
from processing.learning.detail.detail_files import key_rig
from processing.learning.detail.detail_predictor import DetailPredictor
from processing.learning.detail.photo_texture import photo_texture
from processing.single_view.editing.edit_files import with_light
from processing.single_view.photo_fit import fit_photographs
from processing.single_view.photograph import PhotoFit, Photograph
from processing.synthetic.face_photographs import (
    FacePhotography,
    drawn_background,
    drawn_lighting,
    exposed_for,
    turned_lighting,
)
from processing.training.study_faces import StudyFaces

PHOTO_PX = 768
MAP_PX = 256
_SUBDIVISIONS = 2
_MOST_POINTS = 20_000


@dataclass(frozen=True, eq=False)
class TruePerson:
    """What is measured against."""

    code: str
    labels: tuple[str, ...]
    base: Mesh  # topology
    bases_mm: dict[str, Floats]
    maps: dict[str, DisplacementMap]
    texture: Image  # RGB
    surfaces: dict[str, Surface] = field(default_factory=dict)

    @staticmethod
    def of(faces: StudyFaces, code: str) -> "TruePerson":
        labels = tuple(str(label) for label in faces.labels(code))
        maps = {label: read_displacement_png(faces.files(code, label).displacement) for label in labels}
        bases = {label: faces.vertices(code, label) for label in labels}
        return TruePerson(code, labels, faces.mesh, bases, maps, faces.texture(code, labels[0], 512))

    def surface(self, label: str) -> Surface:
        if label not in self.surfaces:
            mesh = self.base.with_vertices(self.bases_mm[label])
            self.surfaces[label] = Surface(displace(mesh, self.maps[label], subdivisions=_SUBDIVISIONS))
        return self.surfaces[label]

    def photograph(self, number: int, focal: int) -> Image:
        """The neutral face, detailed, seen from the front by one of FS-Lab's lenses, in a light drawn for it."""
        rng = np.random.default_rng([41, number])
        mesh = self.surface(self.labels[0]).mesh
        rest = self.bases_mm[self.labels[0]]
        view = lab_views(np.array([0.0, *(rest.min(axis=0) + rest.max(axis=0))[1:] / 2]), PHOTO_PX)[11 * focal].camera
        seen = view.view
        assert isinstance(seen, Perspective)
        camera = Camera(seen.K, seen.R, seen.t, PHOTO_PX, PHOTO_PX)
        light = exposed_for(drawn_lighting(rng), self.texture)
        image, _ = FacePhotography(mesh, np.ascontiguousarray(self.texture[..., ::-1]), occlusion_rays=12).photograph(
            camera, lighting=turned_lighting(light, camera.R), background=drawn_background(rng, PHOTO_PX, PHOTO_PX),
            jpeg_quality=92,
        )  # fmt: skip
        return image


def table_1(model: FaceModel, predictor: DetailPredictor, faces: StudyFaces, people: Sequence[str]) -> dict[str, Any]:
    """Means over people, mm."""
    rows: list[dict[str, float]] = []
    with LandmarkDetector(faces=MOST_FACES) as detector:
        for number, code in enumerate(people):
            truth = TruePerson.of(faces, code)
            image = truth.photograph(number, focal=number % len(FOCALS_PX))
            fit = fit_photographs(model, [Photograph(image, code)], detector=detector)[0]
            rows.append(measured(model, predictor, truth, fit, image))
            print(code, {key: round(value, 3) for key, value in rows[-1].items()}, file=sys.stderr, flush=True)
    mean = {key: round(float(np.mean([row[key] for row in rows])), 4) for key in rows[0]}
    return {**mean, "people": len(rows), "image_px": PHOTO_PX, "fs_lab_px": SIZE_PX}


def measured(
    model: FaceModel, predictor: DetailPredictor, truth: TruePerson, fit: PhotoFit, image: Image
) -> dict[str, float]:
    if fit.appearance is None:
        fit = with_light(model, fit, image)
    texture = photo_texture(model, fit, image, 512).texture
    rig = key_rig(model, predictor, fit)
    rest, source = rig.neutral_mm.astype(np.float64), rig.face(fit.weights)
    own = VertexFitSettings(robust=True, cell_mm=5.0, iterations=5)
    weights = [one.weights for one in fit_meshes(model, list(truth.bases_mm.values()), settings=own)]
    found: dict[str, list[float]] = {}
    for number, label in enumerate(truth.labels):
        key = predictor.labels.index(label)
        poses = {"all": rig.face(rig.weights[key]), "all_own_weights": rig.face(weights[number])}
        if number == 0:
            poses["source"] = source
        for name, posed in poses.items():
            relief = predictor.map(texture, rest, source, posed, MAP_PX, label=key)
            base, detailed = off(model, truth, label, posed, relief)
            found.setdefault(f"{name}_base", []).append(base)
            found.setdefault(name, []).append(detailed)
    return {name: float(np.mean(values)) for name, values in found.items()}


def off(model: FaceModel, truth: TruePerson, label: str, posed: Floats, relief: DisplacementMap) -> tuple[float, float]:
    """Mean distance of the base and of the detailed face to the truth, mm."""
    face = model.topology.face
    motion = fit_motion(posed[face], truth.bases_mm[label][face])
    mesh = truth.base.with_vertices(motion(posed))
    flat = DisplacementMap(np.zeros_like(relief.height_mm), relief.valid)
    found = []
    for one in (flat, relief):
        fine = displace(mesh, one, subdivisions=_SUBDIVISIONS)
        points = fine.vertices_mm[fine_face(fine, face)]
        points = points[:: max(1, len(points) // _MOST_POINTS)]
        found.append(float(truth.surface(label).closest(points).distance_mm.mean()))
    return found[0], found[1]


_FINE: dict[int, Bools] = {}


def fine_face(fine: Mesh, face: Bools) -> Bools:
    """(F,) vertices of the subdivided mesh that lie in the face."""
    if len(fine.vertices_mm) not in _FINE:
        inside = np.zeros(len(fine.vertices_mm), np.bool_)
        whole = len(fine.triangles) // 4**_SUBDIVISIONS
        coarse = _coarse_triangles(fine, face, whole)
        inside[fine.triangles.reshape(whole, -1)[coarse].ravel()] = True
        _FINE[len(fine.vertices_mm)] = inside
    return _FINE[len(fine.vertices_mm)]


def _coarse_triangles(fine: Mesh, face: Bools, whole: int) -> Bools:
    """(T,) coarse triangles of the face: vertices keep their numbers, and the fine ones of a triangle lie together."""
    rows = fine.triangles.reshape(whole, -1)
    old = rows < len(face)
    marked = np.where(old, face[np.where(old, rows, 0)], True)
    return np.asarray(marked.all(axis=1))
