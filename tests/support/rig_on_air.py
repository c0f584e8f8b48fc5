"""A studio between sessions for the browser's tests: simulated cameras, some of them troubled, scenes, no session."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from patience import until
from PIL import Image, ImageDraw
from studio_on_air import OnAir, rig_of, studio_on_air

from controller.lighting.light_scenes import LightsEntry, Scene
from controller.rig_file import ExposureEntry

SCENES = {"cross": Scene("cross", {1: ((1, 12, 200),)}), "full": Scene("full", {1: ((1, 512, 255),)})}
SETTINGS = ExposureEntry(shutter="1/125", aperture="f/8", iso="200")


def pictures(folder: Path, views: int) -> Path:
    """`folder`/<view>.jpg: a face of its own for each view."""
    folder.mkdir(parents=True, exist_ok=True)
    for view in range(views):
        image = Image.new("RGB", (480, 320), (40 + view % 30, 44, 52))
        draw = ImageDraw.Draw(image)
        left = 240 + 40 * ((view % 5) - 2)
        draw.ellipse((left - 70, 50, left + 70, 270), fill=(196 - view % 40, 150, 120))
        for eye in (-25, 25):
            draw.ellipse((left + eye - 9, 135, left + eye + 9, 150), fill=(30, 30, 30))
        draw.arc((left - 30, 180, left + 30, 225), 20, 160, fill=(90, 30, 30), width=5)
        image.save(folder / f"{view}.jpg", quality=85)
    return folder


@contextmanager
def rig_on_air(folder: Path, count: int, options: Mapping[str, str], **changes: Any) -> Iterator[OnAir]:
    """The studio served, its nodes announced, whether their bodies answer or not; no session.

    options: of a camera's `sim:` address, by name. changes: to the rig.
    """
    rig = replace(rig_of(count), scenes=SCENES, lights=LightsEntry("127.0.0.1"), exposure=SETTINGS, **changes)
    with studio_on_air(folder, rig, pictures(folder / "photos", count), options=dict(options), session=False) as air:
        names = {camera.name for camera in rig.cameras}
        until(lambda: set(air.studio.link.nodes()) == names)
        until(lambda: all(report.state != "connected" for report in air.studio.cameras()))
        yield air


class Watcher:
    """Somebody in front of the page, in one view."""

    def __init__(self, page: Any, air: OnAir, view: str) -> None:
        self.page, self.air = page, air
        page.set_default_timeout(90_000)
        page.evaluate(f"() => {{ location.hash = '{view}' }}")
        self.wait("s.cameras !== undefined")
        page.locator(f"#view-{view}").wait_for()

    def wait(self, condition: str, *given: Any) -> None:
        """Until an expression of the page's state `s` (and of `g`, what is given) is true."""
        self.page.wait_for_function(f"(g) => {{ const s = mien.store.state; return {condition}; }}", arg=list(given))

    def shows(self, selector: str, text: str) -> None:
        """Until one of these elements says this."""
        self.page.locator(selector, has_text=text).first.wait_for()

    def tile(self, camera: str) -> Any:
        return self.page.locator(f'.cam-tile[data-camera="{camera}"]')

    def word(self, camera: str, word: str) -> None:
        """Until a camera's tile says this word."""
        self.page.locator(f'.cam-tile[data-camera="{camera}"] .cam-tile-word', has_text=word).wait_for()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
