"""What README.md prints for photographs that one has runs as printed: see test_printed_blocks.py for the rule."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from printed_blocks import Desk, printed

from processing.files.camera_models import params_from_cameras
from processing.synthetic.studio_rig import studio_rig
from processing.synthetic.subject import synthetic_subject

VIEWS, WIDTH, HEIGHT = 16, 160, 240


def write_take(folder: Path, expression: str) -> None:
    """A synthetic face before a small rig, in FaceScape's layout."""
    folder.mkdir(parents=True)
    cameras = studio_rig(VIEWS, WIDTH, HEIGHT)
    scene = synthetic_subject(3, vertices=60_000).pose(expression).scene
    for view, camera in enumerate(cameras):
        picture = scene.photograph(camera, rng=np.random.default_rng(view))
        cv2.imwrite(str(folder / f"{view}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
    (folder / "params.json").write_text(json.dumps(params_from_cameras(cameras)))


@pytest.mark.slow  # textures and displacement in full size
def test_photographs_you_already_have(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "desk", tmp_path / "home")
    write_take(desk.folder / "SUBJECT_DIR" / "1_neutral", "neutral")
    (desk.folder / "TAKE_DIR").symlink_to("SUBJECT_DIR/1_neutral")
    desk.run(printed("README.md", "mien process SUBJECT_DIR"))
    for made in ("scan.ply", "detailed.ply", "OUT/models_reg/1_neutral.obj", "OUT/dpmap/1_neutral.png"):
        assert (desk.folder / made).is_file()
