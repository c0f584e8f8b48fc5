"""The nodes of one computer: one process a camera, all forked from one that has loaded what they share.

A process of its own for each camera, started by itself, costs 0.3 s of a processor and 24 MB, nearly all of it for
loading the same modules and drivers; forked, 0.02 s and 7 MB.  The parent serves no camera and has no threads:

- it starts a node for each settings file, and again when it has ended, sooner or later by how long it lived.  A file
  that is wrong, or a node that dies, keeps no other from running;
- each node tells it what a service tells systemd (sd_notify), and one that hangs is killed and started again; systemd
  in turn hears from the parent;
- SIGTERM and SIGINT end all; SIGUSR1 has the files read again: new ones are started, changed ones started anew, the
  nodes of files that are gone ended;
- a node's process bears its camera's name (`pkill -x cam-07` starts that one anew) and ends when the parent does.
"""

import ctypes
import gc
import logging
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from camera_nodes import agent, backends
from camera_nodes.agent_settings import AgentSettings
from camera_nodes.errors import BadSettings, EquipmentError
from camera_nodes.sd_notify import Service
from common.guarding.log_records import log_as_camera

log = logging.getLogger(__name__)

_AGAIN_S, _AGAIN_MOST_S = 2.0, 30.0  # from a node's end to its next start
_SOUND_S = 60.0  # a node that lived so long has not failed at its start
_READY_S = 90.0  # from its start to its first word
_ALIVE_S = 30.0  # between two words
_STOP_S, _KILLED_S = 25.0, 3.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_PR_SET_PDEATHSIG = 1
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid of SCM_CREDENTIALS

Serve = Callable[[AgentSettings], None]


@dataclass
class _Node:
    """One settings file and the process that serves its camera."""

    file: Path  # with the settings
    text: bytes = b""  # what was in it when it was read
    settings: AgentSettings | None = None  # None: it could not be read
    pid: int = 0  # 0: no process now
    began: float = 0.0  # when the process was started, monotonic s
    heard: float = 0.0  # when it last said that it lives
    ready: bool = False  # it serves
    settled: bool = False  # it was ready once, or has failed once
    due: float = 0.0  # when it is to be started
    pause_s: float = _AGAIN_S  # before it is started again after a failure
    unwanted: bool = False  # its file is gone
    renewed: bool = False  # ended because its file has changed

    @property
    def name(self) -> str:
        return self.settings.camera if self.settings else self.file.name


class NodeSupervisor:
    """See the module.  sources: settings files and folders of them (`*.toml`); read: makes settings of a file."""

    def __init__(
        self, sources: Sequence[Path], read: Callable[[Path], AgentSettings], serve: Serve = agent.run
    ) -> None:
        self._sources = list(sources)
        self._read = read
        self._serve = serve
        self._nodes: list[_Node] = []
        self._stopping = self._reload_wanted = False
        self._ready_told = False

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT.  Raises BadSettings when not one of the files can be used."""
        self._look()
        self._check_one_is_good()
        with _ears() as ears, self._signals() as wake:
            service = Service()  # takes NOTIFY_SOCKET away: what the nodes say comes here
            try:
                while not self._stopping:
                    if self._reload_wanted:
                        self._reload_wanted = False
                        self._look()
                    self._start_due(ears)
                    self._tell(service)
                    self._wait(ears, wake, service)
                    self._reap()
                    self._kill_silent()
            finally:
                service.stopping()
                self._end_all()

    # --- files

    def _files(self) -> list[Path]:
        found: list[Path] = []
        for source in self._sources:
            found += sorted(source.glob("*.toml")) if source.is_dir() else [source]
        return list(dict.fromkeys(path.absolute() for path in found))

    def _look(self) -> None:
        """Take in which files there are, and which have changed."""
        files = self._files()
        known = {node.file: node for node in self._nodes}
        for file in files:
            node = known.get(file)
            if node is None:
                self._nodes.append(_Node(file))
            elif node.unwanted or node.text != _content(file):
                node.renewed, node.unwanted, node.pause_s, node.due = True, False, _AGAIN_S, 0.0
                self._end(node)
        for node in self._nodes:
            if node.file not in files:
                node.unwanted = True
                self._end(node)
        self._nodes = [node for node in self._nodes if node.pid or not node.unwanted]

    def _check_one_is_good(self) -> None:
        """A mistake in every file is the operator's to see at once; a wrong one among others waits to be mended."""
        if not self._nodes:
            raise BadSettings(f"no settings of a node (*.toml) in {', '.join(map(str, self._sources))}")
        first: EquipmentError | None = None
        for node in self._nodes:
            try:
                backends.preload(self._read(node.file).url)
                return
            except EquipmentError as error:
                first = first or error
        if first is not None:
            raise first

    def _settings(self, node: _Node) -> AgentSettings:
        settings = self._read(node.file)
        for other in self._nodes:
            if other is node or other.settings is None or not other.pid:
                continue
            if other.settings.camera == settings.camera:
                raise BadSettings(f"{node.file}: the camera {settings.camera} is that of {other.file}")
            if other.settings.spool.absolute() == settings.spool.absolute():
                raise BadSettings(f"{node.file}: the spool {settings.spool} is that of {other.file}: each has its own")
        return settings

    # --- processes

    def _start_due(self, ears: socket.socket) -> None:
        now = time.monotonic()
        for node in self._nodes:
            if node.pid or node.unwanted or node.due > now:
                continue
            node.text = _content(node.file)
            try:
                node.settings = self._settings(node)
            except EquipmentError as error:
                node.settings = None
                self._failed(node, str(error))
                continue
            backends.preload(node.settings.url)
            gc.freeze()  # what is loaded is not walked in the nodes, so its pages stay shared
            sys.stdout.flush()
            sys.stderr.flush()
            parent = os.getpid()
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # or the child might take one by the parent's handler
            node.pid = os.fork()
            if node.pid == 0:
                _be_node(node.settings, self._serve, ears, parent)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            node.began = node.heard = now
            node.ready = node.renewed = False

    def _failed(self, node: _Node, why: str) -> None:
        node.settled = True
        node.due = time.monotonic() + node.pause_s
        log.error("%s: %s; again in %g s", node.name, why, node.pause_s)
        node.pause_s = min(_AGAIN_MOST_S, 2 * node.pause_s)

    def _reap(self) -> None:
        for node in self._nodes:
            if not node.pid or (status := _ended(node.pid)) is None:
                continue
            node.pid, node.ready = 0, False
            if node.unwanted or node.renewed or self._stopping:
                log.info("%s: its node has ended", node.name)
                continue
            if time.monotonic() - node.began >= _SOUND_S:
                node.pause_s = _AGAIN_S
            self._failed(node, f"its node has ended ({_told(status)})")
        self._nodes = [node for node in self._nodes if node.pid or not node.unwanted]

    def _kill_silent(self) -> None:
        now = time.monotonic()
        for node in self._nodes:
            if node.pid and now - node.heard > (_ALIVE_S if node.ready else _READY_S):
                log.error("%s: its node has not been heard for %.0f s and is killed", node.name, now - node.heard)
                node.heard = now
                os.kill(node.pid, signal.SIGKILL)

    def _end(self, node: _Node) -> None:
        if node.pid:
            os.kill(node.pid, signal.SIGTERM)  # not reaped, so the number is still its own

    def _end_all(self) -> None:
        self._stopping = True
        for node in self._nodes:
            self._end(node)
        self._wait_for_ends(_STOP_S)
        for node in self._nodes:
            if node.pid:
                log.error("%s: its node does not end and is killed", node.name)
                os.kill(node.pid, signal.SIGKILL)
        self._wait_for_ends(_KILLED_S)
        for node in self._nodes:
            if node.pid:
                log.error("%s: its node (process %d) hangs in the kernel and is left behind", node.name, node.pid)

    def _wait_for_ends(self, patience_s: float) -> None:
        until = time.monotonic() + patience_s
        while any(node.pid for node in self._nodes) and time.monotonic() < until:
            self._reap()
            time.sleep(0.02)

    # --- what is heard and told

    def _tell(self, service: Service) -> None:
        if not self._ready_told and all(node.settled for node in self._nodes):
            self._ready_told = True
            there = sum(node.ready for node in self._nodes)
            service.ready(f"{there} of {len(self._nodes)} nodes")
            log.info("%d of %d nodes have started", there, len(self._nodes))
        service.alive()

    def _wait(self, ears: socket.socket, wake: int, service: Service) -> None:
        now = time.monotonic()
        dues = [node.due - now for node in self._nodes if not node.pid and not node.unwanted]
        quiet = [node.heard + (_ALIVE_S if node.ready else _READY_S) - now for node in self._nodes if node.pid]
        poll = select.poll()
        poll.register(ears, select.POLLIN)
        poll.register(wake, select.POLLIN)
        for file, _events in poll.poll(1000 * max(0.0, min([60.0, service.wait_s(), *dues, *quiet])) + 1):
            if file == wake:
                os.read(wake, 4096)
            else:
                self._hear(ears)

    def _hear(self, ears: socket.socket) -> None:
        """Every word says that its sender is alive; who it was, the kernel says."""
        nodes = {node.pid: node for node in self._nodes if node.pid}
        while True:
            try:
                _text, extra, _flags, _from = ears.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
            except BlockingIOError:
                return
            for _level, kind, data in extra:
                if kind == socket.SCM_CREDENTIALS and (node := nodes.get(_CREDENTIALS.unpack(data)[0])) is not None:
                    node.heard, node.ready, node.settled = time.monotonic(), True, True

    @contextmanager
    def _signals(self) -> Iterator[int]:
        """A file that can be read when a signal has come."""

        def stop(_number: int, _frame: FrameType | None) -> None:
            self._stopping = True

        def look(_number: int, _frame: FrameType | None) -> None:
            self._reload_wanted = True

        def nothing(_number: int, _frame: FrameType | None) -> None:
            """A node has ended: the wait has ended too."""

        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number, act in ((signal.SIGTERM, stop), (signal.SIGINT, stop), (signal.SIGUSR1, look)):
            signal.signal(number, act)
        signal.signal(signal.SIGCHLD, nothing)
        try:
            yield read
        finally:
            signal.set_wakeup_fd(-1)
            os.close(read)
            os.close(write)


@contextmanager
def _ears() -> Iterator[socket.socket]:
    """Where the nodes speak: a socket with a name that the kernel chose, which tells each message's sender."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as ears:
        ears.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        ears.bind("")
        yield ears


def _be_node(settings: AgentSettings, serve: Serve, ears: socket.socket, parent: int) -> None:
    """The child's whole life; does not return."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before that
            os._exit(0)
        signal.set_wakeup_fd(-1)
        for number in (*_SIGNALS, signal.SIGCHLD):
            signal.signal(number, signal.SIG_IGN if number == signal.SIGUSR1 else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        Path("/proc/self/comm").write_text(settings.camera[:15])
        os.environ["NOTIFY_SOCKET"] = "@" + os.fsdecode(ears.getsockname()[1:])
        os.environ["WATCHDOG_USEC"] = str(round(_ALIVE_S * 1e6))
        os.environ.pop("WATCHDOG_PID", None)
        ears.close()
        log_as_camera(settings.camera)
        serve(settings)
        code = 0
    except EquipmentError as error:
        log.error("%s: %s", settings.camera, error)
        code = error.exit_code
    except Exception:
        log.exception("%s: the node has failed", settings.camera)
    finally:
        logging.shutdown()
        os._exit(code)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _ended(pid: int) -> int | None:
    """The exit code of a process of ours (minus the signal that ended it), None while it runs."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _told(status: int) -> str:
    return f"exit code {status}" if status >= 0 else f"by {signal.Signals(-status).name}"
