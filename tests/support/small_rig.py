"""A person's rig on the small template, for tests of what is done with rigs."""

import numpy as np
from small_template import small_template

from processing.face_models.blendshapes.rig import Rig


def small_rig(seed: int = 0) -> Rig:
    """A person whose units are the template's, stronger or weaker."""
    template, units = small_template()
    rng = np.random.default_rng(seed)
    neutral = (template.mesh.vertices_mm * rng.uniform(0.95, 1.05, 3)).astype(np.float32)
    gains = rng.uniform(0.7, 1.2, (len(units.names), 1, 1)).astype(np.float32)
    return Rig(units.names, neutral, neutral + gains * units.offsets_mm, units.topology)
