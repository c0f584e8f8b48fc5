"""Colour profiles: fitted to a chart, kept with the cameras, applied to photographs."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from processing.commands.cameras import app
from processing.files.colour_profiles import Profile, ProfileError, params_of_profiles, profiles_of, read_profiles
from processing.photometry.colour_checker import PATCHES_SRGB, fit_matrix
from processing.photometry.colour_correction import apply_profile, from_linear, to_linear

CAST = np.array([[0.72, 0.1, 0.02], [0.05, 0.6, 0.08], [0.01, 0.12, 0.5]])  # a camera's own colours


def taken(srgb: np.ndarray) -> np.ndarray:
    """What such a camera stores of these colours, 0-255."""
    return 255 * from_linear(to_linear(srgb / 255) @ CAST.T)


def chart(patch: int = 60) -> np.ndarray:
    """(H, W, 3) BGR: a ColorChecker as such a camera would photograph it, on a grey table."""
    image = np.full((6 * patch, 8 * patch, 3), 90.0)
    board = np.full((int(4.4 * patch), int(6.4 * patch), 3), 12.0)
    for k, colour in enumerate(taken(PATCHES_SRGB)):
        row, column = divmod(k, 6)
        y, x = int((0.28 + row) * patch), int((0.28 + column) * patch)
        board[y : y + int(0.84 * patch), x : x + int(0.84 * patch)] = colour[::-1]
    image[patch // 2 : patch // 2 + board.shape[0], patch // 2 : patch // 2 + board.shape[1]] = board
    noisy = image + np.random.default_rng(0).normal(0, 1, image.shape)
    return np.clip(cv2.GaussianBlur(noisy, (0, 0), 0.8), 0, 255).astype(np.uint8)


def test_a_matrix_is_the_inverse_of_the_cameras_own_colours() -> None:
    fit = fit_matrix(taken(PATCHES_SRGB))
    assert fit.profile.matrix @ CAST == pytest.approx(np.eye(3), abs=0.02)
    assert fit.error < 0.005


def test_a_profile_brings_the_colours_back() -> None:
    image = np.rint(taken(PATCHES_SRGB)).astype(np.uint8)[None, :, ::-1]
    back = apply_profile(np.ascontiguousarray(image), Profile(np.linalg.inv(CAST)))[0, :, ::-1]
    assert np.abs(back.astype(float) - PATCHES_SRGB).max() < 6
    assert np.abs(back.astype(float) - PATCHES_SRGB).mean() < 1.5


def test_no_profile_is_the_identity_but_for_rounding() -> None:
    image = np.random.default_rng(1).integers(0, 256, (40, 30, 3)).astype(np.uint8)
    assert np.abs(apply_profile(image, Profile()).astype(int) - image).max() <= 1


def test_given_vignetting_is_undone() -> None:
    image = np.full((60, 80, 3), 128, np.uint8)
    out = apply_profile(image, Profile(vignetting=0.3)).astype(float)
    assert out[30, 40].mean() == pytest.approx(128, abs=1)
    assert out[0, 0].mean() == pytest.approx(128 / 0.7, rel=0.03)


def test_keys_are_written_and_read_back(tmp_path: Path) -> None:
    profiles = {3: Profile(CAST, 0.2), 5: Profile(np.linalg.inv(CAST))}
    (tmp_path / "rig.json").write_text(json.dumps(params_of_profiles(profiles)))
    found = read_profiles(tmp_path / "rig.json", range(8))
    assert sorted(found) == [3, 5]
    assert np.array_equal(found[3].matrix, CAST)
    assert found[3].vignetting == 0.2


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("2_colour", [[1, 0], [0, 1]], "view 2: a colour matrix is 3x3"),
        ("2_colour", "red", "view 2's colour profile holds no numbers"),
        ("2_colour", [[0, 0, 0]] * 3, "positive determinant"),
        ("2_vignetting", 1.5, "view 2: vignetting is 1.5"),
    ],
)
def test_what_is_no_profile_is_refused_by_its_view(key: str, value: object, said: str) -> None:
    with pytest.raises(ProfileError, match=said):
        profiles_of({key: value}, range(4))


def test_the_command_makes_profiles_of_photographs_of_a_chart(tmp_path: Path) -> None:
    folder, rig = tmp_path / "charts", tmp_path / "rig.json"
    folder.mkdir()
    cv2.imwrite(str(folder / "4.jpg"), chart(), [cv2.IMWRITE_JPEG_QUALITY, 95])
    cv2.imwrite(str(folder / "5.jpg"), np.full((200, 300, 3), 90, np.uint8))
    rig.write_text(json.dumps({"4_sn": "kept"}))
    result = CliRunner().invoke(app, ["colours", str(folder), "--out", str(rig)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    params = json.loads(rig.read_text())
    assert params["4_sn"] == "kept"
    assert "view 5 has no profile: no ColorChecker" in result.stderr
    matrix = read_profiles(rig, [4])[4].matrix
    assert matrix @ CAST == pytest.approx(np.eye(3), abs=0.12)


def test_a_folder_without_charts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="has no photographs"):
        CliRunner().invoke(app, ["colours", str(tmp_path), "--out", str(tmp_path / "c.json")], catch_exceptions=False)
