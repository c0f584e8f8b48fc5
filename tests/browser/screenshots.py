"""Pictures of the Shoot view and the subject's screen in each state, at three sizes, for the guide.

    PYTHONPATH=tests/support:tests/browser python tests/browser/screenshots.py OUT [--cameras 20] [--faces FOLDER]

Everything is real but the subject, whose photographs are rendered. FOLDER keeps them for the next time.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from console_browser import browser_page
from faces import label, render_faces
from operator_at_keys import Operator
from PIL import Image, ImageFilter
from studio_on_air import OnAir, rig_of, studio_on_air

from processing.files.camera_models import params_from_cameras
from processing.synthetic.studio_rig import studio_rig

SIZES = ((1920, 1080), (1366, 768), (1024, 768))
SHOWN = ("neutral", "smile", "mouth_stretch", "anger", "jaw_left")
DOWNLOAD_MS = 5000  # a body takes its time, and so does who takes the pictures
# The page stays as it is: what comes by the stream from now on is left out.
FREEZE = """() => {
    const parse = JSON.parse;
    JSON.parse = (text) => {
        const value = parse(text);
        if (window.frozen && value.patch) value.patch = {};
        return value;
    };
    mien.store.subscribe(({ take }) => {
        const some = take?.phase === "coming_in" && take.in > 0 && take.in < take.cameras;
        if (window.freezes && some) window.frozen = true;
    });
}"""


class Pictures:
    """Takes a page's picture at each size."""

    def __init__(self, out: Path) -> None:
        self.out = out
        out.mkdir(parents=True, exist_ok=True)

    def take(self, page: Any, name: str, settle_ms: int = 350) -> None:
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_timeout(settle_ms)
            page.screenshot(path=str(self.out / f"{name}-{width}x{height}.png"))
        print(name, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cameras", type=int, default=20)
    parser.add_argument("--faces", type=Path, help="where rendered photographs are kept")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        faces = asked.faces or Path(scratch) / "faces"
        render_faces(faces, asked.cameras, SHOWN)
        with (
            on_air(Path(scratch), faces, asked.cameras) as air,
            browser_page(air.url, air.home, expected=("",)) as page,
        ):
            Session(air, page, faces, Pictures(asked.out), Path(scratch)).run()


@contextmanager
def on_air(folder: Path, faces: Path, cameras: int) -> Iterator[OnAir]:
    """A calibrated studio that has passed its preflight."""
    places = studio_rig(cameras, 400, 600)
    frontal = [view for view, place in enumerate(places) if place.viewing_direction[2] < -0.5]
    rig = rig_of(cameras, frontal)
    rig = replace(rig, sync=replace(rig.sync, silence_s=6.0, max_clock_uncertainty_ms=2.0, max_skew_ms=5.0))
    slow = {camera.name: f"&download_ms={DOWNLOAD_MS}" for camera in rig.cameras}
    with studio_on_air(folder, rig, faces / label("neutral"), options=slow) as air:
        serials = [f"SIM{view:06d}" for view in range(cameras)]
        air.studio.add_calibration("simulated rig", params_from_cameras(places, serials))
        air.studio.preflight()
        yield air


class Session:
    """The states, one after the other."""

    def __init__(self, air: OnAir, page: Any, faces: Path, pictures: Pictures, scratch: Path) -> None:
        self.air, self.page, self.faces, self.pictures, self.scratch = air, page, faces, pictures, scratch
        page.evaluate("() => localStorage.setItem('mien-countdown', '0')")
        self.operator = self._load(page)
        self.screen = page.context.new_page()

    def run(self) -> None:
        self.pictures.take(self.page, "shoot-ready")
        self._subject("subject-neutral")
        self.operator.accept(self._fire())
        self.operator.accept(self._fire())
        self._hold_still_and_coming_in()
        self._countdown()
        self._retake()
        self.page.keyboard.press("s")
        self.page.locator("dialog[open] input").fill("sore jaw")
        self.pictures.take(self.page, "shoot-skip")
        self.page.keyboard.press("Escape")
        self.operator.press("p")
        self.operator.wait("s.session === undefined")
        self.pictures.take(self.page, "shoot-paused")
        self._subject("subject-paused")
        self.operator.press("p")
        self.operator.wait("s.session?.state === 'open'")
        self._cannot_fire()
        self.air.stop_serving()
        self.page.wait_for_function("() => document.body.dataset.lost === 'yes'")
        self.pictures.take(self.page, "shoot-lost")

    def _hold_still_and_coming_in(self) -> None:
        """Of mouth_stretch; then it deserves a look, and is taken again well."""
        blurred = self._changed("mouth_stretch", self._blur)
        self.page.evaluate(FREEZE)
        self.air.perform(blurred)
        self.operator.press("Space")
        self.page.wait_for_function("() => mien.store.state.bar.word === 'HOLD STILL'")
        self.pictures.take(self.page, "shoot-hold-still", 200)
        self.page.evaluate("() => { window.freezes = true; }")
        self.page.wait_for_function("() => window.frozen || mien.store.state.take.phase === 'checked'")
        self.pictures.take(self.page, "shoot-coming-in")
        self.operator = self._load(self.page)
        self.operator.wait("s.take.phase === 'checked'")
        self.pictures.take(self.page, "shoot-look")
        self.page.keyboard.press("Enter")
        self.pictures.take(self.page, "shoot-look-twice", 150)
        self.page.wait_for_timeout(3500)
        self._subject("subject-thanks")
        self._fire("r")
        self.pictures.take(self.page, "shoot-decide")
        self.page.keyboard.press("f")
        self.page.locator(".full-size[data-shown]").wait_for()
        self.pictures.take(self.page, "shoot-full-size")
        self.page.keyboard.press("f")
        self.operator.accept(str(self.operator.state("take.code")))

    def _countdown(self) -> None:
        self.page.evaluate("() => localStorage.setItem('mien-countdown', '9')")
        self.operator = self._load(self.page)
        self.air.perform(self.faces / label("anger"))
        self._subject("subject-ready", leave=True)
        self.page.bring_to_front()
        self.operator.press("Space")
        self.operator.wait("s.countdown !== undefined")
        self.pictures.take(self.page, "shoot-countdown", 150)
        self.screen.bring_to_front()
        self.pictures.take(self.screen, "subject-countdown", 150)
        self.screen.goto("about:blank")
        self.page.bring_to_front()
        self.page.keyboard.press("Escape")
        self.operator.wait("s.countdown === undefined")
        self.page.evaluate("() => localStorage.setItem('mien-countdown', '0')")
        self.operator = self._load(self.page)

    def _retake(self) -> None:
        """Two photographs never come."""
        self._fire(look=self._changed("anger", self._lose))
        self.operator.wait("s.take.phase === 'failed'")
        self.pictures.take(self.page, "shoot-retake")
        self.operator.accept(self._fire("r"))

    def _cannot_fire(self) -> None:
        for camera in ("cam-04", "cam-05"):
            self.air.kill_node(camera)
        self.operator.wait("s.bar.word === 'CANNOT FIRE'")
        self.pictures.take(self.page, "shoot-cannot-fire")

    def _subject(self, name: str, leave: bool = False) -> None:
        """The subject's screen. A simulated body's live view is a test chart: here it shows what it photographs."""
        view = self.air.studio.rig.cameras
        self.screen.route(
            "**/api/subject-screen/live.jpg*",
            lambda route: route.fulfill(path=self.air.scene / f"{_view(view, route.request.url)}.jpg"),
        )
        self.screen.goto(f"{self.air.url}/subject")
        self.screen.bring_to_front()
        self.screen.wait_for_timeout(2500)
        self.pictures.take(self.screen, name)
        if not leave:
            self.screen.goto("about:blank")
        self.page.bring_to_front()

    def _load(self, page: Any) -> Operator:
        page.goto(f"{self.air.url}/?{id(object())}#shoot")
        operator = Operator(page, self.air, lambda name: self.faces / label(name))
        operator.wait("s.rig !== undefined && s.cameras !== undefined")
        return operator

    def _fire(self, key: str = "Space", look: Path | None = None) -> str:
        return self.operator.fire(key, look)

    def _changed(self, name: str, change: Callable[[Path], None]) -> Path:
        made = self.scratch / f"changed-{name}"
        shutil.copytree(self.faces / label(name), made, dirs_exist_ok=True)
        change(made)
        return made

    @staticmethod
    def _blur(folder: Path) -> None:
        with Image.open(folder / "1.jpg") as picture:
            small = picture.filter(ImageFilter.GaussianBlur(4))
        small.save(folder / "1.jpg", quality=92)

    @staticmethod
    def _lose(folder: Path) -> None:
        for view in (3, 7):
            (folder / f"{view}.jpg").unlink()


def _view(cameras: Any, address: str) -> int:
    name = address.partition("camera=")[2].partition("&")[0]
    return int(next(camera.view for camera in cameras if camera.name == name))


if __name__ == "__main__":
    main()
