"""A face of FS-Lab: a registered mesh with displacement and texture, brought to where the cameras stand about it."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from common.array_types import Bools, Floats, Floats32, Image
from processing.displacement.apply_displacement import displace
from processing.errors import DataError
from processing.evaluation.metrics.predictions import TruthFace
from processing.files.displacement_map import DisplacementMap
from processing.geometry.mesh import Mesh, submesh
from processing.geometry.procrustes import Similarity, fit_motion_robust
from processing.geometry.topology import topology_id
from processing.template.face_mask import face_vertices, uv_mask
from processing.template.template import EYE, MOUTH_INTERIOR, Template

_WET = 3.0  # as much glossier eyes are than skin
_GLOSS_PX = 512
_EYES = (slice(36, 42), slice(42, 48))  # landmarks round them


class LabError(DataError):
    """A face cannot be part of the benchmark."""


@dataclass(frozen=True, eq=False)
class LabTemplate:
    """What is known of all registered meshes of a template."""

    template: Template

    def __post_init__(self) -> None:
        if self.template.mesh.uvs is None:
            raise LabError(f"template {self.template.name} has no UVs: no texture can be laid on its faces")

    @cached_property
    def topology(self) -> str:
        return topology_id(self.template.mesh)

    @cached_property
    def face(self) -> Bools:
        return face_vertices(self.template)

    @cached_property
    def measured(self) -> Bools:
        """(T,) triangles of what methods are measured on: the face up to the hairline and before the ears.

        As the published truths seem to be, in whose cylinders faces without ears, scalp and neck leave little open.
        """
        shown = self.face & (self.template.parts != MOUTH_INTERIOR)
        return np.asarray(shown[self.template.mesh.triangles].all(axis=1))

    @cached_property
    def gloss(self) -> Floats32:
        """(S, S) over the UVs: skin 1, eyes wet."""
        eyes = uv_mask(self.template.mesh, self.template.parts == EYE, _GLOSS_PX)[..., 0] > 0
        return np.where(eyes, _WET, 1.0).astype(np.float32)


@dataclass(frozen=True, eq=False)
class LabSubject:
    """A subject in one expression."""

    code: str
    label: str  # of the expression: '2_smile'
    mesh: Mesh  # registered, with UVs, mm
    displacement: DisplacementMap
    texture: Image  # (S, S, 3) BGR

    def upright(self, kind: LabTemplate) -> "LabSubject":
        """The same head where the template's is, its turn and shift taken out.

        Raises LabError for another topology, or a mesh without UVs.
        """
        if (topology := topology_id(self.mesh)) != kind.topology:
            raise LabError(
                f"{self.code} {self.label} has the topology {topology}, the template {kind.topology}: name "
                "the template that the meshes are of by --template"
            )
        if self.mesh.uvs is None:
            raise LabError(f"{self.code} {self.label} has no UVs: its texture cannot be laid on it")
        motion = _to_template(self.mesh.vertices_mm, kind)
        return replace(self, mesh=self.mesh.with_vertices(motion(self.mesh.vertices_mm)))

    def detailed(self, subdivisions: int) -> Mesh:
        """The mesh with its displacement, as `mien displace` makes it."""
        return displace(self.mesh, self.displacement, subdivisions=subdivisions)


def truth_of(subject: LabSubject, kind: LabTemplate, detailed: Mesh) -> TruthFace:
    """The face as the benchmark keeps it; its centre is the template's, about which the cameras stand.

    detailed: the whole head, of which the face is kept; `base_vertices_mm` are the whole head's.
    """
    landmarks = kind.template.landmark_points(subject.mesh.vertices_mm)
    right, left = (landmarks[eye].mean(axis=0) for eye in _EYES)
    # A subdivision puts four triangles where one was.
    measured = np.repeat(kind.measured, len(detailed.triangles) // len(kind.measured))
    face, _ = submesh(Mesh(detailed.vertices_mm, detailed.triangles), measured)
    pupil_mm = float(np.linalg.norm(left - right))
    return TruthFace(face, subject.mesh.vertices_mm, kind.topology, landmarks, kind.face, np.zeros(3), pupil_mm)


def _to_template(vertices_mm: Floats, kind: LabTemplate) -> Similarity:
    """Rigid, by the head above the mouth: what an expression moves least."""
    template = kind.template
    still = np.ones(len(vertices_mm))
    still[template.mesh.vertices_mm[:, 1] < template.landmark_points(template.mesh.vertices_mm)[33, 1]] = 0.0
    return fit_motion_robust(vertices_mm, template.mesh.vertices_mm, still, with_scale=False, noise_mm=1.0)
