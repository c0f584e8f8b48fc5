"""Files given to decoders that are not ours, in processes of their own that are kept warm.

    arrays, about = decode("photograph", path, colours="BGR")

A decoder that a file kills, holds up or makes greedy costs that process and one error. The processes start when they
are first needed, one for each file that is decoded at the same time, and end a minute after the last. The file is
opened here and handed over as a descriptor; what comes back is memory that both share, whose size is looked at before
it is believed. Where a system cannot do that (it takes Linux), the file is decoded here, within the same bounds but for
time.
"""

import atexit
import mmap
import os
import select
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.bounded import decoder_process
from common.bounded.files import open_regular_file
from common.bounded.limits import DECODER_BYTES, DECODER_S, MAX_PHOTO_BYTES, OutOfBounds
from common.guarding.safe_text import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from common.bounded.decoder_tasks import Answer

ANSWER_BYTES = 80_000_000  # of facts: a displacement map's texts
MAX_PARTS = 16
_DTYPES = ("|u1", "<u2", ">u2", "<i4", "|b1", "<f2", "<f4", "<u4", "<f8")
_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}
_STARTS_S = 20.0  # what a process may take to load a decoder, added to a file's time


class DecoderFailed(OutOfBounds):
    """The decoder ended, or did not end, on a file."""


class DecoderStopped(DecoderFailed):
    """The decoder ended in the middle of a file."""


class _Process:
    """One decoding process, seen from here. Used by one thread at a time."""

    def __init__(self) -> None:
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        command = [sys.executable, "-P", decoder_process.__file__, str(DECODER_BYTES)]
        actions: list[tuple[int, int, int] | tuple[int, int, str, int, int]] = [(os.POSIX_SPAWN_DUP2, its.fileno(), 0)]
        actions += [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (1, 2)]
        with its:
            self.number = os.posix_spawn(
                sys.executable, command, {**os.environ, **_THREADS}, file_actions=actions, setsid=True
            )
        self.channel = mine
        self.used = False

    @property
    def gone(self) -> bool:
        """Whether it has ended: nobody asked it for a while."""
        return bool(select.select([self.channel], [], [], 0)[0])

    def ask(self, request: dict[str, Any], handle: int, seconds: float) -> tuple[dict[str, Any], list[int]]:
        """Raises DecoderFailed, after which it is to be ended."""
        until = time.monotonic() + seconds + (0 if self.used else _STARTS_S)
        self.used = True
        try:
            decoder_process.send(self.channel, request, [handle])
            if not select.select([self.channel], [], [], max(0.0, until - time.monotonic()))[0]:
                raise DecoderFailed(f"it is not decoded in {seconds:.0f} s")
            self.channel.settimeout(seconds)  # the answer is there, or it is none
            return decoder_process.receive(self.channel, ANSWER_BYTES)
        except DecoderFailed:  # a ValueError, as damage is
            raise
        except TimeoutError:
            raise DecoderFailed(f"it is not decoded in {seconds:.0f} s") from None
        except (EOFError, OSError, ValueError):
            raise DecoderStopped("the decoder stopped in the middle of it") from None

    def end(self) -> None:
        self.channel.close()
        with suppress(ProcessLookupError):
            os.kill(self.number, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.number, 0)


class _Pool:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[_Process] = []

    def take(self) -> _Process:
        while True:
            with self._lock:
                process = self._free.pop() if self._free else None
            if process is None:
                return _Process()
            if not process.gone:
                return process
            process.end()

    def give(self, process: _Process) -> None:
        with self._lock:
            self._free.append(process)

    def close(self) -> None:
        with self._lock:
            free, self._free = self._free, []
        for process in free:
            process.end()

    def forget(self) -> None:
        """In a process that was forked: the decoders belong to the one it was forked from."""
        self._lock = threading.Lock()
        for process in self._free:
            process.channel.close()
        self._free = []


_pool = _Pool()
atexit.register(_pool.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.forget)


def decode(
    task: str, source: Path | bytes, *, most: int = MAX_PHOTO_BYTES, seconds: float = DECODER_S, **options: str | int
) -> "Answer":
    """Do one of common.bounded.decoder_tasks.TASKS with a file or its bytes: arrays, and what else there is to say.

    most: bytes of the file.  seconds: for it. Raises ValueError for what cannot be decoded, OutOfBounds (a ValueError)
    for what takes more than there is for it. Of no file's fault: OSError for one that cannot be opened or read,
    ImportError where this machine lacks the decoder.
    """
    handle = _opened(source, most)
    try:
        if not hasattr(os, "memfd_create") or not Path("/proc/self/statm").exists():
            return _here(task, handle, options)
        reply, handles = _asked({"task": task, "options": options}, handle, seconds)
    finally:
        os.close(handle)
    return _result(reply, handles)


def _asked(request: dict[str, Any], handle: int, seconds: float) -> tuple[dict[str, Any], list[int]]:
    """A decoder that had ended by itself, or by another file, is no fault of this one: it has a second."""
    process = _pool.take()
    if process.used:
        with suppress(DecoderStopped):
            return _answered(process, request, handle, seconds)
        process = _Process()
    return _answered(process, request, handle, seconds)


def _answered(
    process: _Process, request: dict[str, Any], handle: int, seconds: float
) -> tuple[dict[str, Any], list[int]]:
    try:
        answered = process.ask(request, handle, seconds)
    except BaseException:
        process.end()
        raise
    _pool.give(process)
    return answered


def _opened(source: Path | bytes, most: int) -> int:
    if isinstance(source, Path):
        handle = open_regular_file(source)
        size = os.fstat(handle).st_size
    else:
        size = len(source)
        handle = os.memfd_create("mien-file", os.MFD_CLOEXEC) if hasattr(os, "memfd_create") else _unnamed()
        if size <= most:
            with os.fdopen(os.dup(handle), "wb") as file:
                file.write(source)
    if size > most:
        os.close(handle)
        raise OutOfBounds(f"it has {size:,} bytes; at most {most:,} are read")
    return handle


def _unnamed() -> int:
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _here(task: str, handle: int, options: dict[str, Any]) -> "Answer":
    from common.bounded.decoder_tasks import TASKS

    data = os.pread(handle, os.fstat(handle).st_size, 0)
    if task == "exr":
        options = {**options, "path": f"/dev/fd/{handle}"}
    return TASKS[task](data, bytearray, **options)


def _result(reply: dict[str, Any], handles: list[int]) -> "Answer":
    """Arrays over the memory that came. A decoder that a file has taken over may say anything: nothing is believed."""
    if "lacks" in reply:
        raise ImportError(shown(str(reply["lacks"]), 300))
    if isinstance(number := reply.get("errno"), int):
        raise OSError(number, os.strerror(number))
    try:
        if "error" in reply:
            kind = OutOfBounds if reply.get("bounds") else ValueError
            raise kind(shown(reply["error"], 300))
        about, kinds = reply.get("about"), reply.get("arrays")
        if not isinstance(about, dict) or not isinstance(kinds, list) or len(kinds) > MAX_PARTS:
            raise DecoderFailed("the decoder gave no answer")
        return (_arrays(kinds, handles[0]) if kinds else []), about
    except (TypeError, KeyError, IndexError, AttributeError, OSError, OverflowError):
        raise DecoderFailed("the decoder gave no answer") from None
    finally:
        for handle in handles:
            os.close(handle)


def _arrays(kinds: list[dict[str, Any]], handle: int) -> "list[NDArray[Any]]":
    import fcntl

    import numpy as np

    fcntl.fcntl(handle, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)  # what is mapped here cannot be cut off there
    size = os.fstat(handle).st_size
    wanted, parts = 0, []
    for kind in kinds:
        shape, letters = tuple(int(n) for n in kind["shape"]), str(kind["dtype"])
        if letters not in _DTYPES or len(shape) > 4 or any(not 0 <= n <= 1 << 31 for n in shape):
            raise DecoderFailed("the decoder gave no answer")
        dtype = np.dtype(letters)
        count = 1
        for n in shape:
            count *= n
        parts.append((shape, dtype, count, wanted))
        wanted += count * dtype.itemsize
    if not 0 <= wanted <= size:
        raise DecoderFailed("the decoder gave no answer")
    memory = mmap.mmap(handle, size)
    return [np.frombuffer(memory, dtype, count, at).reshape(shape) for shape, dtype, count, at in parts]
