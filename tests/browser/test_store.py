"""The page's copy of the state: merge patches as RFC 7396 has them, whatever the states are."""

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from console_browser import plain_page
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import controller.console

STATIC = Path(controller.console.__file__).parent
LEAVES = st.one_of(st.booleans(), st.integers(-5, 5), st.text(max_size=3), st.lists(st.integers(0, 3), max_size=3))
STATES = st.recursive(LEAVES, lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=4), max_leaves=12)
WHOLE = st.dictionaries(st.sampled_from("abcd"), STATES, max_size=4)
PATCHES = st.dictionaries(st.sampled_from("abcd"), st.one_of(st.none(), STATES), max_size=4)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def page() -> Iterator[Any]:
    """An empty page that can import the console's modules."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=STATIC))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with plain_page() as made:
            made.goto(f"http://127.0.0.1:{server.server_port}/static/icon.svg")
            yield made
    finally:
        server.shutdown()
        server.server_close()


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def test_the_page_merges_as_the_standard_says(page: Any) -> None:
    cases: list[tuple[Any, Any]] = []

    @given(WHOLE, PATCHES)
    @settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def gather(state: Any, patch: Any) -> None:
        cases.append((state, patch))

    gather()
    script = """async (cases) => {
        const { merge } = await import("/static/store.js");
        return cases.map(([state, patch]) => {
            const before = JSON.stringify(state);
            const after = merge(state, patch);
            return [after, JSON.stringify(state) === before];
        });
    }"""
    found = page.evaluate(script, json.loads(json.dumps(cases)))
    for (state, patch), (after, untouched) in zip(cases, found, strict=True):
        assert after == merged(state, patch), (state, patch)
        assert untouched, "a state that was shown is never changed, only followed by another"
