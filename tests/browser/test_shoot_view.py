"""Whole sessions in a real browser, with keys alone: what an operator does in a day, and what may go wrong in it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from console_browser import browser_page
from operator_at_keys import Operator, accessibility_faults
from PIL import Image, ImageFilter
from studio_on_air import OnAir, rig_of, studio_on_air, take_pictures

import controller.console
from db.protocols import EXPRESSIONS

EXAMPLES = Path(controller.console.__file__).parent / "static" / "expressions"
CAMERAS = 4
THREE = ("neutral", "smile", "mouth_stretch")
# Milliseconds from the key to the second frame after the photograph was put in its place.
WATCH_FULL_SIZE = """() => {
    const dialog = document.querySelector(".full-size");
    let pressed = 0;
    document.addEventListener("keydown", () => { pressed = performance.now(); }, { capture: true, once: true });
    const painted = () => { window.took = performance.now() - pressed; };
    const watch = new MutationObserver(() => {
        if (!dialog.dataset.shown) return;
        watch.disconnect();
        requestAnimationFrame(() => requestAnimationFrame(painted));
    });
    watch.observe(dialog, { attributes: true });
}"""
REFUSED = "Failed to load resource: the server responded with a status of 409"


@pytest.fixture(scope="module")
def looks(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """looks(name): a folder of photographs, the same from every camera: the example of the expression."""
    folder = tmp_path_factory.mktemp("looks")

    def look(name: str) -> Path:
        if not (folder / name).exists():
            take_pictures(folder / name, EXAMPLES / f"{name}.jpg", CAMERAS)
        return folder / name

    return look


@pytest.fixture
def blurred(looks: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """blurred(name): the same, out of focus in the third camera."""

    def look(name: str) -> Path:
        source = looks(name)
        target = take_pictures(tmp_path / f"blurred-{name}", source / "0.jpg", CAMERAS)
        with Image.open(source / "2.jpg") as picture:
            picture.filter(ImageFilter.GaussianBlur(6)).save(target / "2.jpg", quality=90)
        return target

    return look


# The page hears by its stream what a command did before the command is answered.
LATE_ANSWERS = """(end) => {
    const prompt = window.fetch;
    window.fetch = async (...asked) => {
        const answer = await prompt(...asked);
        if (String(asked[0]).endsWith(end)) await new Promise((done) => setTimeout(done, 1000));
        return answer;
    };
}"""


@pytest.fixture
def air(tmp_path: Path, looks: Callable[[str], Path]) -> Iterator[OnAir]:
    with studio_on_air(tmp_path, rig_of(CAMERAS), looks("neutral"), expressions=THREE) as made:
        yield made


def operator_of(page: Any, air: OnAir, looks: Callable[[str], Path], countdown_s: int = 0) -> Operator:
    """Takes the page to a state where keys act: heard, in the Shoot view, with this countdown."""
    page.evaluate(f"() => localStorage.setItem('mien-countdown', '{countdown_s}')")
    page.goto(f"{air.url}/?fresh#shoot")
    made = Operator(page, air, looks)
    made.wait("s.session !== undefined")
    return made


def test_three_expressions_with_keys_alone(
    air: OnAir, looks: Callable[[str], Path], blurred: Callable[[str], Path]
) -> None:
    with browser_page(air.url, air.home) as page:
        operator = operator_of(page, air, looks)
        assert accessibility_faults(page) == []
        for name in THREE:
            operator.sees(name)
            operator.accept(operator.fire())
        assert operator.presses <= 45 / 20 * len(THREE)
        operator.wait("s.session.undecided.length === 0 && s.session.next === undefined")
        assert accessibility_faults(page) == []
        played = page.evaluate("() => mien.sounds.played")
        assert played.count("whole") == len(THREE)

        # The last expression again: a photograph out of focus wants Enter twice, within three seconds.
        operator.press("ArrowLeft")
        code = operator.fire("r", blurred("mouth_stretch"))
        assert code.endswith("E03-2")
        page.locator("#mute").focus()
        for key in ("Tab", "Enter"):  # without a mouse Enter presses the button that Tab went to, and accepts nothing
            page.keyboard.press(key)
        page.locator("#help[open]").wait_for()
        page.keyboard.press("Escape")
        page.locator(".told .name").click()
        assert page.locator(".warning").count() == 0 or not page.locator(".warning").is_visible()
        operator.press("Enter")
        page.locator(".warning").wait_for()
        assert "Enter again accepts it all the same" in page.locator(".warning").inner_text()
        assert "cam-02" in page.locator(".reasons").inner_text()
        assert operator.state(f"session.takes.{code}.state") == "captured"
        assert accessibility_faults(page) == []
        page.locator(".warning").wait_for(state="hidden")
        operator.press("Enter")
        page.locator(".warning").wait_for()
        page.evaluate(LATE_ANSWERS, "/accept")
        operator.press("Enter")
        operator.wait("s.session.takes[g[0]].state === 'accepted'", code)
        assert page.evaluate("() => mien.sounds.played").count("look") >= 1

        # ... and is taken back, while the answer to Enter is still on its way: the take that stood before stands again.
        operator.press("u")
        operator.wait("s.session.takes[g[0]].state === 'captured'", code)

        operator.press("p")
        operator.wait("s.session === undefined && s.paused.length === 1")
        page.locator(".waiting h1").wait_for()
        assert accessibility_faults(page) == []
        operator.press("p")
        operator.wait("s.session?.state === 'open'")


@pytest.mark.slow
def test_a_photograph_is_there_at_full_size(air: OnAir, looks: Callable[[str], Path], tmp_path: Path) -> None:
    """Of 24 megapixels, as bodies have them. How long it took is printed: it is no test of this machine."""
    large = take_pictures(tmp_path / "large", looks("neutral") / "0.jpg", CAMERAS)
    with Image.open(large / "0.jpg") as picture:
        enlarged = picture.resize((4000, 6000), Image.Resampling.BICUBIC)
    for view in range(CAMERAS):
        enlarged.save(large / f"{view}.jpg", quality=95)
    with browser_page(air.url, air.home) as page:
        operator = operator_of(page, air, looks)
        operator.fire(look=large)
        page.wait_for_function("() => document.querySelector('.large img').naturalHeight === 6000")
        page.evaluate(WATCH_FULL_SIZE)
        operator.press("f")
        page.wait_for_function("() => window.took > 0")
        print(f"1:1 of 24 megapixels painted after {page.evaluate('() => window.took'):.0f} ms")
        image = page.locator(".full-place img")
        before = image.bounding_box()
        assert before is not None
        assert round(before["width"]) == page.evaluate("() => document.querySelector('.full-place img').naturalWidth")
        page.mouse.move(960, 540)
        page.mouse.wheel(0, -200)
        page.wait_for_function(
            "(w) => document.querySelector('.full-place img').getBoundingClientRect().width > w", arg=before["width"]
        )
        zoomed = image.bounding_box()
        page.mouse.down()
        page.mouse.move(1060, 640)
        page.mouse.up()
        moved = image.bounding_box()
        assert zoomed is not None and moved is not None  # noqa: PT018
        assert (round(moved["x"] - zoomed["x"]), round(moved["y"] - zoomed["y"])) == (100, 100)
        assert accessibility_faults(page) == []
        operator.press("ArrowDown")
        page.wait_for_function("() => document.querySelector('.full-head h2').textContent.startsWith('cam-01')")
        operator.press("f")
        page.wait_for_function("() => !document.querySelector('.full-size').open")
        operator.accept(str(operator.state("take.code")))


@pytest.mark.slow
def test_a_countdown_is_aborted_and_an_expression_is_skipped(air: OnAir, looks: Callable[[str], Path]) -> None:
    with browser_page(air.url, air.home) as page:
        operator = operator_of(page, air, looks, countdown_s=10)
        operator.press("Space")
        operator.wait("s.countdown !== undefined")
        page.locator(".counted").wait_for()
        assert accessibility_faults(page) == []
        operator.press("Escape")
        operator.wait("s.countdown === undefined")
        assert operator.state("take") is None
        assert "tick" in page.evaluate("() => mien.sounds.played")
        operator.press("s")
        page.locator("dialog[open] input").fill("the subject cannot")
        page.keyboard.press("Enter")
        operator.wait("s.session.expressions['1'].skipped === 'the subject cannot'")
        operator.sees("smile")
        operator.press("u")
        operator.wait("s.session.expressions['1'].skipped === undefined")


@pytest.mark.slow
def test_a_presenter_fires_and_accepts(air: OnAir, looks: Callable[[str], Path]) -> None:
    with browser_page(air.url, air.home) as page:
        operator = operator_of(page, air, looks)
        code = operator.fire("PageDown")
        operator.press(".")
        operator.wait("s.session.takes[g[0]].state === 'accepted'", code)
        page.keyboard.press("?")
        page.locator("#help button", has_text="Teach").first.click()
        page.keyboard.press("b")
        assert page.locator("#help section kbd").first.inner_text() == "b"
        assert accessibility_faults(page) == []
        page.keyboard.press("Escape")
        assert operator.fire("b").endswith("E02-1")


@pytest.mark.slow
def test_a_lost_photograph_is_a_red_number_and_is_taken_again(tmp_path: Path, looks: Callable[[str], Path]) -> None:
    options = {"cam-03": "&drop=1"}
    with (
        studio_on_air(tmp_path, rig_of(CAMERAS), looks("neutral"), expressions=THREE, options=options) as air,
        browser_page(air.url, air.home) as page,
    ):
        operator = operator_of(page, air, looks)
        operator.fire()
        operator.wait("s.take.phase === 'failed'")
        missing = page.locator(".shot[data-state=missing]")
        assert missing.count() == 1
        assert missing.locator(".shot-number").inner_text() == "3"
        assert "cam-03" in page.locator(".reasons").inner_text()
        assert page.locator(".shot[data-state=in]").count() == CAMERAS - 1
        assert "failed" in page.evaluate("() => mien.sounds.played")
        assert accessibility_faults(page) == []
        code = operator.fire("r")
        assert code.endswith("E01-2")


@pytest.mark.slow
def test_keys_are_dead_without_contact_and_nothing_is_done_later(air: OnAir, looks: Callable[[str], Path]) -> None:
    with browser_page(air.url, air.home, expected=("ERR_CONNECTION_REFUSED", "ERR_", "net::")) as page:
        operator = operator_of(page, air, looks)
        air.stop_serving()
        page.wait_for_function("() => document.body.dataset.lost === 'yes'")
        assert "STUDIO LOST" in page.locator("#bar").inner_text()
        for key in ("Space", "Enter", "r", "p"):
            page.keyboard.press(key)
        air.serve()
        page.wait_for_function("() => document.body.dataset.lost === undefined")
        operator.wait("s.session !== undefined")
        assert air.studio.open_session() is not None, "paused by a key that was pressed while nobody was heard"
        assert not air.studio.state_of(str(air.studio.open_session())).takes
        operator.accept(operator.fire())


@pytest.mark.slow
def test_a_viewer_has_no_button_and_no_key_that_would_be_refused(air: OnAir, looks: Callable[[str], Path]) -> None:
    with browser_page(air.url, air.home, role="viewer") as page:
        operator_of(page, air, looks)
        assert page.locator(".shoot .acts, #automatic").count() == 0
        for key in ("Space", "Enter", "r", "u", "s", "l", "p", "v"):
            page.keyboard.press(key)
        assert page.locator("dialog[open], .toast").count() == 0
        page.keyboard.press("?")
        assert "Skip" not in page.locator("#help").inner_text()
        assert not air.studio.state_of(str(air.studio.open_session())).takes


@pytest.mark.slow
def test_one_screen_holds_the_trigger_and_gives_it_by_a_click_on_both(air: OnAir, looks: Callable[[str], Path]) -> None:
    with browser_page(air.url, air.home, expected=(REFUSED,)) as page:
        operator = operator_of(page, air, looks)
        second = page.context.new_page()
        second.goto(air.url)
        other = Operator(second, air, looks)
        other.wait("s.session !== undefined")
        code = operator.fire()
        other.wait("s.take?.code === g[0] && s.trigger.holder !== undefined", code)
        other.press("Enter")
        second.locator(".toast[data-tone=stop]").first.wait_for()
        assert air.studio.state_of(str(air.studio.open_session())).find_take(code).state.value == "captured"  # type: ignore[union-attr]
        second.click("#trigger-take")
        page.click("#trigger-grant")
        second.wait_for_selector("body[data-trigger=mine]")
        other.accept(code)
        operator.wait("s.session.takes[g[0]].state === 'accepted'", code)


@pytest.mark.slow
def test_twenty_expressions_with_forty_five_keys(tmp_path: Path, looks: Callable[[str], Path]) -> None:
    with (
        studio_on_air(tmp_path, rig_of(CAMERAS), looks("neutral")) as air,
        browser_page(air.url, air.home) as page,
    ):
        operator = operator_of(page, air, looks)
        for _ in EXPRESSIONS:
            operator.accept(operator.fire())
        operator.wait("s.session.next === undefined && s.session.undecided.length === 0")
        assert operator.presses <= 45
        air.studio.close(str(operator.state("session.code")))


@pytest.mark.slow
def test_twenty_expressions_with_twenty_five_keys_where_well_takes_are_accepted(
    tmp_path: Path, looks: Callable[[str], Path]
) -> None:
    """The option wants every check to be ok, so the expression check has to be made: frontal cameras are there."""
    with (
        studio_on_air(tmp_path, rig_of(CAMERAS, frontal=(0, 1, 2)), looks("neutral")) as air,
        browser_page(air.url, air.home) as page,
    ):
        operator = operator_of(page, air, looks)
        page.check("#automatic")
        operator.wait("s.session.automatic")
        for _ in EXPRESSIONS:
            code = operator.fire()
            if any(check["state"] != "ok" for check in operator.state("take.review.checks")):
                operator.accept(code)
            operator.wait("s.session.takes[g[0]].state === 'accepted'", code)
        assert operator.presses <= 25
