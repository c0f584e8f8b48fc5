"""The studio as `mien studio serve` runs it, and a browser on it: the first person, a kill, and a cut of the line."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from console_browser import browser_page, plain_page, wait_by_asking
from mien_tests_db_fixtures import events_about
from patience import until
from studio_process import StudioProcess, studio_process

import controller.console
from db.engine import open_database, reading
from db.models import SessionAct
from db.settings import Settings

pytestmark = pytest.mark.slow
NEUTRAL = Path(controller.console.__file__).parent / "static" / "expressions" / "neutral.jpg"
PASSWORD = "rope tango seven lamp"
BAR = (
    "(says) => [...document.querySelectorAll('#bar [data-part=word], #bar [data-part=text]')]"
    ".map((e) => e.textContent).join(' ').startsWith(says)"
)
STALE_MS = 6000  # a command is too old after 5 s


@pytest.fixture
def served(tmp_path: Path) -> Iterator[StudioProcess]:
    with studio_process(tmp_path, NEUTRAL) as made:
        yield made


def begin(served: StudioProcess) -> str:
    """The preflight and a session, by the commands' way."""
    assert served.client.post("/api/preflight", profile="default")["ready"]
    return str(served.client.post("/api/sessions", subject=served.subject, protocol="short")["session"])


def to_shoot(page: Any, served: StudioProcess) -> None:
    page.evaluate("() => localStorage.setItem('mien-countdown', '0')")
    page.goto(f"{served.url}/?fresh#shoot")
    page.wait_for_function("() => mien.store.connected && mien.store.state.session !== undefined")
    says(page, "READY neutral")


def says(page: Any, what: str) -> None:
    """Until the bar begins with this."""
    page.wait_for_function(BAR, arg=what, timeout=120_000)


def takes(served: StudioProcess, session: str) -> list[dict[str, Any]]:
    lines = served.client.get(f"/api/sessions/{session}")["expressions"]
    return [take for line in lines for take in line["takes"]]


def test_the_first_person_comes_in_by_the_printed_link_and_what_it_fires_is_under_its_name(
    served: StudioProcess,
) -> None:
    with plain_page() as page:
        page.set_default_timeout(240_000)
        wait_by_asking(page)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
        page.goto(served.first_link())
        page.fill("#name", "Anna")
        page.fill("#password", PASSWORD)
        page.fill("#again", PASSWORD)
        page.click("#person button")
        page.wait_for_selector("#tab-shoot")
        page.goto(f"{served.url}/account")
        page.wait_for_selector("body[data-ready=yes]")
        page.click("#sign-out")
        page.wait_for_url(f"{served.url}/sign-in")
        page.wait_for_selector("body[data-ready=yes]")
        page.fill("#name", "anna")
        page.fill("#password", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_selector("#tab-shoot")
        assert page.inner_text("#person") == "anna"

        session = begin(served)
        to_shoot(page, served)
        page.keyboard.press("Space")
        page.wait_for_function("() => mien.store.state.take?.phase === 'checked'", timeout=120_000)
        page.keyboard.press("Enter")
        says(page, "READY smile")
        code = takes(served, session)[0]["code"]
    engine = open_database(Settings.load(served.home).database)
    with reading(engine) as tx:
        entries = {entry.action: entry.actor for entry in events_about(tx, "take", code)}
        acts = [(act.kind.value, act.by) for act in tx.query(SessionAct).order_by(SessionAct.id)]
    engine.dispose()
    assert (entries["take.fire"], entries["take.accept"]) == ("anna", "anna")
    assert acts == [("fire", "anna"), ("accept", "anna")]
    assert faults == []
    served.end()
    served.start()
    assert "/link#" not in served.said(), "there is somebody already"


def test_a_studio_that_is_killed_with_a_take_under_way_is_missed_and_brings_the_take_in(tmp_path: Path) -> None:
    with (
        studio_process(tmp_path, NEUTRAL, more="&download_ms=5000") as served,
        browser_page(served.url, served.home, expected=("net::ERR_", "Failed to load resource")) as page,
    ):
        session = begin(served)
        to_shoot(page, served)
        page.keyboard.press("Space")
        page.wait_for_function("() => ['fired', 'safe'].includes(mien.store.state.take?.phase)", timeout=120_000)
        served.kill()
        says(page, "STUDIO LOST")
        assert page.evaluate("() => document.body.dataset.lost") == "yes"
        for key in ("Space", "Enter", "p"):
            page.keyboard.press(key)
        served.start()
        page.wait_for_function("() => document.body.dataset.lost === undefined", timeout=120_000)
        says(page, "DECIDE neutral")
        assert [take["state"] for take in takes(served, session)] == ["captured"]
        page.wait_for_function("() => mien.store.state.take?.phase === 'checked'", timeout=120_000)
        page.keyboard.press("Enter")
        says(page, "CHECK run the preflight")
        page.locator("#faults li", has_text="no preflight since the studio").get_by_role(
            "button", name="Run the preflight"
        ).click()
        says(page, "READY smile")


def test_a_cut_line_is_told_and_a_command_that_comes_out_of_it_late_is_refused(served: StudioProcess) -> None:
    """The server's process is stopped: as with a cable that is pulled, it is there and nothing comes."""
    with browser_page(served.url, served.home, expected=("status of 409", "net::ERR_")) as page:
        session = begin(served)
        to_shoot(page, served)
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
        served.send(signal.SIGSTOP)
        page.keyboard.press("Space")  # sent, unless a slow machine has missed the studio by now
        says(page, "STUDIO LOST")
        under_way = len(sent)
        for key in ("Space", "Enter", "p"):
            page.keyboard.press(key)
        page.wait_for_function(f"() => mien.store.age_ms() > {STALE_MS}")
        assert len(sent) == under_way, "a key acted while nobody was heard"
        served.send(signal.SIGCONT)
        page.wait_for_function("() => document.body.dataset.lost === undefined", timeout=120_000)
        if any(url.endswith("/trigger") for url in sent):
            page.locator(".toast[data-tone=stop]").first.wait_for()
        says(page, "READY neutral")
        assert takes(served, session) == []
        page.keyboard.press("Space")
        until(lambda: len(takes(served, session)) == 1, "it does not fire any more", 120)
        says(page, "DECIDE neutral")
