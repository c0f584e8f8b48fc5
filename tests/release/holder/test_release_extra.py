"""Who installed the `release` extra alone reads, checks and exports releases: nothing of the studio's is imported."""

import importlib.metadata
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from processing.files.camera_models import camera_from_params
from processing.files.colmap import read_colmap
from processing.release.holder.export_formats import EXPORT_FORMATS

ROOT = Path(__file__).parents[3]
OURS = ("camera_nodes", "common", "controller", "db", "deploy", "mien", "processing")
# Runs commands of mien where only what is allowed can be imported; says with which exit code each one ended.
PROGRAM = """
import contextlib, importlib, importlib.abc, json, pkgutil, sys

allowed = {*json.loads(sys.argv[1]), *sys.stdlib_module_names}

class Extra(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed and not name.startswith("_sysconfigdata"):
            raise ModuleNotFoundError(f"No module named {name!r}: it is in no package of the extra", name=name)
        return None

sys.meta_path.insert(0, Extra())
import processing.release.holder, processing.release.reader
for module in pkgutil.iter_modules(processing.release.holder.__path__, "processing.release.holder."):
    importlib.import_module(module.name)
import mien
codes = []
for arguments in json.loads(sys.argv[2]):
    sys.argv = ["mien", *arguments]
    try:
        mien.main()
        codes.append(0)
    except SystemExit as end:
        codes.append(end.code or 0)
print("CODES", json.dumps(codes))
"""


def importable() -> list[str]:
    """Names that can be imported where Mien and its release extra are installed, with all that these need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    todo = [*project["dependencies"], *project["optional-dependencies"]["release"]]
    installed: set[str] = set()
    while todo:
        wanted = Requirement(todo.pop())
        name = canonicalize_name(wanted.name)
        needed = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
        if needed and name not in installed:
            installed.add(name)
            todo += importlib.metadata.requires(name) or []
    places = importlib.metadata.packages_distributions()
    return [name for name, of in places.items() if installed & set(map(canonicalize_name, of))] + list(OURS)


def run(*commands: list[str], cwd: Path) -> tuple[list[int], str]:
    """The exit code of each command, and all that was said."""
    said = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(importable()), json.dumps(commands)],
        cwd=cwd, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "CODES" in said.stdout, said.stdout + said.stderr
    text, _, codes = said.stdout.rpartition("CODES ")
    return json.loads(codes), text + said.stderr


@pytest.mark.parametrize(
    "left_out", ["torch", "cv2", "scipy", "sqlalchemy", "zmq", "open3d", "mediapipe", "dask", "yaml"]
)
def test_the_extra_is_small(left_out: str) -> None:
    assert left_out not in importable()


def test_every_command_of_a_holder_is_there(tmp_path: Path) -> None:
    commands = [["release", name, "--help"] for name in ("fetch", "verify", "diff", "show", "export")]
    commands += [["release", "export", "--format", form.name, "--help"] for form in EXPORT_FORMATS]
    codes, said = run(*commands, cwd=tmp_path)
    assert codes == [0] * len(commands), said


def test_a_release_is_checked_shown_and_exported(synthetic: Any, tmp_path: Path) -> None:
    release = str(synthetic.folder)
    codes, said = run(
        ["release", "verify", release],
        ["release", "show", release],
        ["release", "diff", release, release],
        ["release", "export", release, "--subject", "2", "--out", "faces"],
        ["release", "export", release, "--subject", "2", "--format", "colmap", "--out", "models"],
        cwd=tmp_path,
    )
    assert codes == [0] * 5, said
    assert "is intact" in said
    assert (tmp_path / "faces" / "2.glb").is_file()
    model = tmp_path / "models" / "2" / "1_neutral" / "sparse" / "0"
    assert (model / "points3D.txt").is_file()
    params = json.loads((synthetic.folder / "img/2/1_neutral/params.json").read_text())
    cameras, _ = read_colmap(model)
    assert cameras
    for view, camera in cameras.items():
        np.testing.assert_allclose(camera.R, camera_from_params(params, view).R, atol=1e-9)


def test_what_is_not_in_the_extra_cannot_be_imported(tmp_path: Path) -> None:
    codes, said = run(["cameras", "board", "--help"], ["release", "select", "faces"], cwd=tmp_path)
    assert 2 in codes, said
    assert "needs the package" in said
