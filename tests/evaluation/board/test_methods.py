"""The methods of benchmarks/methods: their files are methods; without a peer its program says so; what they share."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from processing.evaluation.board.methods import Method, MethodError, read_method

METHODS = Path(__file__).parents[3] / "benchmarks/methods"
FILES = sorted(METHODS.glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_file_is_a_method_of_its_name(path: Path) -> None:
    file = read_method(path)
    assert file.method.name == path.stem
    assert file.method.description
    words = file.words(Path("list"), Path("out"), Path("model.npz"))
    program = next(word for word in words if word.endswith(".py"))
    assert Path(program).is_file()


@pytest.mark.parametrize("name", ["eos", "facescape"])
def test_without_the_peer_a_program_says_how_to_get_it(name: str, tmp_path: Path) -> None:
    if name == "eos":
        try:
            import eos  # type: ignore[import-not-found]  # noqa: F401
        except ImportError:
            pass
        else:
            pytest.skip("eos is installed here")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MIEN_")}
    words = read_method(METHODS / f"{name}.toml").words(tmp_path / "list", tmp_path, tmp_path / "model.npz")
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == Method.UNAVAILABLE, done.stderr
    assert "install" in done.stdout or "git clone" in done.stdout


def test_weak_perspective_finds_the_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(METHODS))
    from method_photos import weak_perspective
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(3)
    points = rng.uniform(-60, 60, (51, 3))
    R = Rotation.from_euler("xyz", [170, 40, 10], degrees=True).as_matrix()
    pixels = 0.8 * (points @ R.T)[:, :2] + [130, 120]
    scale, found, t = weak_perspective(points, pixels)
    np.testing.assert_allclose(found, R, atol=1e-6)
    assert scale == pytest.approx(0.8)
    np.testing.assert_allclose(t, [130, 120], atol=1e-6)


def test_mediapipes_triangles_are_one_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(METHODS))
    pytest.importorskip("mediapipe")
    from mediapipe_mesh import POINTS, triangles_of

    triangles = triangles_of()
    assert set(np.unique(triangles)) == set(range(POINTS))
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    counts = np.unique(edges, axis=0, return_counts=True)[1]
    assert counts.max() == 2
    directed = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    assert len(np.unique(directed, axis=0)) == len(directed)  # all wound the same way


@pytest.mark.parametrize("line", ['command = ["a\\u0000b", "{images}", "{out}"]', 'values = { x = "\\u0000" }'])
def test_a_word_that_no_program_can_be_given_is_refused(line: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    command = "" if line.startswith("command") else 'command = ["a", "{images}", "{out}"]'
    path.write_text(f'name = "odd"\n{command}\n{line}\n')
    with pytest.raises(MethodError, match="NUL character"):
        read_method(path)
