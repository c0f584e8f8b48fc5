"""What a worker process is started with."""

import os

import dask
import pytest
from distributed import Client, LocalCluster

from processing.farm.execution.dask_cluster import environment

MIB = 1 << 20


def test_a_worker_keeps_to_its_processors_and_keeps_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment(3)["distributed.nanny.pre-spawn-environ"]:
        monkeypatch.delenv(name, raising=False)  # what the machine's owner sets goes before ours
    size = {"n_workers": 1, "threads_per_worker": 1, "memory_limit": 0, "dashboard_address": "127.0.0.1:0"}
    with dask.config.set(environment(3)), LocalCluster(**size) as cluster, Client(cluster) as client:
        told = client.submit(lambda: dict(os.environ), pure=False).result(timeout=60)
    assert (told["OMP_NUM_THREADS"], told["OPENBLAS_NUM_THREADS"]) == ("1", "3")
    # An array of a photograph comes from memory that the process has, and what it frees stays with it.
    assert int(told["MALLOC_MMAP_THRESHOLD_"]) > 512 * MIB
    assert int(told["MALLOC_TRIM_THRESHOLD_"]) > 512 * MIB
