"""Where a run's log lies while it runs, and after it has failed: beside a store that is a folder."""

from pathlib import Path

RUNS = "runs"  # the folder in the store


def run_log_file(runs: Path, key: str) -> Path:
    """The log of the run of this key, in the folder of all runs; there until it ends well."""
    return runs / f"{key}.log"
