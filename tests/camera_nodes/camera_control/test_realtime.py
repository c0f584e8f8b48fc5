"""What a node asks of the kernel, and that it goes on where the kernel refuses."""

import json
import resource
import subprocess
import sys

import pytest

LOOK = """
import json, resource, sys
limit = json.loads(sys.argv[1])
if limit is not None:
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
from camera_nodes.camera_control.realtime import lock_memory
locked = lock_memory()
kept = bytearray(8_000_000)
kilobytes = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmLck"))
print(json.dumps([locked, kilobytes]))
"""


@pytest.mark.parametrize("limit", [None, 64 * 1024])
def test_memory_is_locked_where_it_is_permitted_and_nothing_happens_elsewhere(limit: int | None) -> None:
    """In a process of its own: a lock is for good."""
    answer = subprocess.run(
        [sys.executable, "-c", LOOK, json.dumps(limit)], capture_output=True, text=True, timeout=60, check=True
    )
    locked, kilobytes = json.loads(answer.stdout)
    assert (kilobytes > 8_000) == locked
    if limit is None and resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        assert locked
