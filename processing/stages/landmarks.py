"""Photographs of a take -> the face's 68 landmarks in three dimensions."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from common.progress import part
from processing.files.take_folder import read_photos, read_take
from processing.landmarks.landmark_files import write_landmarks
from processing.landmarks.triangulation import triangulate_landmarks
from processing.stages.base import TAKE, Inputs, Resources, Stage, StageParams


class Landmarks(Stage):
    """landmarks: points (mm), reprojection errors (px) and how many views agree."""

    name, version = "landmarks", 1
    needs: ClassVar[Mapping[str, str]] = {"take": TAKE}
    makes: ClassVar[Mapping[str, str]] = {"landmarks": "json"}
    resources = Resources(ram_gb=1)

    class Params(StageParams):
        max_views: int = 24

    def run(self, inputs: Inputs, params: Params, out: Path) -> None:
        take, images = read_photos(read_take(inputs["take"]), progress=part(inputs.progress, 0, 0.2))
        found = triangulate_landmarks(
            images,
            take.cameras,
            rng=np.random.default_rng(0),
            max_views=params.max_views,
            progress=part(inputs.progress, 0.2, 1),
        )
        write_landmarks(out / "landmarks.json", found)
