"""Ctrl-C and SIGTERM ask a training to stop after the step at hand; a second Ctrl-C stops it at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class StopRequest:
    """Whether somebody asked."""

    asked: bool = False


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Requests while the block runs; in a thread beside the main one nobody can ask."""
    request = StopRequest()

    def note(number: int, _frame: FrameType | None) -> None:
        if request.asked:
            raise KeyboardInterrupt
        request.asked = number in _SIGNALS

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
