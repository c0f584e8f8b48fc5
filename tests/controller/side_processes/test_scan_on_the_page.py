"""A scan as the page gets it: its section of the state, and its mesh for whom it is and as long as it may be seen."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from filed_takes import FiledTakes

from controller.api.app import make_console
from controller.console.state.scan_section import scan_section
from controller.rig_file import SideWork
from controller.side_processes.side_command import SideResult
from controller.studio import Studio
from controller.studio_settings import StudioSettings
from db.engine import reading
from db.settings import Settings
from db.takes.side_inputs import side_inputs

TOKEN = "of-the-commands"


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[tuple[FiledTakes, Studio]]:
    """A running studio over records with a whole take."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    filed = FiledTakes(home, 6, side=SideWork())
    for file in home.rglob("*"):
        file.chmod(0o700 if file.is_dir() else 0o600)
    records = Settings(home, f"sqlite:///{home / 'studio.sqlite'}", str(home / "store"))
    with Studio(StudioSettings(records, filed.rig, "tcp://127.0.0.1:*", "tcp://127.0.0.1:*")) as studio:
        yield filed, studio
    filed.engine.dispose()


def ask(studio: Studio, path: str, token: str = TOKEN) -> httpx.Response:
    async def get() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(make_console(studio, TOKEN)), base_url="http://127.0.0.1"
        ) as client:
            return await client.get(path, headers={"Authorization": f"Bearer {token}"})

    return asyncio.run(get())


def test_a_scan_is_shown_until_its_subject_withdraws(shown: Any, tmp_path: Path) -> None:
    filed, studio = shown
    assert scan_section(studio) is None
    before = studio.bell.count
    take = filed.shoot("neutral", {camera.name: b"photograph" for camera in filed.cameras})
    scans = studio.side.scans
    scans.wanted(take)
    assert scan_section(studio) == {"take": take, "state": "waiting"}
    scans.begun(take)
    assert scan_section(studio) == {"take": take, "state": "making"}
    with reading(filed.engine) as tx:
        inputs = side_inputs(tx, take)
    (tmp_path / "scan.glb").write_bytes(b"glTF and so on")
    scans.ended(inputs, tmp_path / "take", SideResult(0, '{"seconds": {"depth": 2.0, "fuse": 0.5}}'))
    assert studio.bell.any_since(("scan",), before)
    section = scan_section(studio)
    assert section["state"] == "made"
    answer = ask(studio, section["mesh"])
    assert (answer.status_code, answer.content) == (200, b"glTF and so on")
    assert answer.headers["content-type"] == "model/gltf-binary"
    assert "no-store" in answer.headers["cache-control"]
    assert ask(studio, section["mesh"], "wrong").status_code in (401, 403)
    for other in ("0" * 64, "..%2f" * 3, section["mesh"][-10:]):
        assert ask(studio, f"/pictures/scans/{other}.glb").status_code in (400, 404)
    filed.withdraw()
    assert ask(studio, section["mesh"]).status_code == 404


def test_one_that_failed_says_why_and_the_last_twelve_are_held(shown: Any, tmp_path: Path) -> None:
    filed, studio = shown
    take = filed.shoot("neutral", {camera.name: b"photograph" for camera in filed.cameras})
    scans = studio.side.scans
    scans.wanted(take)
    scans.not_done(take, "not done within 120 s")
    assert scan_section(studio) == {"take": take, "state": "failed", "text": "not done within 120 s"}
    for number in range(14):
        scans.wanted(f"S009-1-E{number + 1:02d}-1")
    assert len(scans.takes()) == 12
    assert scans.of(take) is None
    scans.ended(side_inputs_of(filed, take), tmp_path / "take", SideResult(1, "", "late"))  # forgotten meanwhile
    assert scans.of(take) is None


def side_inputs_of(filed: FiledTakes, take: str) -> Any:
    with reading(filed.engine) as tx:
        return side_inputs(tx, take)
