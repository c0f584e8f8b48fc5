"""A decoding process: takes files over a socket, gives arrays in memory that both share. Started by the workshop.

Its address space has a limit; it ends when nobody has asked for a while, or when the other side is gone.
"""

import importlib
import json
import mmap
import os
import resource
import select
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

IDLE_S = 60.0
CPU_S = 9.0  # of the processor, for one file: 400 megapixels take 5
MODULES = {
    "proof": ("simplejpeg", "common.bounded.decoder_tasks"),
    "photograph": ("numpy", "simplejpeg", "common.bounded.decoder_tasks"),
    "portrait": ("numpy", "cv2", "simplejpeg", "common.bounded.decoder_tasks"),
    "picture": ("numpy", "cv2", "common.bounded.decoder_tasks"),
    "pillow": ("numpy", "PIL.Image", "common.bounded.decoder_tasks"),
    "exr": ("numpy", "OpenEXR", "common.bounded.decoder_tasks"),
}
HEAD = struct.Struct(">I")


def send(channel: socket.socket, message: dict[str, Any], handles: list[int]) -> None:
    """A message, and descriptors with it."""
    body = json.dumps(message, allow_nan=True).encode()
    socket.send_fds(channel, [HEAD.pack(len(body))], handles)
    channel.sendall(body)


def receive(channel: socket.socket, most: int) -> tuple[dict[str, Any], list[int]]:
    """What was sent. Raises EOFError when the other side is gone, ValueError for what is no message."""
    head, handles, _flags, _address = socket.recv_fds(channel, HEAD.size, 1)
    try:
        if len(head) < HEAD.size:
            raise EOFError
        (length,) = HEAD.unpack(head)
        if length > most:
            raise ValueError("a message that is too long")
        body = bytearray()
        while len(body) < length:
            block = channel.recv(length - len(body))
            if not block:
                raise EOFError
            body += block
        found = json.loads(body)
        if not isinstance(found, dict):
            raise ValueError("no message")
    except BaseException:
        for handle in handles:
            os.close(handle)
        raise
    return found, list(handles)


class _Shared:
    """Memory that the answer's arrays lie in. Where a decoder fills it directly, nothing is copied."""

    def __init__(self) -> None:
        self.handle = -1
        self.map: mmap.mmap | None = None

    def room(self, size: int) -> memoryview:
        """`size` bytes to write into."""
        self.handle = os.memfd_create("mien-decoded", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.handle, max(1, size))
        self.map = mmap.mmap(self.handle, max(1, size))
        return memoryview(self.map)

    def place(self, arrays: "list[NDArray[Any]]") -> None:
        """Copy them in, one after the other, unless they lie there."""
        import numpy as np

        from common.bounded.decoder_tasks import size_of

        size = size_of(arrays)
        if self.map is not None and len(arrays) == 1 and size <= len(self.map):
            mine = np.frombuffer(self.map, np.uint8)
            if np.shares_memory(mine, arrays[0]):
                return
            del mine
        self.drop()
        at, target = 0, self.room(size)
        for array in arrays:
            flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            target[at : at + flat.nbytes] = flat.data
            at += flat.nbytes

    def drop(self) -> None:
        if self.handle >= 0:
            os.close(self.handle)
        self.handle, self.map = -1, None


def answer(request: dict[str, Any], handle: int, shared: _Shared) -> dict[str, Any]:
    """Do one task. What goes wrong is in the answer: a machine's fault as "lacks" or "errno", a file's as "error"."""
    from common.bounded.decoder_tasks import TASKS
    from common.bounded.limits import OutOfBounds

    try:
        raw = os.pread(handle, os.fstat(handle).st_size, 0)
    except OSError as error:
        return {"errno": error.errno}
    try:
        options = dict(request["options"])
        if request["task"] == "exr":
            options["path"] = f"/proc/self/fd/{handle}"
        arrays, about = TASKS[request["task"]](raw, shared.room, **options)
        del raw
        shared.place(arrays)
        kinds = [{"shape": list(array.shape), "dtype": array.dtype.str} for array in arrays]
        return {"arrays": kinds, "about": about}
    except MemoryError:
        return {"error": "it takes more memory than a file is given", "bounds": True}
    except OutOfBounds as error:
        return {"error": str(error), "bounds": True}
    except ImportError as error:
        return {"lacks": str(error)[:300]}
    except Exception as error:  # a stranger's bytes in a stranger's decoder: whatever it is, it is the answer
        text = str(error).strip().splitlines()
        return {"error": (text[0] if text else type(error).__name__)[:300], "bounds": False}


def limit_memory(extra: int) -> None:
    """Let this process grow by `extra` bytes of address space from what it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + extra, resource.RLIM_INFINITY))


def serve(channel: socket.socket, extra: int) -> None:
    """Answer until the other side is gone, or silent for IDLE_S."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while select.select([channel], [], [], IDLE_S)[0]:
        try:
            request, handles = receive(channel, 1 << 20)
        except (EOFError, OSError):
            return
        try:
            for module in MODULES.get(str(request["task"]), ()):  # what libraries take for themselves is not the file's
                importlib.import_module(module)
        except ImportError as error:
            send(channel, {"lacks": str(error)[:300]}, [])
            return
        shared = _Shared()
        limit_memory(extra)
        signal.setitimer(signal.ITIMER_PROF, CPU_S)  # this process ends when a file takes longer
        reply = answer(request, handles[0], shared)
        signal.setitimer(signal.ITIMER_PROF, 0)
        limit_memory(1 << 40)
        os.close(handles[0])
        try:
            send(channel, reply, [shared.handle] if shared.handle >= 0 and "error" not in reply else [])
        except OSError:
            return
        finally:
            shared.drop()


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=0) as channel:
        serve(channel, int(sys.argv[1]))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    main()
