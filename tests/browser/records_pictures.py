"""Pictures of Sessions, Night, 3-D and Release on three screens, for the guide: python records_pictures.py DEMO OUT

DEMO: what `mien demo` has made; it is copied, and more subjects are written into the copy. OUT: a folder.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from console_browser import SOFTWARE_3D, browser_page
from records_home import DRAWN_3D, RecordsWriter, opened, served

from db import migrations
from db.captures import get_take
from db.engine import open_database, reading, transaction
from db.models import ConsentScope
from db.settings import Settings
from db.stage_runs.artefacts import OutputFile, artefacts_of_take, frames_of_take, input_hashes
from db.subjects import add_subject, get_subject, withdraw_consent

SCREENS = ((1920, 1080), (1366, 768), (1024, 768))
BOTH = (ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION)


def writer_of(studio: Any, take: str) -> RecordsWriter:
    """A writer whose takes look like this one."""
    with reading(studio.engine) as tx:
        row = get_take(tx, take)
        made = artefacts_of_take(tx, row.id)
        jobs = {artefact.job_id for artefact in made.values()}
        template = next(iter(input_hashes(tx, jobs, "template").values()))
        photographs = [studio.store.local_path(frame.sha256).read_bytes() for frame in frames_of_take(tx, row.id)]
    files = {
        f"{stage}.{output}": OutputFile(output, artefact.sha256, artefact.bytes, artefact.media)
        for (stage, output), artefact in made.items()
    }
    files["template"] = OutputFile("template", template, 0, "application/x-npz")
    return RecordsWriter(studio, files, photographs)


def fill(studio: Any) -> None:
    """Subjects at every point between the door and the release."""
    neutral, smile = writer_of(studio, "S001-1-E01-1"), writer_of(studio, "S001-1-E02-1")

    def processed(session: str, verdict: str = "accept") -> None:
        neutral.processed(f"{session}-E01-1")
        smile.processed(f"{session}-E02-1", verdict=verdict)

    processed(neutral.session(neutral.subject(*BOTH, age=27), accepted=2))
    looked = neutral.session(neutral.subject(*BOTH, age=44))
    processed(looked, "review")
    neutral.failed(f"{looked}-E03-1", "reconstruct", "ReconstructionError: no depth in 12 of 12 views")
    waiting = neutral.session(neutral.subject(age=61))
    neutral.processed(f"{waiting}-E01-1", ("reconstruct", "landmarks"))
    neutral.waiting(f"{waiting}-E02-1", "reconstruct")
    gone = neutral.subject(*BOTH, age=35)
    processed(neutral.session(gone, accepted=2))
    with transaction(studio.engine) as tx:
        withdraw_consent(tx, get_subject(tx, gone))
        add_subject(tx, age=52)
    neutral.session(neutral.subject(age=19), accepted=1, undecided=2, close=False)


def take_pictures(url: str, home: Path, out: Path) -> None:
    """Every view and the dialogs of Sessions, on each screen."""
    for width, height in SCREENS:
        with browser_page(url, home, width=width, height=height, graphics=SOFTWARE_3D) as page:
            page.set_default_timeout(90_000)

            def shoot(name: str, page: Any = page, width: int = width) -> None:
                page.screenshot(path=out / f"records-{name}-{width}.png")

            page.wait_for_function("() => !document.querySelector('.toast')")
            sessions(page, shoot)
            page.click("#tab-night")
            page.locator(".night-take img[src]").first.wait_for()
            page.wait_for_function(LOADED)
            shoot("night")
            three_d(page, shoot)
            page.click("#tab-release")
            page.locator(".coverage-grid tbody tr").first.wait_for()
            shoot("release")


# Pictures further down are loaded when somebody scrolls there.
LOADED = (
    "() => [...document.querySelectorAll('.view:not([hidden]) img[src]')]"
    ".every((image) => image.complete || image.getBoundingClientRect().top > innerHeight)"
)


def sessions(page: Any, shoot: Callable[[str], None]) -> None:
    page.click("#tab-sessions")
    page.locator(".now .session-line").get_by_role("button", name="Show").click()
    page.locator(".take-card img[src]").first.wait_for()
    page.wait_for_function(LOADED)
    shoot("sessions")
    page.locator(".now .session-line").get_by_role("button", name="Close").click()
    page.locator("dialog fieldset").first.wait_for()
    shoot("closing")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Record a consent").click()
    shoot("consent")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Start a session").click()
    page.locator("dialog .lacks").wait_for()
    shoot("start")
    page.keyboard.press("Escape")


def three_d(page: Any, shoot: Callable[[str], None]) -> None:
    page.click("#tab-three-d")
    page.locator(".three-list button").first.wait_for()
    page.locator(".three-side select").select_option("S001-1")
    for key, name in (("t", "texture"), ("h", "distance"), ("d", "displacement"), ("r", "relief"), ("c", "scan")):
        page.keyboard.press(key)
        page.wait_for_function(
            f"() => document.querySelector('.looks [title=\"Key {key.upper()}\"][aria-pressed=true]')"
        )
        page.wait_for_function(DRAWN_3D)
        shoot(f"3d-{name}")


def main(demo: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "studio"
        shutil.copytree(demo / "studio", home)
        engine = open_database(Settings.load(home).database)
        migrations.upgrade(engine)
        engine.dispose()
        with opened(home) as studio:
            fill(studio)
            with served(studio, home) as url:
                take_pictures(url, home, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
