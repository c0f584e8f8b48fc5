"""Pictures of Cameras and Prepare on three screens, for the guide: python rig_pictures.py OUT [CAMERAS]

OUT: a folder. CAMERAS: how many are simulated, 12 by default; each is a process.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import numpy as np
from console_browser import browser_page
from PIL import Image
from rendered_board import ShotConditions, poses_about, render_board
from rig_on_air import Watcher, pictures, rig_on_air
from studio_on_air import OnAir

from common.charuco.charuco_board import Board, board_toml
from processing.files.camera_models import params_from_cameras
from processing.geometry.cameras import Camera
from processing.synthetic.studio_rig import studio_rig

SCREENS = ((1920, 1080), (1366, 768), (1024, 768))
BOARD = Board(7, 9, 28.0, 21.0, "4X4_50")
POSES = 3
REFUSED = ("status of 409", "status of 503")
LOADED = "() => [...document.querySelectorAll('.view:not([hidden]) img[src]')].every((image) => image.complete)"
TROUBLED = {
    "cam-01": "&stuck_until=usb_reset", "cam-03": "&focus=AF-S", "cam-05": "&defocus=2", "cam-06": "&battery=12",
}  # fmt: skip


def take_pictures(air: OnAir, cameras: list[Camera], out: Path, work: Path) -> None:
    """Every state of the two views, on each screen; the board while no session is open."""
    for width, height in SCREENS:
        with browser_page(air.url, air.home, width=width, height=height, expected=REFUSED) as page:
            watch_cameras(Watcher(page, air, "cameras"), shooter(page, out, f"{len(cameras)}-{width}"))
    if (session := air.studio.open_session()) is not None:
        air.studio.pause_session(session)
    for number, (width, height) in enumerate(SCREENS):
        with browser_page(air.url, air.home, width=width, height=height, expected=REFUSED) as page:
            shoot, operator = shooter(page, out, f"{len(cameras)}-{width}"), Watcher(page, air, "prepare")
            operator.wait("s.preflight !== undefined")
            if not number:
                hold_the_board(operator, cameras, work)
            page.locator(".covered-camera").first.wait_for()
            shoot("prepare")


def shooter(page: Any, out: Path, which: str) -> Callable[[str], None]:
    """shoot(name): a picture of the page once nothing is told any more."""

    def shoot(name: str) -> None:
        page.wait_for_function("() => !document.querySelector('.toast')")
        page.wait_for_function(LOADED)
        page.screenshot(path=out / f"rig-{name}-{which}.png")

    return shoot


def watch_cameras(operator: Watcher, shoot: Callable[[str], None]) -> None:
    """Tiles with one camera selected, live view of three, the matrix."""
    operator.word("cam-00", "READY")
    operator.word("cam-01", "ASLEEP")
    operator.tile("cam-01").click()
    shoot("cameras")
    operator.tile("cam-00").click()
    for name in ("cam-04", "cam-05"):
        operator.tile(name).click(modifiers=["Control"])
    operator.press("v")
    operator.page.wait_for_function(
        "() => [...document.querySelectorAll('.cam-live-picture img')].filter((one) => one.naturalWidth).length === 3"
    )
    shoot("live")
    operator.press("v", "g")
    operator.page.locator(".matrix tbody tr").first.wait_for()
    shoot("settings")
    operator.press("g", "Escape")


def hold_the_board(operator: Watcher, cameras: list[Camera], work: Path) -> None:
    """Some poses of the board, photographed by the rig."""
    rng = np.random.default_rng(2)
    towards = [camera.centre for camera in cameras]
    operator.page.locator("#board-poses").fill("60")
    operator.page.locator("#shots-title").click()
    operator.press("l", "b")
    for number, pose in enumerate(poses_about(POSES, rng, reach_mm=70, towards=towards, tilt_deg=40)):
        folder = pictures(work / f"pose-{number}", len(cameras))
        for view, camera in enumerate(cameras):
            picture = render_board(BOARD, camera, pose, ShotConditions(samples=1), rng)
            Image.fromarray(picture).save(folder / f"{view}.jpg", quality=92)
        operator.air.perform(folder)
        operator.press("Space")
        operator.shows(".shots-panel .verdict", f"{number + 1} of 60 poses")
        operator.page.wait_for_function(
            "() => !document.querySelector('.shots-pose').textContent.includes('looked at')"
        )
        operator.page.locator("button[data-shot=pose]:enabled").wait_for()


def main() -> None:
    """See the module."""
    out, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 12
    out.mkdir(parents=True, exist_ok=True)
    cameras = studio_rig(count, 480, 720)
    with tempfile.TemporaryDirectory() as work, rig_on_air(Path(work), count, TROUBLED) as air:
        (air.home / "board.toml").write_text(board_toml(BOARD))
        air.studio.add_calibration("synthetic", params_from_cameras(cameras))
        air.studio.set_aside(["cam-01"], "its cable", "today")
        air.studio.wait_for_cameras(120)
        session = air.studio.start_session(air.subject, "session")
        air.studio.fire(session, "neutral")  # for its photographs
        air.studio.bring_back(["cam-01"])
        air.studio.set_aside(["cam-02"], "lent out", "back")
        air.studio.preflight()
        take_pictures(air, cameras, out, Path(work))


if __name__ == "__main__":
    main()
