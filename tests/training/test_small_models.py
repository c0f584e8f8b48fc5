"""Commands run beside each other: what is there is left alone, and a failure is told in the command's own words."""

from pathlib import Path

import pytest

from common.progress import no_progress
from processing.training.small_models import ModelsNotMade, _Command, _run


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path


def test_a_command_whose_file_is_there_is_not_run_again(out: Path) -> None:
    (out / "made").write_text("by an earlier call")
    _run(out, [_Command("one", ("no-such-command",), out / "made")], no_progress)
    assert (out / "made").read_text() == "by an earlier call"
    assert list((out / "logs").iterdir()) == []


def test_a_failure_tells_command_log_and_last_words(out: Path) -> None:
    with pytest.raises(ModelsNotMade, match=r"mien no-such-command failed(.|\n)*no-such-command") as caught:
        _run(out, [_Command("one", ("no-such-command",), out / "made")], no_progress)
    assert str(out / "logs" / "one.txt") in str(caught.value)


def test_a_command_that_ends_well_without_its_file_has_failed(out: Path) -> None:
    with pytest.raises(ModelsNotMade, match="mien --version failed"):
        _run(out, [_Command("one", ("--version",), out / "made")], no_progress)
