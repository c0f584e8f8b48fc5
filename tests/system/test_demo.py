"""The whole studio at a small size: shutters, session, farm, release, report."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BIN = Path(sys.executable).parent
CAMERAS = 34


def mien(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("MIEN_HOME", "MIEN_DATABASE")}
    done = subprocess.run([BIN / "mien", *arguments], capture_output=True, text=True, env=environment, timeout=280)
    assert not check or done.returncode == 0, done.stderr
    return done


def demo(out: Path) -> dict[str, Any]:
    size = ["--cameras", str(CAMERAS), "--height", "420", "--expressions", "neutral,smile"]
    found: dict[str, Any] = json.loads(mien("demo", "--out", str(out), *size, "--json").stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "out"


@pytest.fixture(scope="module")
def first(out: Path) -> dict[str, Any]:
    return demo(out)


def test_every_take_is_whole_in_sync_and_true(first: dict[str, Any]) -> None:
    assert [take["name"] for take in first["takes"]] == ["1_neutral", "2_smile"]
    for take in first["takes"]:
        assert take["frames"] == CAMERAS
        assert 0 <= take["command_skew_ms"] < 50
        assert 0 < take["clock_uncertainty_ms"] <= 0.5
        assert take["exposure_source"] == "simulated"
        assert take["error"]["scan_mean_mm"] < 0.8
        assert take["error"]["scan_complete"] > 0.7
        assert take["error"]["tu_surface_mean_mm"] < 0.5
        assert take["error"]["tu_median_mm"] < 4.0


def test_the_release_has_facescapes_names_and_verifies(first: dict[str, Any], out: Path) -> None:
    release = Path(first["release"])
    subject = next(p for p in release.iterdir() if (p / "models_reg").is_dir())
    for name in ("1_neutral", "2_smile"):
        for file in (
            f"models_reg/{name}.obj",
            f"models_reg/{name}.obj.mtl",
            f"models_reg/{name}.jpg",
            f"dpmap/{name}.png",
        ):
            assert (subject / file).stat().st_size > 0, file
        photographs = list((release / "img" / subject.name / name).glob("*.jpg"))
        assert len(photographs) == CAMERAS
    verified = mien("release", "verify", str(release), "--home", str(out / "studio"))
    assert verified.returncode == 0
    victim = subject / "dpmap" / "1_neutral.png"
    content = victim.read_bytes()
    try:
        victim.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        harmed = mien("release", "verify", str(release), "--home", str(out / "studio"), check=False)
        assert harmed.returncode == 4
        assert "1_neutral.png" in harmed.stdout + harmed.stderr
    finally:
        victim.write_bytes(content)


def test_a_second_run_does_nothing_again(first: dict[str, Any], out: Path) -> None:
    again = demo(out)
    assert again["release"] == first["release"]
    assert again["takes"] == first["takes"]
    assert sum(again["seconds"].values()) < 0.5 * sum(first["seconds"].values())


def test_the_report_shows_pictures(first: dict[str, Any]) -> None:
    page = Path(first["report"]).read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") >= 2 * 5
    assert "Exposure ms" in page


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    done = mien("demo", "--out", str(tmp_path), check=False)
    assert done.returncode == 4
    assert "is not empty" in done.stderr
