"""3-D in a browser that has none, and what a viewer may do in the views over the records."""

from collections.abc import Iterator
from typing import Any

import pytest
from console_browser import browser_page
from records_home import RecordsWriter, make_home, opened, served

NO_3D = ("--disable-gpu", "--disable-3d-apis")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """(session, url, home) of a served studio with a processed session."""
    home = make_home(tmp_path_factory.mktemp("records") / "home")
    with opened(home) as studio, served(studio, home) as url:
        writer = RecordsWriter(studio)
        session = writer.session(writer.subject(), accepted=1)
        writer.processed(f"{session}-E01-1")
        yield session, url, home


@pytest.mark.slow
def test_a_browser_without_webgl_says_so(study: Any) -> None:
    session, url, home = study
    with browser_page(url, home, graphics=NO_3D) as page:
        page.click("#tab-three-d")
        page.get_by_text("This browser draws nothing in three dimensions").wait_for()
        page.click("#tab-night")
        page.locator(".night-take img[src]").wait_for()  # the pictures are there all the same
        assert session in page.locator(".night-take").inner_text()


@pytest.mark.slow
def test_a_viewer_sees_and_changes_nothing(study: Any) -> None:
    session, url, home = study
    with browser_page(url, home, role="viewer") as page:
        page.click("#tab-sessions")
        head = page.locator(".session-head", has_text=session)
        head.wait_for()
        assert page.locator("#view-sessions").get_by_text("Subjects are shown to operators.").is_visible()
        assert head.get_by_role("button").count() == 0
        for name in ("Start a session", "Record a consent", "New subject", "Reopen"):
            assert page.get_by_role("button", name=name).count() == 0
        page.click("#tab-night")
        page.locator(".night-take img[src]").wait_for()
        assert page.get_by_role("button", name="Try again").count() == 0
        page.click("#tab-release")
        page.locator(".coverage-grid tbody tr").wait_for()
