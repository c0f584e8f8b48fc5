"""A start that fails releases what had begun, at whatever part: no thread, descriptor, port, process or lock stays."""

import ast
import inspect
import multiprocessing
import os
import socket
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from camera_nodes.transport import Authenticator
from controller.cameras.camera_maintenance import CameraMaintenance
from controller.errors import ControllerError
from controller.ingest.photograph_transfer import Ingest
from controller.node_links.connection_guard import ConnectionGuard
from controller.node_links.control_channel import ControlLink
from controller.studio import Studio
from controller.studio_parts import StudioParts
from controller.studio_settings import StudioSettings
from controller.take_checks.take_reviewer import TakeReviewer
from controller.takes.take_recovery import TakeRecovery
from db import migrations
from db.settings import Settings

STARTED: tuple[tuple[Any, str], ...] = (
    (migrations, "require_current"),
    (ConnectionGuard, "start"),
    (Authenticator, "__enter__"),
    (CameraMaintenance, "start"),
    (TakeRecovery, "begin"),
    (ControlLink, "start"),
    (Ingest, "start"),
    (TakeReviewer, "catch_up"),
)


class Injected(Exception):
    """The fault."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioSettings]:
    """A studio with ports of its own, which has run before and may run again when all of this is over."""
    from controller.rig_file import CameraEntry, Rig

    folder = tmp_path_factory.mktemp("parts") / "studio"
    records = Settings(folder, f"sqlite:///{folder / 'studio.sqlite'}", str(folder / "store"))
    rig = Rig("test-rig", tuple(CameraEntry(f"cam-{view:02d}", view) for view in range(2)))
    control, bulk = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    settings = StudioSettings(records, rig, control=control, bulk=bulk)
    with Studio(settings):
        pass
    yield settings
    with Studio(settings) as studio:
        assert studio.open_session() is None


def made_anew(settings: StudioSettings, folder: Path) -> StudioSettings:
    """The same studio in another home, which is not made yet."""
    records = Settings(folder / "new", f"sqlite:///{folder / 'new' / 'studio.sqlite'}", str(folder / "new" / "store"))
    return replace(settings, records=records)


def descriptors() -> Counter[str]:
    """This process's open descriptors: files by path, sockets and pipes by kind."""
    found: Counter[str] = Counter()
    for path in Path("/proc/self/fd").iterdir():
        try:
            found[str(path.readlink()).split(":")[0]] += 1
        except FileNotFoundError:  # the listing's own
            continue
    return found


@contextmanager
def nothing_left(settings: StudioSettings) -> Iterator[None]:
    """What runs inside leaves no thread, descriptor, process, lock of the database or port behind."""
    threads, opened, children = set(threading.enumerate()), descriptors(), set(multiprocessing.active_children())
    yield
    assert set(threading.enumerate()) - threads == set()
    assert descriptors() - opened == Counter()
    assert set(multiprocessing.active_children()) - children == set()
    for address in (settings.control, settings.bulk):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", int(address.rsplit(":", 1)[1])))


def statements(step: Callable[..., Any]) -> list[tuple[int, str]]:
    """Line and text of a method's statements, without those that only register how a part is stopped."""
    source, first = inspect.getsourcelines(step)
    body = ast.parse(textwrap.dedent("".join(source))).body[0]
    found = [node for node in ast.walk(body) if isinstance(node, ast.stmt) and node is not body]
    told = [(first + node.lineno - 1, ast.unparse(node).splitlines()[0]) for node in found]
    return [
        (line, text) for line, text in sorted(told) if not text.startswith(("starting.callback", "starting.push", "'"))
    ]


STEPS = (StudioParts._open_records, StudioParts._start_services, StudioParts._start_links)
ALL = [(step, line, text) for step in STEPS for line, text in statements(step)]


@pytest.mark.parametrize(("step", "line"), [one[:2] for one in ALL], ids=[text[:40] for _, _, text in ALL])
def test_a_fault_at_any_statement_of_the_start(
    settings: StudioSettings, step: Callable[..., Any], line: int, tmp_path: Path
) -> None:
    """Each part in turn cannot be made or begun; a part that is added later is covered too."""
    injected = False

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal injected
        if frame.f_code is not step.__code__:
            return None
        if event == "line" and frame.f_lineno == line:
            injected = True
            sys.settrace(None)
            raise Injected
        return trace

    for place in (settings, made_anew(settings, tmp_path)):  # what makes a home is reached in a new one alone
        with nothing_left(place):
            before = sys.gettrace()
            sys.settrace(trace)
            try:
                with Studio(place):
                    pass
            except Injected:
                break
            finally:
                sys.settrace(before)
    assert injected


@pytest.mark.parametrize(("owner", "name"), STARTED, ids=[f"{owner.__name__}.{name}" for owner, name in STARTED])
def test_a_part_whose_start_fails_when_it_has_begun(
    settings: StudioSettings, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    start = getattr(owner, name)

    def begins_and_fails(*arguments: Any) -> None:
        start(*arguments)
        raise Injected

    with nothing_left(settings):
        monkeypatch.setattr(owner, name, begins_and_fails)
        with pytest.raises(Injected), Studio(settings):
            pass


def test_lights_whose_thread_cannot_start(settings: StudioSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "mien-lights":
            raise Injected
        start(thread)

    with nothing_left(settings):
        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(Injected), Studio(settings):
            pass


def test_check_processes_that_had_begun(settings: StudioSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    children = set(multiprocessing.active_children())

    def begins_and_fails(reviewer: TakeReviewer) -> None:
        begun.append(reviewer._processes().submit(os.getpid).result())
        raise Injected

    monkeypatch.setattr(TakeReviewer, "catch_up", begins_and_fails)
    with pytest.raises(Injected), Studio(settings):
        pass
    assert [process for process in begun if process != os.getpid()]
    assert set(multiprocessing.active_children()) - children == set()


@pytest.mark.parametrize("which", ["control", "bulk"])
def test_a_port_that_is_taken(settings: StudioSettings, which: str) -> None:
    with nothing_left(settings), socket.socket() as taken:
        taken.bind(("127.0.0.1", int(getattr(settings, which).rsplit(":", 1)[1])))
        taken.listen()
        with pytest.raises(ControllerError, match="is another studio running"), Studio(settings):
            pass


def test_a_studio_that_ran_leaves_nothing(settings: StudioSettings) -> None:
    with nothing_left(settings), Studio(settings) as studio:
        threads = {thread.name for thread in threading.enumerate()}
        assert threads >= {"mien-control", "mien-ingest", "mien-writer", "mien-lights", "mien-ports"}
        assert studio.control_endpoint == settings.control
