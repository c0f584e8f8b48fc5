"""An operator who has nothing but keys, in a browser on a studio on air; counts how often one was pressed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio_on_air import OnAir

AXE = Path(__file__).parent / "axe.min.js"
PATIENCE_MS = 240_000.0  # of a machine that does other things too
# What the state says is on the page two frames later; a page in the background is painted by the clock.
PAINTED = """() => Promise.race([
    new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
    new Promise((done) => setTimeout(done, 300)),
])"""


class Operator:
    """page: of the console, in the Shoot view."""

    def __init__(self, page: Any, air: OnAir, look_of: Callable[[str], Path]) -> None:
        """look_of: the folder of photographs of the subject performing an expression."""
        self.page, self.air, self.look_of = page, air, look_of
        self.presses = 0
        page.set_default_timeout(PATIENCE_MS)

    def state(self, what: str) -> Any:
        """A part of the page's state, as in "session.next_name"."""
        script = "(keys) => keys.reduce((value, key) => value?.[key], mien.store.state) ?? null"
        return self.page.evaluate(script, what.split("."))

    def wait(self, condition: str, *given: Any) -> None:
        """Until an expression of the page's state `s` (and of `g`, what is given) is true."""
        self.page.wait_for_function(f"(g) => {{ const s = mien.store.state; return {condition}; }}", arg=list(given))

    def sees(self, expression: str) -> None:
        """Until the view shows this expression."""
        script = "(name) => document.querySelector('.told .name').textContent === name"
        self.page.wait_for_function(script, arg=expression.replace("_", " "))

    def press(self, key: str) -> None:
        """Once the studio is heard: on a machine that does other things too a page may miss it for a moment."""
        self.page.wait_for_function("() => mien.store.connected")
        self.presses += 1
        self.page.keyboard.press(key)

    def fire(self, key: str = "Space", look: Path | None = None) -> str:
        """The subject performs what is shown, the operator fires; the take's code once its checks are there."""
        self.page.evaluate(PAINTED)
        before = self.state("take.code")
        name = self.page.locator(".told .name").inner_text().replace(" ", "_")
        self.air.perform(look or self.look_of(name))
        self.press(key)
        self.wait("s.take && s.take.code !== g[0]", before)
        self.wait("['checked', 'decided', 'failed'].includes(s.take.phase)")
        self.wait("s.session.takes[s.take.code]?.state !== 'fired'")
        return str(self.state("take.code"))

    def accept(self, code: str) -> None:
        """Enter, as often as the page wants it."""
        self.press("Enter")
        if self.page.locator(".warning").is_visible():
            self.press("Enter")
        self.wait("s.session.takes[g[0]].state === 'accepted'", code)


def accessibility_faults(page: Any) -> list[str]:
    """What axe-core finds serious or critical."""
    if not page.evaluate("() => typeof axe !== 'undefined'"):
        page.evaluate(AXE.read_text())
    found = page.evaluate("async () => (await axe.run(document, { resultTypes: ['violations'] })).violations")
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
