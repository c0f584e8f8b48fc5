"""Cameras in a real browser: health at a glance, one or several selected by click or keys, acts that say what came."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from console_browser import browser_page
from operator_at_keys import accessibility_faults
from rig_on_air import Watcher, rig_on_air
from studio_on_air import OnAir

REFUSED = ("status of 409", "status of 503", "status of 404")
TROUBLED = {"cam-01": "&stuck_until=usb_reset", "cam-02": "&defocus=4", "cam-03": "&focus=AF-S"}


@pytest.fixture
def air(tmp_path: Path) -> Iterator[OnAir]:
    with rig_on_air(tmp_path, 4, TROUBLED) as made:
        yield made


def log_of(page: Any) -> str:
    return str(page.locator(".act-log").inner_text())


def next_frames(page: Any) -> None:
    """Until two more frames are shown."""
    for _ in range(2):
        before = page.locator(".cam-live-picture img").first.get_attribute("src")
        page.wait_for_function(
            "(before) => document.querySelector('.cam-live-picture img').getAttribute('src') !== before", arg=before
        )


def test_a_dead_camera_is_seen_found_set_aside_brought_back_and_recovered_with_keys(air: OnAir) -> None:
    with browser_page(air.url, air.home, expected=REFUSED) as page:
        operator = Watcher(page, air, "cameras")
        operator.word("cam-01", "ASLEEP")
        operator.word("cam-00", "READY")
        assert page.locator(".camera-counts").inner_text().split("\n")[0].endswith("1 ASLEEP")
        assert page.locator(".plan-camera[data-tone=stop]").count() == 1
        assert accessibility_faults(page) == []

        operator.press("?", "Escape")
        assert page.locator("dialog[open]").count() == 0

        operator.press("ArrowRight", "Enter")
        assert operator.tile("cam-01").get_attribute("aria-pressed") == "true"
        assert "no longer answers" in page.locator(".why").inner_text()
        operator.press("x")
        page.locator("#aside-reason").fill("its cable")
        page.keyboard.press("Enter")
        operator.word("cam-01", "ASIDE")
        assert air.studio.cameras_aside()["cam-01"].reason == "its cable"
        operator.press("b")
        operator.word("cam-01", "ASLEEP")
        assert not air.studio.cameras_aside()

        operator.press("r")
        operator.word("cam-01", "READY")
        operator.shows(".act-log", "recovered")
        told = log_of(page)
        for step in ("reopening it ...", "reopening it did not help", "USB reset ...", "it answers: Simulated camera"):
            assert step in told, told

        operator.press("ArrowLeft", "Enter", "i")  # both of them now
        operator.shows('.act-log li[data-camera="cam-00"]', "listen for the mirror")
        operator.shows('.act-log li[data-camera="cam-01"]', "listen for the mirror")
        assert accessibility_faults(page) == []


@pytest.mark.slow
def test_live_view_moves_its_bar_follows_the_lens_and_a_test_shot_belongs_to_no_take(air: OnAir) -> None:
    with browser_page(air.url, air.home, expected=REFUSED) as page:
        operator = Watcher(page, air, "cameras")
        operator.tile("cam-02").click()
        operator.press("v")
        image = page.locator('.cam-live-picture[data-camera="cam-02"] img')
        image.wait_for()
        next_frames(page)
        page.wait_for_function("() => document.querySelector('.cam-live-picture img').naturalWidth === 160")
        operator.shows(".cam-live-told", "100 % of its best")
        assert accessibility_faults(page) == []
        operator.press("f")
        page.locator("dialog button.danger").click()
        operator.shows(".act-log", "autofocus has found its focus")
        next_frames(page)
        operator.shows(".cam-live-told", "100 % of its best")
        page.get_by_label("Lens farther by 3").click()
        operator.shows(".act-log", "farther by 3")
        page.locator(".cam-live-focus[data-tone=stop]").wait_for()
        operator.press("v")
        operator.tile("cam-02").wait_for()

        operator.press("t")
        operator.shows('.act-log li[data-camera="cam-02"]', "photographed")
        page.wait_for_function("() => document.querySelector('.shots img')?.naturalWidth > 0")
        assert air.studio.last_take is None


@pytest.mark.slow
def test_the_matrix_marks_and_counts_who_is_set_otherwise(air: OnAir) -> None:
    with browser_page(air.url, air.home, expected=REFUSED) as page:
        operator = Watcher(page, air, "cameras")
        operator.press("g")
        assert "No camera has told its settings yet" in page.locator(".matrix-summary").inner_text()
        air.studio.preflight()
        operator.wait("s.cameras['cam-03'].settings !== undefined")
        operator.shows(".matrix-summary", "1 camera differs from the others: cam-03")
        assert page.locator(".matrix td[data-odd]").all_inner_texts() == ["▲ AF-S"]
        assert page.locator(".matrix tbody tr").first.get_attribute("data-camera") == "cam-03"
        assert "Manual · 1 odd" in page.locator(".matrix thead").inner_text()
        assert "1/125" in page.locator('.matrix tr[data-camera="cam-00"]').inner_text()
        assert accessibility_faults(page) == []


SIXTY_EIGHT = """() => {
  const { store } = mien, one = store.state.cameras["cam-00"], cameras = {};
  for (let view = 0; view < 68; view += 1) {
    cameras[`cam-${String(view).padStart(2, "0")}`] = { ...one, view, node: `pi-${Math.floor(view / 4)}` };
  }
  Object.assign(cameras["cam-20"], { ready: false, state: "absent" });
  Object.assign(cameras["cam-21"], { ready: false, state: "no_camera" });
  Object.assign(cameras["cam-22"], { lag_drift_ms: 501, photos_left: 900 });
  const state = { ...store.state, cameras, rig: { ...store.state.rig, order: Object.keys(cameras) } };
  Object.defineProperty(store, "state", { get: () => state, set() {} });  // whatever the stream says
}"""
CUT = """() => [...document.querySelectorAll(".cam-tile-name")]
  .filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent)"""
SMALLEST = """() => Math.min(...[...document.querySelectorAll(".cam-tile span")]
  .filter((one) => one.offsetHeight && !one.children.length)
  .map((one) => parseFloat(getComputedStyle(one).fontSize)))"""
FITS = "() => document.querySelector('main').scrollHeight <= document.querySelector('main').clientHeight"
SIZES = ("roomy", "normal", "dense", "tight", "mini", "micro", "nano")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "height", "least"), [(1920, 1080, "dense"), (1366, 768, "mini"), (1024, 768, "nano")]
)
def test_sixty_eight_tiles_need_no_scrolling(tmp_path: Path, width: int, height: int, least: str) -> None:
    with rig_on_air(tmp_path, 4, {}) as air, browser_page(air.url, air.home, width=width, height=height) as page:
        operator = Watcher(page, air, "cameras")
        operator.word("cam-00", "READY")
        page.evaluate(SIXTY_EIGHT)
        operator.press("1", "2")  # away and back: painted by what is there now
        operator.tile("cam-67").wait_for()
        for name in ("cam-00", "cam-67"):
            box = operator.tile(name).bounding_box()
            assert box["y"] + box["height"] <= height
            assert box["x"] + box["width"] <= width
        assert page.evaluate(FITS)
        assert page.evaluate(CUT) == []
        assert page.evaluate(SMALLEST) >= 10.5
        shown = page.locator(".cam-tiles").get_attribute("data-size")
        assert SIZES.index(shown) <= SIZES.index(least)
