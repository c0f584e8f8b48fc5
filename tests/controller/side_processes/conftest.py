"""Takes that were filed without cameras, and what looks at them beside."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filed_takes import FiledTakes

from controller.rig_file import SideWork
from controller.side_processes.side_processes import SideProcesses


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Callable[..., FiledTakes]]:
    """desk(count, **side): closed with the test."""
    with ExitStack() as stack:

        def make(count: int = 12, **side: Any) -> FiledTakes:
            made = FiledTakes(tmp_path, count, side=replace(SideWork(timeout_s=600.0), **side))
            stack.callback(made.engine.dispose)
            return made

        yield make


@pytest.fixture
def beside() -> Iterator[Callable[..., SideProcesses]]:
    """beside(desk): its side processes, stopped with the test."""
    with ExitStack() as stack:

        def make(desk: FiledTakes, **given: Any) -> SideProcesses:
            made = SideProcesses(desk.engine, desk.store, desk.rig, desk.home, **given)
            stack.callback(made.stop)
            made.start()
            return made

        yield make
