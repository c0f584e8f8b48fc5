"""The whole studio at a small size: shutters, session, farm, release, report."""

import io
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from console_browser import SOFTWARE_3D, browser_page
from cryptography.fernet import Fernet
from patience import run_patiently
from PIL import Image, ImageStat
from records_home import DRAWN_3D, opened, served, token

BIN = Path(sys.executable).parent
CAMERAS, HEIGHT, SEED = 18, 330, 7
# Pictures as large as such photographs need.
SMALL = """
[farm.params]
texture = { size_px = 256 }
bake = { size_px = 256 }
preview = { height_px = 120, subdivisions = 0 }
"""


NAME = "Plantedname"
KEY = Fernet.generate_key().decode()


class Said:
    """All that the commands of this module printed."""

    text = ""


def mien(*arguments: str, check: bool = True, given: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("MIEN_HOME", "MIEN_DATABASE")}
    environment["MIEN_PERSONAL_KEY"] = KEY
    command = [BIN / "mien", *arguments]
    done = run_patiently(command, env=environment, input=given)
    Said.text += done.stdout + done.stderr
    assert not check or done.returncode == 0, done.stderr
    return done


def plant(out: Path) -> None:
    """A subject whose name is in the records, and in the name of the form that it signed."""
    home = ("--home", str(out / "studio"))
    out.mkdir()
    settings = {"seed": SEED, "cameras": CAMERAS, "height_px": HEIGHT}
    (out / "demo.json").write_text(json.dumps({"settings": settings}))  # the folder is this demo's
    form = out.parent / f"consent of Zoe {NAME}.pdf"
    form.write_text(f"I, Zoe {NAME}, agree.")
    scopes = ("--consent", "research_release", "--consent", "publication")
    signed = ("--consent-date", "2026-01-05", "--consent-document", str(form), "--consent-version", "2026-01")
    mien("db", "upgrade", *home)
    (out / "studio" / "studio.toml").write_text(SMALL)
    assert mien("subject", "add", "--age", "31", *scopes, *signed, *home).stdout == "S001\n"
    person = {"name": f"Zoe {NAME}", "email": f"zoe@{NAME}.example".lower(), "note": f"{NAME} prefers mornings"}
    mien("subject", "personal", "set", "S001", *home, given=json.dumps(person))


def demo(out: Path) -> dict[str, Any]:
    size = ["--cameras", str(CAMERAS), "--height", str(HEIGHT), "--seed", str(SEED), "--expressions", "neutral,smile"]
    found: dict[str, Any] = json.loads(mien("demo", "--out", str(out), *size, "--json").stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "out"


@pytest.fixture(scope="module")
def first(out: Path) -> dict[str, Any]:
    plant(out)
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


def test_the_console_opens_on_what_it_made(first: dict[str, Any], out: Path) -> None:
    assert first["console"] == f"mien studio serve --home {out / 'studio'}"
    home = out / "studio"
    with (
        opened(home) as studio,
        served(studio, home) as url,
        httpx.Client(base_url=url, headers=token(home), timeout=60) as client,
    ):
        sessions = client.get("/api/artefacts").json()["sessions"]
        assert [(one["subject"], one["takes"], one["shown"]) for one in sessions] == [("S001", 2, True)]
        takes = client.get(f"/api/artefacts/of/{sessions[0]['session']}").json()["takes"]
        for take in takes:
            assert take["models"].keys() == {"scan", "mesh", "texture", "displacement", "template"}
            for model in take["models"].values():
                assert client.get(f"/api/artefacts/{model['sha256']}").status_code == 200
        assert client.get("/api/farm").json()["counts"]["done"] == 13  # six stages of two takes, and the subject's rig
        release = client.get("/api/release").json()
        assert [(one["name"], one["version"]) for one in release["releases"]] == [("demo", 1)]
        assert release["coverage"]["subjects"][0]["cells"][:3] == ["released", "released", "missing"]


@pytest.mark.slow
def test_its_heads_are_drawn(first: dict[str, Any], out: Path) -> None:
    assert first["console"].endswith(str(out / "studio"))
    home = out / "studio"
    with (
        opened(home) as studio,
        served(studio, home) as url,
        browser_page(url, home, graphics=SOFTWARE_3D) as page,
    ):
        page.click("#tab-three-d")
        page.locator(".pane-head").nth(1).wait_for()
        for key in "trdhcxn":
            page.keyboard.press(key)
            page.wait_for_function(DRAWN_3D, timeout=60_000)
            shot = Image.open(io.BytesIO(page.locator(".three-screen canvas").screenshot())).convert("RGB")
            assert ImageStat.Stat(shot).stddev[0] > 20, key
        assert page.locator("#bar").get_attribute("data-tone") != "good"  # no camera is there


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


def test_nothing_that_a_session_a_farm_run_and_a_release_write_or_say_is_personal(
    first: dict[str, Any], out: Path
) -> None:
    home = ("--home", str(out / "studio"))
    traces = [NAME.lower().encode(), KEY.encode().lower()]
    for refused in (("personal", "set", "S404"), ("withdraw", "S404")):
        mien("subject", *refused, *home, check=False, given=json.dumps({"name": NAME}))
    mien("subject", "personal", "set", "S001", *home, check=False, given=json.dumps({NAME: NAME}))
    mien("subject", "history", "S001", *home)
    looked = 0
    for path in sorted(out.rglob("*")):
        assert NAME.lower() not in str(path).lower()
        if path.is_file():
            content = path.read_bytes().lower()
            assert not [trace for trace in traces if trace in content], path
            looked += 1
    assert looked > 2 * CAMERAS
    assert NAME.lower() not in Said.text.lower()
    assert KEY not in Said.text
    shown = mien("subject", "personal", "show", "S001", "--json", *home).stdout
    assert json.loads(shown)["name"] == f"Zoe {NAME}"  # so it was there to be found
    assert Path(first["release"]).is_dir()


def done(out: Path) -> tuple[list[Any], dict[str, int]]:
    """Every run of a stage and every release, when they were made; when each photograph of the scene was rendered."""
    with sqlite3.connect(f"file:{out / 'studio' / 'studio.sqlite'}?mode=ro", uri=True) as records:
        rows = records.execute("SELECT id, attempts, finished_at FROM job ORDER BY id").fetchall()
        rows += records.execute("SELECT id, started_at, finished_at FROM release ORDER BY id").fetchall()
    rendered = {str(path): path.stat().st_mtime_ns for path in (out / "scene").rglob("*.jpg")}
    return rows, rendered


def test_a_second_run_does_nothing_again(first: dict[str, Any], out: Path) -> None:
    before = done(out)
    again = demo(out)
    assert again["release"] == first["release"]
    assert again["takes"] == first["takes"]
    assert done(out) == before
    assert all(before)


def test_the_report_shows_pictures(first: dict[str, Any]) -> None:
    page = Path(first["report"]).read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") >= 2 * 5
    assert "Exposure ms" in page


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    done = mien("demo", "--out", str(tmp_path), check=False)
    assert done.returncode == 4
    assert "is not empty" in done.stderr
