"""Prepare in a real browser: what the preflight found and what to do, scenes held, lags measured, the board seen."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from console_browser import browser_page
from operator_at_keys import accessibility_faults
from PIL import Image
from rig_on_air import Watcher, pictures, rig_on_air
from studio_on_air import OnAir

REFUSED = ("status of 409", "status of 503", "status of 404")


@pytest.fixture
def air(tmp_path: Path) -> Iterator[OnAir]:
    with rig_on_air(tmp_path, 3, {"cam-01": "&battery=7", "cam-02": "&stuck_until=reopen&dead_after=1"}) as made:
        yield made


def check(page: Any, name: str) -> Any:
    return page.locator(".checks > li", has=page.locator(f'.check-name:text-is("{name}")'))


def test_the_preflight_names_faults_and_remedies_and_a_scene_is_held(air: OnAir) -> None:
    with browser_page(air.url, air.home, expected=REFUSED) as page:
        operator = Watcher(page, air, "prepare")
        assert "None was run" in page.locator(".preflight").inner_text()
        operator.press("p")
        operator.wait("s.preflight !== undefined")
        battery = check(page, "battery")
        battery.wait_for()
        assert battery.get_attribute("data-level") == "fault"
        assert "cam-01: 7 %" in battery.inner_text()
        assert "Change or look at the battery" in battery.inner_text()
        assert check(page, "calibration").get_by_role("button", name="Board").is_visible()
        assert check(page, "cameras").get_attribute("data-level") == "ok"
        first = page.locator(".checks > li").first
        assert first.get_attribute("data-level") == "fault"  # the worst first
        assert "just now" in page.locator(".preflight").inner_text()
        assert "there is none" in page.locator(".calibration").inner_text()
        assert accessibility_faults(page) == []

        operator.press("l")
        operator.wait("s.rig.held_scene === 'cross'")
        page.locator('.scenes button[aria-pressed="true"]', has_text="cross").wait_for()
        page.locator(".scenes button", has_text="full").click()
        operator.wait("s.rig.held_scene === 'full'")
        operator.press("0")
        operator.wait("s.rig.held_scene === undefined")


@pytest.mark.slow
def test_lags_are_measured_with_progress_and_a_verdict(tmp_path: Path) -> None:
    with rig_on_air(tmp_path, 2, {}) as air, browser_page(air.url, air.home, expected=REFUSED) as page:
        air.studio.wait_for_cameras(60)
        operator = Watcher(page, air, "prepare")
        operator.shows(".lag", "No lags are known")
        page.locator("#lag-shots").fill("6")
        page.evaluate(
            """() => {
              window.seen = new Set();
              new MutationObserver(() => window.seen.add(document.querySelector('.lag [role=status]').textContent))
                .observe(document.querySelector('.lag'), { subtree: true, childList: true, characterData: true });
            }"""
        )
        page.locator(".lag button").click()
        operator.wait("s.jobs.lag?.state === 'done'")
        operator.shows(".lag [role=status]", "Measured just now")
        seen = page.evaluate("() => [...window.seen]")
        assert any(said.startswith("Shot ") and said.endswith(" of 6") for said in seen), seen
        operator.shows(".lag-verdict", "ms")
        assert page.locator(".lag tbody tr").count() == 2
        assert accessibility_faults(page) == []


@pytest.mark.slow
def test_the_board_is_photographed_by_keys_and_each_cameras_coverage_grows(tmp_path: Path) -> None:
    import numpy as np
    from rendered_board import ShotConditions, faces_camera, poses_about, render_board

    from common.charuco.charuco_board import Board, board_toml
    from processing.synthetic.studio_rig import studio_rig

    board, rig, rng = Board(7, 9, 28.0, 21.0, "4X4_50"), studio_rig(18, 480, 720)[:2], np.random.default_rng(2)
    poses = poses_about(3, rng, reach_mm=70, towards=[camera.centre for camera in rig], tilt_deg=40)
    folders, facing = [], []
    for number, pose in enumerate(poses):
        folders.append(pictures(tmp_path / f"pose-{number}", 2))
        facing.append({view for view, camera in enumerate(rig) if faces_camera(camera, pose)})
        for view, camera in enumerate(rig):
            picture = render_board(board, camera, pose, ShotConditions(), rng)
            Image.fromarray(picture).save(folders[-1] / f"{view}.jpg", quality=95)
    assert any(facing)
    with rig_on_air(tmp_path, 2, {}) as air, browser_page(air.url, air.home, expected=REFUSED) as page:
        air.studio.wait_for_cameras(60)
        (air.home / "board.toml").write_text(board_toml(board))
        operator = Watcher(page, air, "prepare")
        page.locator("#board-poses").fill("3")
        page.locator("#shots-title").click()
        operator.press("b")
        page.get_by_role("button", name="Photograph the next pose").wait_for()
        seen = {"cam-00": 0, "cam-01": 0}
        for number, folder in enumerate(folders):
            air.perform(folder)
            operator.press("Space")
            operator.shows(".shots-panel .verdict", f"{number + 1} of 3 poses")
            operator.shows(".shots-pose", "2 of 2 photographs are in")
            for view in facing[number]:
                seen[f"cam-{view:02d}"] += 1
            for camera, count in seen.items():
                page.locator(f'.covered-camera[data-camera="{camera}"] .covered-count:text-is("{count}")').wait_for()
            page.locator("button[data-shot=pose]:enabled, button[data-shot=board]:enabled").first.wait_for()
        for camera, count in seen.items():
            assert (page.locator(f'.covered-camera[data-camera="{camera}"] [data-seen]').count() > 0) is (count > 0)
        assert "2 cameras lack something: cam-00" in page.locator(".shots-panel").inner_text()
        assert accessibility_faults(page) == []
        operator.press("t")
        operator.shows(".shots-panel .verdict", "test shots: done")
        shown = "[...document.querySelectorAll('.covered-camera img')].filter((image) => image.naturalWidth)"
        page.wait_for_function(f"() => {shown}.length === 2")
        assert air.studio.last_take is None
