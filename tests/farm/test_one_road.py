"""`mien reconstruct`, `mien register` and `mien process` give the same scan and the same mesh, moved camera or not."""

import json
from pathlib import Path

import numpy as np
import pytest
from turned_take import MOVED, SUBJECT, write_turned_take
from typer.testing import CliRunner

from processing.commands import process, reconstruct, register
from processing.files.obj import read_obj

COARSE = {"reconstruct.max_megapixels": 0.06, "reconstruct.vertices": 30_000}
SIZES = {"texture.size_px": 256, "bake.size_px": 256, "preview.height_px": 120, "preview.subdivisions": 0}


@pytest.fixture
def take(tmp_path: Path) -> Path:
    """The most frontal views of a neutral face, small; one camera was turned after its calibration."""
    return write_turned_take(tmp_path / "subject" / "1_neutral")


@pytest.mark.slow  # three commands from photographs to a mesh
@pytest.mark.skipif(not SUBJECT.is_dir(), reason="the test data of ../shared/data are not here")
def test_three_commands_give_one_scan_and_one_mesh(take: Path, tmp_path: Path) -> None:
    def call(app: object, *arguments: object) -> dict[str, object]:
        result = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)  # type: ignore[arg-type]
        assert result.exit_code == 0, result.output
        return dict(json.loads(result.stdout))

    scan, whole, alone = tmp_path / "1_neutral.ply", tmp_path / "whole", tmp_path / "alone"
    said = call(reconstruct.app, take, "--out", scan, "--megapixels", 0.06, "--vertices", 30_000)
    findings = said["cameras"]["findings"]  # type: ignore[index]
    assert (str(MOVED), "refined") in [(found["camera"], found["action"]) for found in findings]
    settings = [word for name, value in (COARSE | SIZES).items() for word in ("--set", f"{name}={value}")]
    call(process.app, take.parent, "--out", whole, *settings)
    call(register.app, scan, "--photos", take, "--out", alone, "--size-px", SIZES["bake.size_px"])

    assert scan.read_bytes() == (whole / "mesh" / "1_neutral.ply").read_bytes()
    np.testing.assert_array_equal(
        read_obj(alone / "1_neutral.obj").vertices_mm, read_obj(whole / "models_reg" / "1_neutral.obj").vertices_mm
    )
    for made, placed in (
        ("1_neutral.jpg", "models_reg/1_neutral.jpg"),
        ("1_neutral.dpmap.png", "dpmap/1_neutral.png"),
        ("1_neutral.dpmap.exr", "dpmap/1_neutral.exr"),
    ):
        assert (alone / made).read_bytes() == (whole / placed).read_bytes(), made
