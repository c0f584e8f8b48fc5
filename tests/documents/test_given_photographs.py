"""What docs/how-to/given-photographs.md prints runs as printed: see test_printed_blocks.py for the rule."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from printed_blocks import Desk, printed

from processing.files.camera_models import params_of, read_cameras, write_params
from processing.files.colmap import write_colmap
from processing.synthetic.studio_rig import studio_rig


def test_cameras_of_others_come_to_millimetres(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "desk", tmp_path / "home")
    rig = dict(enumerate(studio_rig(8)))
    in_metres = {view: replace(camera, t=camera.t / 1000) for view, camera in rig.items()}
    in_free_units = {view: replace(camera, t=camera.t / 153.2) for view, camera in rig.items()}
    write_params(desk.folder / "rig-in-metres.json", params_of(in_metres))
    names = {view: f"cam{view:02d}/IMG_0001.JPG" for view in rig}
    write_colmap(desk.folder / "colmap" / "sparse" / "0", in_free_units, names=names)
    desk.run(printed("docs/how-to/given-photographs.md", "mien cameras convert rig-in-metres.json"))
    made = read_cameras(desk.folder / "rig.json")
    assert all(np.allclose(made[view].t, camera.t, atol=1e-6) for view, camera in rig.items())
    written = json.loads((desk.folder / "rig.json").read_text())
    assert {view: written[f"{view}_ori"] for view in rig} == names
