"""Morph-target models: subjects of a release as artists take them, a neutral face with a target an expression.

Head motion is taken out (the release's template frame), lengths are millimetres; y is up, the face looks along +z.
"""

from collections.abc import Sequence

import numpy as np

from common.array_types import Floats32
from common.take_codes import NEUTRAL
from processing.files.morph_targets.morph_target_model import MorphTargetModel, Rights
from processing.release.formats.errors import ReleaseError
from processing.release.reader import ReleaseFolder, TakeEntry


def morph_target_model_of(release: ReleaseFolder, takes: Sequence[TakeEntry], rights: Rights) -> MorphTargetModel:
    """The takes of one subject as a neutral face and targets. Raises ReleaseError without a neutral face."""
    neutral = next((take for take in takes if take.expression == NEUTRAL), None)
    if neutral is None:
        raise ReleaseError(f"subject {takes[0].index} has no neutral face here: its expressions are targets of nothing")

    def upright(take: TakeEntry) -> Floats32:
        R, t = release.to_template(take)
        return np.asarray(release.vertices(take) @ R.T + t, dtype=np.float32)

    targets = {take.expression: upright(take) for take in takes if take is not neutral}
    path = release.folder / release.texture_path(neutral)
    if not path.is_file():
        raise ReleaseError(f"{path} is not here; fetch the subject's textures too")
    manifest = release.manifest
    return MorphTargetModel(
        f"subject_{neutral.index}",
        release.topology(neutral),
        upright(neutral),
        targets,
        path.read_bytes(),
        rights,
        {"release": manifest.name, "version": manifest.version, "subject": neutral.index},
    )
