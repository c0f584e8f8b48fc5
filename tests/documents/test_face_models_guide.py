"""What docs/how-to/face-models.md prints runs as printed: see test_printed_blocks.py for the rule."""

import json
from pathlib import Path

import numpy as np
import pytest
from printed_blocks import Desk, printed
from small_model import egg_template, small_model

from processing.face_models.blendshapes.rig import write_rig
from processing.face_models.exports.face_export import model_rig
from processing.face_models.model_file import write_model
from processing.files.image_files import write_image
from processing.files.obj import write_obj
from processing.files.ply import write_ply
from processing.landmarks.landmark_files import write_landmarks
from processing.landmarks.multi_pie_68 import Landmarks3d
from processing.template.template_file import write_template


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A small model, scans of one person with landmarks, and the person's registered meshes."""
    made, model = Desk(tmp_path / "desk", tmp_path / "home"), small_model()
    write_model(made.folder / "model.npz", model)
    identity = model.sample_identity(np.random.default_rng(0))
    for name, weights in {"neutral": np.zeros(52), "smile": np.eye(52)[model.units.index("mouthSmileLeft")]}.items():
        mesh = model.topology.mesh.with_vertices(model.face(identity, weights))
        points = Landmarks3d.of_points(model.topology.landmark_points(mesh.vertices_mm))
        write_ply(made.folder / f"{name}.ply", mesh)
        write_landmarks(made.folder / f"{name}.json", points)
        if name == "neutral":
            write_ply(made.folder / "scan.ply", mesh)
            write_obj(made.folder / "scan.obj", mesh)
            (made.folder / "scan.ljson").write_bytes((made.folder / f"{name}.json").read_bytes())
            write_obj(made.folder / "S012/models_reg/1_neutral.obj", mesh)
    for home, seeds in {"others": (1, 2), "members": (3, 4, 5)}.items():
        for seed in seeds:
            who = model.sample_identity(np.random.default_rng(seed))
            for number, weights in enumerate((np.zeros(52), np.eye(52)[9]), 1):
                mesh = model.topology.mesh.with_vertices(model.face(who, weights))
                label = ("neutral", "smile")[number - 1]
                write_obj(made.folder / home / f"S10{seed}/models_reg/{number}_{label}.obj", mesh)
    write_model(made.folder / "other-model.npz", model)
    return made


@pytest.mark.slow
def test_a_model_is_evaluated(desk: Desk) -> None:
    said = desk.run(printed("docs/how-to/face-models.md", "mien model evaluate"))
    assert "4 meshes of 2 people who are not in it" in said
    assert (desk.folder / "evaluation/evaluation.svg").read_text().startswith("<svg")


def test_a_model_is_looked_at(desk: Desk) -> None:
    said = desk.run(printed("docs/how-to/face-models.md", "mien model show"))
    assert "20 members" in said
    assert len(list((desk.folder / "people").glob("*.obj"))) == 5


@pytest.mark.slow
def test_a_model_is_fitted(desk: Desk) -> None:
    here = {
        "scan.ply": "scan.ply --landmarks neutral.json",
        "neutral.ply smile.ply": "neutral.ply smile.ply --landmarks neutral.json --landmarks smile.json",
    }
    desk.run(printed("docs/how-to/face-models.md", "mien model fit"), here=here)
    assert json.loads((desk.folder / "fit/smile.fit.json").read_text())["review"]["verdict"] == "accept"
    assert (desk.folder / "rig/rig.npz").is_file()


@pytest.mark.slow
def test_a_model_leaves_for_other_programs(desk: Desk) -> None:
    model = small_model()
    write_rig(desk.folder / "rig.npz", model_rig(model, model.identity_mean))
    write_template(desk.folder / "studio.npz", egg_template())
    (desk.folder / "fit.json").write_text(json.dumps({"identity": model.identity_mean.tolist()}))
    write_image(desk.folder / "neutral.jpg", np.full((64, 64, 3), 150, np.uint8))
    block = printed("docs/how-to/face-models.md", "mien model export")
    desk.run(block, here={"rig.npz --format gltf": "rig.npz --template studio.npz --format gltf"})
    assert (desk.folder / "person-3.glb").is_file()
    assert len(list((desk.folder / "s012").glob("*.obj"))) == 53


def test_a_program_reads_a_model(desk: Desk) -> None:
    before = "from pathlib import Path\nimport numpy as np\npath, weights = Path('model.npz'), np.zeros(52)"
    block = printed("docs/how-to/face-models.md", "from processing.face_models.model_file")
    desk.python(block, before=before, after="assert vertices_mm.shape == (2025, 3)")
