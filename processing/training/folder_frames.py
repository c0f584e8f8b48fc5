"""How meshes of a folder stand: brought to the template's head frame, as a release's metadata would say."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.array_types import Floats
from processing.geometry.mesh import Mesh
from processing.geometry.procrustes import IDENTITY, Similarity, fit_motion_robust
from processing.geometry.topology import topology_id
from processing.template.builtin_template import VERTICES, default_template
from processing.template.template import SKIN, Template
from processing.template.template_file import read_template

TEMPLATE = "template.npz"  # beside the subjects: of what the meshes are
SAME_HEAD_MM = 0.5  # a head is the same head in every expression: what moves by more is expression
_NEAR = 0.05


@dataclass(frozen=True, eq=False)
class FolderFrames:
    """The template of a folder's meshes, where one is known."""

    template: Template | None

    @staticmethod
    def of(folder: Path, mesh: Mesh) -> "FolderFrames":
        """By the folder's own template, or Mien's where the topology is that one. Raises TemplateError."""
        own = folder / TEMPLATE
        wanted = topology_id(mesh)
        candidate: Template | None = None
        if own.is_file():
            candidate = read_template(own)
        elif abs(len(mesh.vertices_mm) - VERTICES) < _NEAR * VERTICES:  # or it is built in vain
            candidate = default_template()
        return FolderFrames(candidate if candidate is not None and topology_id(candidate.mesh) == wanted else None)

    def stood(self, neutral_mm: Floats, moved_mm: Floats | None = None) -> Floats:
        """(V, 3) mm in the template's frame: the neutral, or another expression of the same person.

        Rigid, robustly by the skin that a template trusts, as releases say it (tu_to_template). Without a template the
        neutral stays as it lies, and an expression comes to rest where it does.
        """
        template = self.template
        weights = (
            np.ones(len(neutral_mm)) if template is None else np.where(template.parts == SKIN, template.weights, 0)
        )
        rest: Similarity = IDENTITY
        if template is not None:
            rest = fit_motion_robust(neutral_mm, template.mesh.vertices_mm, weights, with_scale=False)
        if moved_mm is None:
            return np.asarray(rest(neutral_mm))
        still = fit_motion_robust(moved_mm, neutral_mm, weights, with_scale=False, noise_mm=SAME_HEAD_MM)
        return np.asarray(rest.after(still)(moved_mm))
