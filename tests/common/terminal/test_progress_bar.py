"""What a bar says is shown as it is: nothing in it is read as markup."""

import io
from contextlib import redirect_stderr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.progress import part
from common.terminal.progress_bar import count_bar, progress_bar, step_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


def test_names_in_brackets_are_shown() -> None:
    with redirect_stderr(Terminal()) as terminal:
        with progress_bar() as progress:
            progress(0.5, "take [red]S001[/red] [/]")
        with count_bar("erasing [bold]S002") as count:
            count(1, 3)
        with step_bar() as step:
            step("files [x]", 2, 4)
    for text in ("take [red]S001[/red] [/]", "erasing [bold]S002", "files [x]"):
        assert text in terminal.getvalue()


def test_a_quiet_bar_says_nothing_and_one_without_a_terminal_steers_nothing() -> None:
    with redirect_stderr(Terminal()) as quiet, progress_bar(quiet=True) as progress:
        progress(0.5, "half")
    assert "half" not in quiet.getvalue()
    with redirect_stderr(io.StringIO()) as file, progress_bar() as progress:
        progress(0.5, "half")
    assert not file.getvalue()


@given(start=st.floats(0, 1), end=st.floats(0, 1), done=st.floats(-1, 2))
def test_a_part_stays_in_its_part(start: float, end: float, done: float) -> None:
    start, end = sorted((start, end))
    said: list[float] = []
    part(lambda share, _: said.append(share), start, end)(done, "x")
    assert start - 1e-12 <= said[0] <= end + 1e-12
