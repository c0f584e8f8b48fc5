"""Coming in, in a real browser: the first account, a password, a passkey, another person, the end of a session."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from console_browser import chromium, wait_by_asking

pytestmark = pytest.mark.slow
PASSWORD = "rope tango seven lamp"
AUTHENTICATOR = {
    "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
    "isUserVerified": True, "automaticPresenceSimulation": True,
}  # fmt: skip


@contextmanager
def browser(expected: tuple[str, ...] = ()) -> Iterator[Any]:
    """A browser without a session; what its console says of errors fails the test, but for what is expected."""
    import os

    from playwright.sync_api import sync_playwright

    found: list[str] = []
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        one = playwright.chromium.launch(executable_path=chromium(), args=[*arguments, "--disable-gpu"])
        context = one.new_context(viewport={"width": 1024, "height": 768})

        def page() -> Any:
            made = wait_by_asking(context.new_page())
            made.on("console", lambda m: found.append(m.text) if m.type in ("error", "warning") else None)
            made.on("pageerror", lambda error: found.append(str(error)))
            return made

        context.watched_page = page
        yield context
        one.close()
    assert [text for text in found if not any(part in text for part in expected)] == []


def ready(page: Any) -> None:
    page.wait_for_selector("body[data-ready=yes]")


def test_the_first_account_a_passkey_and_another_person(console: Any) -> None:
    url = console.url
    with browser(("401", "422", "403")) as context:
        page = context.watched_page()
        page.goto(f"{url}/account")
        assert page.url == f"{url}/sign-in?next=%2Faccount"
        token = console.studio.accounts.first_link()
        page.goto(f"{url}/link#{token}")
        page.wait_for_selector("#person:not([hidden])")
        assert token not in page.url
        page.fill("#name", "Anna")
        page.fill("#password", PASSWORD)
        page.fill("#again", PASSWORD + "x")
        page.click("#person button")
        page.wait_for_function("document.querySelector('#told').textContent === 'The two passwords differ'")
        page.fill("#again", PASSWORD)
        page.click("#person button")
        page.wait_for_selector("#tab-shoot")
        assert page.inner_text("#person") == "anna"
        assert not any(cookie["httpOnly"] is False for cookie in context.cookies())
        assert page.evaluate("document.cookie") == ""

        keys = context.new_cdp_session(page)
        keys.send("WebAuthn.enable")
        keys.send("WebAuthn.addVirtualAuthenticator", {"options": AUTHENTICATOR})
        page.goto(f"{url}/account")
        ready(page)
        page.fill("#label", "desk key")
        page.click("#add-passkey button")
        page.wait_for_selector("#passkeys li")
        assert "desk key, for localhost" in page.inner_text("#passkeys")
        page.fill("#new-name", "Bert")
        page.select_option("#new-role", "viewer")
        page.click("#add-account button")
        page.wait_for_selector("#new-link:not([hidden])")
        link = page.input_value("#new-link-text")
        page.click("#sign-out")
        page.wait_for_url(f"{url}/sign-in")
        ready(page)
        page.click("#passkey")
        page.wait_for_selector("#tab-shoot")
        assert page.inner_text("#person") == "anna"

        page.goto("about:blank")
        page.goto(link)
        page.wait_for_selector("#person:not([hidden])")
        assert page.input_value("#name") == "bert"
        page.fill("#password", PASSWORD)
        page.fill("#again", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_selector("#tab-shoot")
        assert page.get_attribute("body", "data-role") == "viewer"
        page.goto(f"{url}/account")
        ready(page)
        assert page.is_hidden("#all")
        assert page.is_hidden("#screens")


ELSEWHERE = ("//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)")


@pytest.mark.parametrize("wanted", [*ELSEWHERE, "/account"])
def test_the_sign_in_leads_to_a_page_of_this_console(console: Any, wanted: str) -> None:
    console.account("anna", "operator", PASSWORD)
    with browser(("401",)) as context:
        page = context.watched_page()
        page.goto(f"{console.url}/sign-in")
        page.evaluate("next => history.replaceState(null, '', '?' + new URLSearchParams({next}))", wanted)
        ready(page)
        page.fill("#name", "anna")
        page.fill("#password", "wrong " + PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_function("document.querySelector('#told').textContent.includes('wrong')")
        assert page.input_value("#password") == ""
        page.fill("#password", PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_function("!location.pathname.startsWith('/sign-in')")
        assert page.url.startswith(console.url + ("/account" if wanted == "/account" else "/"))


def test_a_page_whose_session_has_ended_leads_to_the_sign_in(console: Any) -> None:
    token = console.session("anna", "operator")
    with browser(("401", "ERR_", "net::")) as context:
        context.add_cookies([{"name": "mien-session", "value": token, "url": console.url, "httpOnly": True}])
        page = context.watched_page()
        page.goto(console.url + "/")
        ready(page)
        page.wait_for_function("window.mien.store.connected")
        console.studio.accounts.sign_out_everywhere("anna")
        page.wait_for_url(f"{console.url}/sign-in?**", timeout=60_000)
