"""10,000 half-open connections and 100 enrolled nodes that lie, at the usual limit of descriptors: takes go on."""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from camera_nodes.curve_keys import ensure_keys
from db.models import TakeState

ATTACK = Path(__file__).with_name("port_attack.py")
HALF_OPEN, LYING = 10_000, 100


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_takes_go_on_under_attack_and_all_is_well_at_once_after_it(
    bench: Any, patient_rig: Callable[..., Any], tmp_path: Path
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < HALF_OPEN + 500:
        pytest.skip("the attacker may not have so many descriptors here")
    studio = bench.open(patient_rig(4, frame_timeout_s=60.0, stamps_timeout_ms=20_000.0))
    bench.show(1)
    bench.start_all()
    bench.ready()
    assert bench.fire().kept
    keys = tmp_path / "liars"
    for n in range(LYING):
        studio.enrol(f"liar-{n:03}", ensure_keys(keys, f"liar-{n:03}").public)
    me = psutil.Process()
    memory, most = me.memory_info().rss, 0
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
    command = [sys.executable, str(ATTACK), studio.control_endpoint, studio.bulk_endpoint, str(keys)]
    command += [studio.public_key, str(HALF_OPEN), str(LYING)]
    try:
        attacker = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard)),
        )  # fmt: skip
        with attacker:
            assert attacker.stdout is not None
            assert attacker.stdin is not None
            told = attacker.stdout.readline().strip()
            assert told.startswith(f"{HALF_OPEN} half-open"), told
            kept, began = [], time.monotonic()
            for number in range(2, 5):
                bench.show(number)
                kept.append(bench.fire("neutral"))
                most = max(most, me.num_fds())
            under_s = (time.monotonic() - began) / len(kept)
            assert all(take.kept for take in kept)
            grown = me.memory_info().rss - memory
            attacker.stdin.close()
        ended = time.monotonic()
        bench.show(9)
        assert bench.fire("smile").kept
        after_s = time.monotonic() - ended
        bench.until(lambda: me.num_fds() < 200)
        calm_s = time.monotonic() - ended
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    print(
        f"{told}; {studio.guard.dropped} connections let go; a take in {under_s:.1f} s under attack, {after_s:.1f} s "
        f"after it, descriptors below 200 within {calm_s:.1f} s; at most {most} of 1024; memory +{grown / 1e6:.0f} MB"
    )
    assert most < 1000
    assert grown < 300e6
    assert studio.records.take(kept[-1].take).state == TakeState.CAPTURED
