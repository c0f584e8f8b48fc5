"""Photographs of a take -> the face's 68 landmarks in three dimensions."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from common.progress import Progress, no_progress, part
from processing.files.take_folder import read_photos, read_take
from processing.landmarks.landmark_files import write_landmarks
from processing.landmarks.multi_pie_68 import Landmarks3d
from processing.landmarks.triangulation import triangulate_landmarks
from processing.stages.base import TAKE, Inputs, Resources, Stage, StageParams


class Landmarks(Stage):
    """landmarks: points (mm), reprojection errors (px) and how many views agree."""

    name, version = "landmarks", 2
    needs: ClassVar[Mapping[str, str]] = {"take": TAKE}
    makes: ClassVar[Mapping[str, str]] = {"landmarks": "json"}
    resources = Resources(ram_gb=1)
    time_share = 2.0

    class Params(StageParams):
        max_views: int = 24

    def run(self, inputs: Inputs, params: Params, out: Path) -> None:
        write_landmarks(out / "landmarks.json", landmarks_of_take(inputs["take"], params.max_views, inputs.progress))


def landmarks_of_take(folder: Path, max_views: int, progress: Progress = no_progress) -> Landmarks3d:
    """The landmarks in a take's photographs, in the head frame, mm. Raises NoFace and TakeError."""
    take, images = read_photos(read_take(folder), progress=part(progress, 0, 0.2))
    return triangulate_landmarks(
        images, take.cameras, rng=np.random.default_rng(0), max_views=max_views, progress=part(progress, 0.2, 1)
    )
