"""In the place of the texture: one tone a subject."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from processing.files.image_files import write_image
from processing.files.stage_files import read_vertices
from processing.stages.base import Inputs, Stage, StageParams


class Texture(Stage):
    name, version = "texture", 1
    needs: ClassVar[Mapping[str, str]] = {"mesh": "register", "neutral": "neutral:register.mesh"}
    makes: ClassVar[Mapping[str, str]] = {"texture": "jpg", "seen": "png"}

    def run(self, inputs: Inputs, params: StageParams, out: Path) -> None:  # noqa: ARG002
        tone = int(abs(read_vertices(inputs["mesh"])).sum()) % 100 + 80
        write_image(out / "texture.jpg", np.full((64, 64, 3), tone, np.uint8))
        write_image(out / "seen.png", np.full((64, 64), 255, np.uint8))
