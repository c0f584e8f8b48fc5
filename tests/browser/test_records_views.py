"""Sessions, Night, 3-D and Release in a real browser: what a person does there is in the records afterwards."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from console_browser import SOFTWARE_3D, browser_page
from operator_at_keys import accessibility_faults
from patience import until
from PIL import Image
from records_home import DRAWN_3D, RecordsWriter, make_home, opened, served

from db.captures import get_session, get_take
from db.engine import transaction
from db.models import ConsentScope, JobState, SessionState, TakeState
from db.stage_runs.job_queue import get_job
from db.subjects import get_subject, withdraw_consent

FORM = {"name": "form.pdf", "mimeType": "application/pdf", "buffer": b"I agree"}
WIDER = "() => [document.documentElement, document.querySelector('main')].map((e) => e.scrollWidth - e.clientWidth)"
GONE = "Failed to load resource: the server responded with a status of 410"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """(writer, url, home) of a served studio."""
    home = make_home(tmp_path_factory.mktemp("records") / "home")
    with opened(home) as studio, served(studio, home) as url:
        yield RecordsWriter(studio), url, home


@pytest.fixture(scope="module")
def page(study: Any) -> Iterator[Any]:
    """One page for all tests of this module that leave it usable."""
    _, url, home = study
    with browser_page(url, home, width=1366, height=768, graphics=SOFTWARE_3D, expected=(GONE,)) as made:
        made.set_default_timeout(60_000)
        yield made


@pytest.fixture(scope="module")
def made(study: Any) -> dict[str, str]:
    """A subject whose session is processed, but for a run that failed."""
    writer, _, _ = study
    subject = writer.subject(ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION)
    session = writer.session(subject)
    writer.processed(f"{session}-E01-1")
    writer.processed(f"{session}-E02-1", verdict="review")
    key = writer.failed(f"{session}-E03-1", "reconstruct", "ReconstructionError: no depth in 12 of 12 views")
    return {"subject": subject, "session": session, "key": key}


def show(page: Any, view: str) -> Any:
    """The view's element, after its tab was clicked."""
    page.click(f"#tab-{view}")
    return page.locator(f"#view-{view}")


def drawn(page: Any) -> Any:
    """What is on the canvas: (H, W, 3)."""
    shot = page.locator(".three-screen canvas").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)


def test_a_consent_is_recorded_and_a_session_begins_and_waits(page: Any, study: Any) -> None:
    writer, _, _ = study
    view = show(page, "sessions")
    view.get_by_role("button", name="New subject").click()
    dialog = page.get_by_role("dialog", name="New subject")
    dialog.get_by_label("Age, years").fill("34")
    dialog.get_by_role("button", name="Add").click()
    dialog.wait_for(state="detached")
    view.locator(".subject h2", has_text="S0").wait_for()
    code = view.locator(".subject h2").inner_text()
    view.get_by_role("button", name="Record a consent").click()
    dialog = page.get_by_role("dialog", name=f"Record a consent of {code}")
    dialog.get_by_role("button", name="Record").click()
    assert "Tick what was allowed" in dialog.inner_text()  # nothing is allowed beforehand
    dialog.get_by_label("Research release").check()
    dialog.get_by_role("button", name="Record").click()
    assert "The day on which it was signed is missing" in dialog.inner_text()
    dialog.get_by_label("Day of the signature").fill("2026-01-05")
    dialog.get_by_label("Version of the form").fill("2026-01")
    dialog.get_by_label("The signed form").set_input_files({**FORM, "buffer": f"I agree, {code}".encode()})
    dialog.get_by_role("button", name="Record").click()
    dialog.wait_for(state="detached")
    view.locator(".subject .badge", has_text="consents").wait_for()
    view.get_by_role("button", name="Start a session").click()
    dialog = page.get_by_role("dialog", name=f"Start a session of {code}")
    start = dialog.get_by_role("button", name="Start", exact=False).first
    assert start.is_disabled()
    for box in dialog.locator(".lacks input").all():
        box.check()
    start.click()
    dialog.wait_for(state="detached")
    view.locator(".now .session-line", has_text=f"{code}-1").get_by_role("button", name="Pause").click()
    view.locator(".now .badge", has_text="paused").wait_for()
    with transaction(writer.engine) as tx:
        assert [consent.scope for consent in get_subject(tx, code).consents] == [ConsentScope.RESEARCH_RELEASE]
        assert get_session(tx, f"{code}-1").state is SessionState.PAUSED


def test_a_failed_run_gets_another_chance(page: Any, study: Any, made: dict[str, str]) -> None:
    writer, _, _ = study
    view = show(page, "night")
    trouble = view.locator(".troubles li", has_text="3_mouth_stretch")
    assert "no depth in 12 of 12 views" in trouble.inner_text()
    trouble.get_by_role("button", name="Log").click()
    dialog = page.get_by_role("dialog", name="Log of reconstruct")
    assert f"reconstruct of {made['session']}-E03-1" in dialog.inner_text()
    dialog.get_by_role("button", name="Close").click()
    card = view.locator(".night-take", has_text="smile")
    assert "to look at" in card.inner_text()
    assert "holes: 2.1 cm2 under the chin" in card.inner_text()
    trouble.get_by_role("button", name="Try again").click()
    trouble.wait_for(state="detached")
    with transaction(writer.engine) as tx:
        assert get_job(tx, made["key"]).state is JobState.QUEUED


@pytest.mark.slow
def test_meshes_are_drawn_side_by_side(page: Any, made: dict[str, str]) -> None:
    page.goto(page.url.partition("#")[0] + f"?fresh#three-d/{made['session']}")
    page.wait_for_selector("body[data-ready=yes]")
    page.locator(".pane-head").nth(1).wait_for()
    page.wait_for_function(DRAWN_3D)
    looks = {}
    for key in ("t", "h", "c"):
        page.keyboard.press(key)
        page.wait_for_selector(f".looks button[data-look][aria-pressed=true][title='Key {key.upper()}']")
        page.wait_for_function(DRAWN_3D)
        looks[key] = drawn(page)
    half = looks["t"].shape[1] // 2
    for picture in looks.values():
        for side in (picture[:, :half], picture[:, half:]):
            assert side.reshape(-1, 3).std(axis=0).max() > 10  # something is in each window
    assert all(np.abs(looks[a] - looks[b]).mean() > 2 for a, b in ("th", "hc", "tc"))
    before = looks["c"]
    page.keyboard.press("w")
    until(lambda: np.abs(drawn(page) - before).mean() > 1)
    page.keyboard.press("w")


def test_what_may_leave_is_told(page: Any, made: dict[str, str]) -> None:
    view = show(page, "release")
    row = view.locator(".coverage-grid tbody tr", has_text=made["subject"])
    row.wait_for()
    assert [cell.get_attribute("aria-label") for cell in row.locator(".cell").all()[:2]] == ["can leave", "can leave"]
    assert "2/3" in row.inner_text()
    assert view.get_by_text("mien release select NAME").is_visible()


@pytest.mark.slow
def test_closing_asks_about_each_take_that_nobody_accepted(page: Any, study: Any) -> None:
    writer, _, _ = study
    session = writer.session(writer.subject(), accepted=1, undecided=2, close=False)
    page.reload()
    view = show(page, "sessions")
    view.locator(".now .session-line", has_text=session).get_by_role("button", name="Close").click()
    dialog = page.get_by_role("dialog", name=f"Close {session}")
    close = dialog.locator("button.danger")
    assert close.is_disabled()
    dialog.locator("fieldset", has_text=f"{session}-E02-1").get_by_label("Keep").check()
    assert close.is_disabled()
    dialog.locator("fieldset", has_text=f"{session}-E03-1").get_by_label("Drop").check()
    close.click()
    dialog.wait_for(state="detached")
    with transaction(writer.engine) as tx:
        assert get_session(tx, session).state is SessionState.CLOSED
        assert get_take(tx, f"{session}-E02-1").state is TakeState.ACCEPTED
        assert get_take(tx, f"{session}-E03-1").dropped_at is not None


@pytest.mark.slow
def test_a_take_is_chosen_moved_and_taken_back(page: Any, study: Any) -> None:
    writer, _, _ = study
    session = writer.session(writer.subject(), accepted=1, undecided=1, close=False)
    page.reload()
    view = show(page, "sessions")
    view.locator(".now .session-line", has_text=session).get_by_role("button", name="Show").click()
    card = view.locator(".take-card", has_text=f"{session}-E02-1")
    card.get_by_role("button", name="Move").click()
    dialog = page.get_by_role("dialog", name=f"Move {session}-E02-1")
    dialog.get_by_label("The expression it shows").select_option(label="3 mouth stretch")
    dialog.get_by_role("button", name="Move").click()
    view.locator(".take-card", has_text=f"{session}-E03-1").wait_for()
    assert f"was {session}-E02-1" in view.locator(".take-card", has_text=f"{session}-E03-1").inner_text()
    view.locator(".session-head").get_by_role("button", name="Undo").click()
    view.locator(".take-card code", has_text=f"{session}-E02-1").wait_for()


@pytest.mark.slow
def test_a_withdrawal_empties_the_page_at_once(page: Any, study: Any) -> None:
    writer, _, _ = study
    subject = writer.subject()
    session = writer.session(subject, accepted=2)
    for position in (1, 2):
        writer.processed(f"{session}-E0{position}-1")
    page.goto(page.url.partition("#")[0] + f"?again#three-d/{session}")
    page.wait_for_selector("body[data-ready=yes]")
    page.locator(".pane-head", has_text=subject).first.wait_for()
    page.wait_for_function(DRAWN_3D)
    with transaction(writer.engine) as tx:
        withdraw_consent(tx, get_subject(tx, subject))
    until(page.locator(".pane-note", has_text="consent does not stand").count, "the scan is still shown", 8)
    assert drawn(page)[80:].reshape(-1, 3).std(axis=0).max() < 12  # the ground, and the line between the windows
    assert page.locator(".three-list img[src]").count() == 0
    view = show(page, "night")
    card = view.locator(".night-take", has_text=f"{session}-E01-1")
    card.get_by_text("consent withdrawn: nothing is shown").wait_for()
    assert card.locator("img[src]").count() == 0
    view = show(page, "sessions")
    view.locator(".subject-list button", has_text=subject).click()
    view.locator(".subject .badge", has_text="withdrawn").first.wait_for()
    until(lambda: view.locator(".take-card img[src]").count() == 0)


@pytest.mark.slow
def test_who_hears_the_page_is_served_too(page: Any, study: Any, made: dict[str, str]) -> None:
    writer, _, _ = study
    session = writer.session(writer.subject(), accepted=1, undecided=1, close=False)
    page.reload()
    view = show(page, "sessions")
    row = view.locator(".now .session-line", has_text=session)
    row.get_by_role("button", name="Show").click()
    view.locator(".take-card", has_text=f"{session}-E02-1").wait_for()
    assert accessibility_faults(page) == []
    for opens in ("Record a consent", "New subject", "Start a session"):
        view.get_by_role("button", name=opens).click()
        page.locator("dialog.records-dialog").wait_for()
        assert accessibility_faults(page) == [], opens
        page.keyboard.press("Escape")
    row.get_by_role("button", name="Close").click()
    page.locator("dialog fieldset").first.wait_for()
    assert accessibility_faults(page) == []
    page.keyboard.press("Escape")
    view = show(page, "night")
    view.locator(".night-take", has_text=f"{made['session']}-E01-1").locator(".portrait").click()
    page.locator("dialog .take-pictures img").first.wait_for()
    assert accessibility_faults(page) == []
    page.keyboard.press("Escape")
    assert accessibility_faults(page) == []
    show(page, "three-d").locator(".pane-head").first.wait_for()
    page.keyboard.press("h")
    page.wait_for_function(DRAWN_3D)
    assert accessibility_faults(page) == []
    show(page, "release").locator(".coverage-grid tbody tr").first.wait_for()
    assert accessibility_faults(page) == []


@pytest.mark.slow
@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1024, 768)])
def test_no_view_is_wider_than_its_screen(page: Any, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    for view in ("sessions", "night", "three-d", "release"):
        show(page, view)
        page.wait_for_function(f"() => document.querySelector('#view-{view}').childElementCount > 0")
        assert page.evaluate(WIDER) == [0, 0], view
    page.set_viewport_size({"width": 1366, "height": 768})


def test_a_subjects_rig_is_shown_as_a_sheet(page: Any, study: Any) -> None:
    writer, _, _ = study
    code = writer.subject(ConsentScope.RESEARCH_RELEASE)
    session = writer.session(code, accepted=2)
    takes = [f"{session}-E0{position}-1" for position in (1, 2)]
    for take in takes:
        writer.processed(take)
    sheet = writer.rig(session, takes, verdict="review")
    page.reload()
    page.wait_for_selector("body[data-ready=yes]")
    view = show(page, "sessions")
    view.locator(".subject-list button", has_text=code).click()
    rig = view.get_by_role("figure", name="Rig")
    rig.locator("img").wait_for()
    assert rig.locator("img").get_attribute("src") == f"/api/artefacts/{sheet}"
    assert f"of 2 expressions of {session}" in rig.inner_text()
    assert "holes: 2.1 cm2 under the chin" in rig.inner_text()
    page.wait_for_function("() => document.querySelector('.rig-sheet img').naturalWidth === 160")
    assert accessibility_faults(page) == []
