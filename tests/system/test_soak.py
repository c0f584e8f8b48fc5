"""The soak: takes under random faults, and every exposure accounted for. The long one is `make soak`'s."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from patience import run_patiently

SOAK = Path(__file__).with_name("soak.py")


def soak(cameras: int, takes: int, seed: int, share: float) -> dict[str, Any]:
    command = [sys.executable, str(SOAK), "--cameras", str(cameras), "--takes", str(takes), "--seed", str(seed)]
    done = run_patiently([*command, "--share", str(share), "--json"])
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["unaccounted"] == [], done.stderr
    assert found["takes"] == takes
    assert found["kept"] + found["failed"] == takes
    assert found["kept"] > 0
    assert sum(found["faults"].values()) > 0
    return found


@pytest.mark.slow
def test_a_few_takes_under_faults_lose_nothing() -> None:
    soak(cameras=4, takes=6, seed=5, share=0.5)


@pytest.mark.slow
@pytest.mark.timeout(6 * 3600)
def test_five_hundred_takes_of_sixty_eight_cameras_lose_nothing() -> None:
    found = soak(cameras=68, takes=500, seed=1, share=0.4)
    assert found["frames_stored"] > 200 * 68
