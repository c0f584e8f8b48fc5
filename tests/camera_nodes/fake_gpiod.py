"""A chip of the gpiod library's interface with a body wired to it: half-press, shutter, hot shoe.

The body releases when its shutter line closes while the half-press line is closed, and its hot shoe closes `lag_ms`
later.  Settings, events and errors are the library's own classes; what the kernel would do is done here, stamped by the
monotonic clock.
"""

import errno
import os
import select
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import gpiod
from gpiod.line import Direction, Edge, Value

LineSettings = gpiod.LineSettings
line = gpiod.line


@dataclass
class Body:
    """What hangs on the chip, and what it has seen."""

    half: int = 17
    shutter: int = 27
    hot_shoe: int = 22
    lag_ms: float = 5.0
    bounces: int = 0
    crosstalk: bool = False  # the shutter's own wire stirs the hot shoe's
    silent: bool = False  # the hot shoe is not plugged in
    held_by_others: set[int] = field(default_factory=set)
    broken: bool = False
    values: dict[int, Value] = field(default_factory=dict)
    exposures_ns: list[int] = field(default_factory=list)
    presses_ms: list[float] = field(default_factory=list)
    requested: dict[int, LineSettings] = field(default_factory=dict)
    released: list[int] = field(default_factory=list)
    _pressed_ns: int = 0
    _listeners: "list[FakeRequest]" = field(default_factory=list)

    # --- what gpiod offers

    LineSettings = gpiod.LineSettings
    line = gpiod.line

    def request_lines(
        self,
        path: str,
        config: dict[Any, LineSettings],
        consumer: str | None = None,
        event_buffer_size: int | None = None,
    ) -> "FakeRequest":
        if path != "/dev/gpiochip0":
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        for offset in config:
            if isinstance(offset, str) or offset > 53:
                raise ValueError(f"unknown line {offset}")
            if offset in self.held_by_others or offset in self.requested:
                raise OSError(errno.EBUSY, "Device or resource busy")
        assert consumer
        assert event_buffer_size
        self.requested |= config
        self.values |= {o: s.output_value for o, s in config.items() if s.direction is Direction.OUTPUT}
        return FakeRequest(self, dict(config))

    # --- the body

    def set(self, offset: int, value: Value) -> None:
        if self.broken:
            raise OSError(errno.ENODEV, "No such device")
        was, self.values[offset] = self.values.get(offset, Value.INACTIVE), value
        now_ns = time.monotonic_ns()
        if offset != self.shutter or was is value:
            return
        if value is Value.INACTIVE:
            self.presses_ms.append((now_ns - self._pressed_ns) / 1e6)
            return
        self._pressed_ns = now_ns
        if self.crosstalk:
            self.contact(now_ns + 20_000)
        if self.values.get(self.half) is Value.ACTIVE:
            self.exposures_ns.append(now_ns + round(self.lag_ms * 1e6))
            threading.Timer(self.lag_ms / 1e3, self._expose, (self.exposures_ns[-1],)).start()

    def _expose(self, at_ns: int) -> None:
        if not self.silent:
            for bounce in range(self.bounces + 1):
                self.contact(at_ns + bounce * 50_000)

    def contact(self, at_ns: int) -> None:
        """The hot shoe closes: the kernel queues an edge."""
        for request in list(self._listeners):
            request.queue(gpiod.EdgeEvent(gpiod.EdgeEvent.Type.RISING_EDGE.value, at_ns, self.hot_shoe, 1, 1))


class FakeRequest:
    def __init__(self, body: Body, config: dict[int, LineSettings]) -> None:
        self._body = body
        self._config = config
        self._events: list[gpiod.EdgeEvent] = []
        self._read, self._write = os.pipe()
        if any(s.edge_detection is Edge.RISING and offset == body.hot_shoe for offset, s in config.items()):
            body._listeners.append(self)

    def queue(self, event: gpiod.EdgeEvent) -> None:
        self._events.append(event)
        os.write(self._write, b"x")

    def set_values(self, values: dict[int, Value]) -> None:
        assert set(values) <= set(self._config)
        for offset, value in values.items():
            self._body.set(offset, value)

    def wait_edge_events(self, timeout: float | None = None) -> bool:
        return bool(select.select([self._read], [], [], timeout)[0])

    def read_edge_events(self) -> list[gpiod.EdgeEvent]:
        count = len(os.read(self._read, 4096))
        events, self._events = self._events[:count], self._events[count:]
        return events

    def release(self) -> None:
        if self in self._body._listeners:
            self._body._listeners.remove(self)
        for offset in self._config:
            self._body.released.append(offset)
            del self._body.requested[offset]
        os.close(self._read)
        os.close(self._write)
