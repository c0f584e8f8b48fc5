"""A real browser on the console: Debian's Chromium by Playwright, signed in. Errors of its own console fail a test."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from patience import until

# WebGL without a graphics card.
SOFTWARE_3D = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
PATIENCE_MS = 240_000.0  # of a machine that does other things too
HOW = "no Chromium here: apt-get install chromium (or set MIEN_CHROMIUM to one)"


def chromium() -> str:
    """The browser's path. Skips the test, saying how to get one."""
    found = os.environ.get("MIEN_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip(HOW)
    return found


@contextmanager
def plain_page(*arguments: str) -> Iterator[Any]:
    """A page of a browser that is signed in nowhere."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium(), args=[*root, "--disable-gpu", *arguments])
        yield browser.new_page()
        browser.close()


@contextmanager
def browser_page(
    url: str,
    home: Path,
    *,
    width: int = 1920,
    height: int = 1080,
    expected: tuple[str, ...] = (),
    graphics: tuple[str, ...] = ("--disable-gpu",),
    role: str = "manager",
) -> Iterator[Any]:
    """A page of somebody signed in, with this role, on the console at `url` of the studio in `home`.

    expected: parts of errors that the test provokes; any other error or warning of the browser fails it.
    graphics: how the browser draws, as in SOFTWARE_3D.
    """
    from playwright.sync_api import sync_playwright

    found: list[str] = []
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium(), args=[*arguments, *graphics])
        context = browser.new_context(viewport={"width": width, "height": height})
        context.set_default_timeout(PATIENCE_MS)
        sign_in(context, url, home, person=f"anna-{role}", role=role)
        context.on("page", wait_by_asking)
        page = wait_by_asking(context.new_page())
        page.on("console", lambda m: found.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: found.append(str(error)))
        page.goto(url)
        page.wait_for_selector("body[data-ready=yes]")
        yield page
        browser.close()
    unexpected = [text for text in found if not any(part in text for part in expected)]
    assert not unexpected, unexpected


def wait_by_asking(page: Any) -> Any:
    """The same page, whose wait_for_function asks again and again from here.

    Playwright's own evaluates the text again within the page, which the console's Content-Security-Policy forbids.
    """

    from playwright.sync_api import Error

    def wait(expression: str, *, arg: Any = None, timeout: float = 30_000, polling: Any = None) -> None:
        del polling

        def holds() -> Any:
            try:
                return page.evaluate(expression, arg)
            except Error as error:
                if "context was destroyed" not in str(error):  # by a page that comes in place of this one
                    raise
                return None

        until(holds, f"did not become true: {expression}", timeout / 1000)

    page.wait_for_function = wait
    return page


def sign_in(context: Any, url: str, home: Path, *, person: str = "anna", role: str = "manager") -> None:
    """Sign the browser's context in as this person, whose account is made where there is none."""
    token = session_token(home, person, role)
    context.add_cookies([{"name": "mien-session", "value": token, "url": url, "httpOnly": True, "sameSite": "Strict"}])


def session_token(home: Path, person: str = "anna", role: str = "manager") -> str:
    """The cookie of a new session, opened in the records of the studio in `home` without a sign-in page."""
    from db.accounts.accounts import add_account, find_account
    from db.accounts.console_sessions import open_session
    from db.engine import open_database, transaction
    from db.models import ConsoleRole
    from db.settings import Settings

    engine = open_database(Settings.load(home).database)
    try:
        with transaction(engine) as tx:
            account = find_account(tx, person) or add_account(tx, person, ConsoleRole(role))
            return open_session(tx, account, person)[0]
    finally:
        engine.dispose()
