"""How many processors there are to use."""

import os


def usable_cpus() -> int:
    """Processors that this process may use: those it was pinned to, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
