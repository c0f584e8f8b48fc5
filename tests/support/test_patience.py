"""Patience: what moves is waited for, what stands still is ended, and what it said is told."""

import sys

import pytest
from patience import Patience, run_patiently, share_of_the_machine, until

WORK = """
import time
for _ in range(15):
    end = time.process_time() + 0.03
    while time.process_time() < end:
        sum(range(1000))
    {}
    time.sleep(0.1)
"""


def test_what_comes_is_returned() -> None:
    asked = iter([None, 0, "here"])
    assert until(lambda: next(asked)) == "here"


def test_what_never_comes_is_told() -> None:
    with pytest.raises(AssertionError, match="the lamp"):
        until(lambda: False, "the lamp stayed dark", seconds=0.05)


def test_a_crowded_machine_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("patience.time.monotonic", lambda: now[0])
    monkeypatch.setattr("patience.share_of_the_machine", lambda: 0.25)
    patience = Patience(10)
    now[0] = 39.0
    assert not patience.spent()
    now[0] = 41.0
    assert patience.spent()


def test_the_share_is_one_at_most() -> None:
    assert 0 < share_of_the_machine() <= 1


def test_a_program_that_stands_still_is_ended_and_what_it_said_is_told() -> None:
    code = "import time, sys; print('begun', flush=True); time.sleep(3600)"
    with pytest.raises(AssertionError, match="begun"):
        run_patiently([sys.executable, "-c", code], standstill_s=0.5)


@pytest.mark.parametrize("work", ["sum(range(200_000))", "print('.', flush=True)"])
def test_a_program_that_moves_takes_as_long_as_it_wants(work: str) -> None:
    code = WORK.format(work)
    done = run_patiently([sys.executable, "-c", code], standstill_s=1.0)
    assert done.returncode == 0


def test_input_and_both_outputs_are_kept_apart() -> None:
    code = "import sys; print(sys.stdin.read().upper()); print('no', file=sys.stderr); sys.exit(4)"
    done = run_patiently([sys.executable, "-c", code], input="yes")
    assert (done.returncode, done.stdout, done.stderr) == (4, "YES\n", "no\n")
