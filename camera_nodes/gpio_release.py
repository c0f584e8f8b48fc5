"""Releases a shutter over wires: half-press and shutter lines to the remote socket, the hot shoe's contact back.

The only importer of gpiod (libgpiod 2, https://libgpiod.readthedocs.io), and only when the release is opened.  The
lines drive optocouplers, which close the remote socket's contacts to ground; the hot shoe's contact pulls its line down
through another.  The kernel stamps the contact's edge when it happens, by the monotonic clock, so it does not matter
when this process gets to read it.  At shutter speeds up to the flash sync speed the contact closes when the shutter is
fully open; at faster ones most bodies do not close it at all.

docs/operators.md has the wiring.
"""

import errno
import importlib
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from camera_nodes.camera import ReleaseStamps
from camera_nodes.errors import BadAddress, ReleaseFault

_CONSUMER: Final = "mien"
_BUFFER: Final = 64  # edges that the kernel keeps while nobody reads
_PULLS: Final = {"up": "PULL_UP", "down": "PULL_DOWN", "none": "DISABLED"}


@dataclass(frozen=True)
class GpioOptions:
    """The keys of a `gpio:` address.  A line is its number on the chip or its name ("GPIO17"); "" means not wired."""

    shutter: str = ""  # the shutter button's line; the one that must be wired
    half: str = ""  # the half-press's line
    hot_shoe: str = ""  # the hot shoe's contact
    active_low: bool = False  # the driver of half and shutter closes the contact when its line is low
    hot_shoe_active_low: bool = True  # a closed contact pulls the line to ground
    hot_shoe_pull: str = "up"  # the chip's own resistor: up, down, none
    settle_ms: float = 150.0  # from half-press until the body is ready to be released
    press_ms: float = 60.0  # the shutter line is held at least this long
    edge_ms: float = 250.0  # the hot shoe is waited for so long after the release
    blind_ms: float = 1.0  # no body exposes sooner than this: an earlier edge is crosstalk of the wires


class GpioRelease:
    """See the module.  Opened and closed with its camera."""

    def __init__(self, url: str, chip: str, options: GpioOptions) -> None:
        """Raises BadAddress for a chip or lines that cannot be."""
        if not chip.startswith("/") or not options.shutter:
            raise BadAddress(f"{url!r}: a wired release names its chip and its lines: gpio:/dev/gpiochip0?shutter=27")
        if options.hot_shoe_pull not in _PULLS:
            raise BadAddress(f"{url!r}: hot_shoe_pull is 'up', 'down' or 'none', not {options.hot_shoe_pull!r}")
        for name in ("settle_ms", "press_ms", "edge_ms", "blind_ms"):
            if not 0 <= getattr(options, name) <= 2000:
                raise BadAddress(f"{url!r}: {name} lies between 0 and 2000 ms")
        wired = [line for line in (options.half, options.shutter, options.hot_shoe) if line]
        if len(set(wired)) < len(wired):
            raise BadAddress(f"{url!r}: half, shutter and hot_shoe are three different lines")
        self.sees_exposure = bool(options.hot_shoe)
        self.half_presses = bool(options.half)
        self._url = url
        self._chip = chip
        self._options = options
        self._shutter = _line(options.shutter)
        self._half = _line(options.half) if options.half else None
        self._hot_shoe = _line(options.hot_shoe) if options.hot_shoe else None
        self._gpiod: Any = None
        self._buttons: Any = None  # the request of half and shutter
        self._contact: Any = None  # the request of the hot shoe
        self._pressed_at = 0.0

    def open(self) -> None:
        """Request the lines; both buttons are up.  Raises ReleaseFault naming chip, lines and what to do."""
        if self._buttons is not None:
            return
        gpiod = self._gpiod = _import_gpiod(self._url)
        options, line = self._options, gpiod.line
        button = gpiod.LineSettings(
            direction=line.Direction.OUTPUT, active_low=options.active_low, output_value=line.Value.INACTIVE
        )
        self._buttons = self._request({key: button for key in (self._half, self._shutter) if key is not None})
        if self._hot_shoe is None:
            return
        contact = gpiod.LineSettings(
            direction=line.Direction.INPUT,
            edge_detection=line.Edge.RISING,  # from open to closed, whatever the voltage does
            bias=line.Bias[_PULLS[options.hot_shoe_pull]],
            active_low=options.hot_shoe_active_low,
            debounce_period=timedelta(),  # debouncing would stamp the end of the bouncing
            event_clock=line.Clock.MONOTONIC,
        )
        try:
            self._contact = self._request({self._hot_shoe: contact})
        except ReleaseFault:
            self.close()
            raise

    def _request(self, config: dict[int | str, Any]) -> Any:
        lines = ", ".join(str(key) for key in config)
        try:
            return self._gpiod.request_lines(self._chip, config, consumer=_CONSUMER, event_buffer_size=_BUFFER)
        except FileNotFoundError:
            raise ReleaseFault(f"{self._url}: there is no chip {self._chip}; `gpiodetect` lists them") from None
        except PermissionError:
            raise ReleaseFault(
                f"{self._url}: this user may not open {self._chip}: add it to the group gpio, or install the udev rules"
            ) from None
        except (OSError, ValueError) as error:
            if getattr(error, "errno", None) == errno.EBUSY:
                raise ReleaseFault(
                    f"{self._url}: another program holds one of the lines {lines}; `gpioinfo` names it"
                ) from None
            raise ReleaseFault(
                f"{self._url}: {self._chip} does not give the lines {lines} ({error}); `gpioinfo` lists what it has"
            ) from None

    def close(self) -> None:
        """Buttons up, lines back to the kernel."""
        self.rest()
        for request in (self._buttons, self._contact):
            if request is not None:
                request.release()
        self._buttons = self._contact = None

    def prepare(self) -> None:
        """Half-press and wait until the body is ready.  Called outside the window."""
        self._require_open()
        if self._half is not None:
            self._set(self._half, pressed=True)
            time.sleep(self._options.settle_ms / 1e3)
        self._read_edges()  # of test flashes and of earlier takes

    def release(self) -> ReleaseStamps:
        """Press the shutter and wait for the hot shoe, asleep; without one, return at once.

        The button stays down until `rest`.  No edge within edge_ms: the exposure moment is not known.
        """
        self._require_open()
        released_ns = time.monotonic_ns()
        self._set(self._shutter, pressed=True)
        self._pressed_at = time.monotonic()
        if self._contact is None:
            return ReleaseStamps(released_ns)
        first_ns = released_ns + round(self._options.blind_ms * 1e6)
        deadline_ns = released_ns + round(self._options.edge_ms * 1e6)
        while (left_ns := deadline_ns - time.monotonic_ns()) > 0:
            if not self._contact.wait_edge_events(left_ns / 1e9):
                break
            for stamp_ns in self._read_edges():
                # The contact bounces: the first edge counts. A driver that stamps by another clock gives none.
                if first_ns <= stamp_ns <= time.monotonic_ns():
                    return ReleaseStamps(released_ns, stamp_ns, "hot_shoe")
        return ReleaseStamps(released_ns)

    def rest(self) -> None:
        """Both buttons up, the shutter not before press_ms: a body may overlook a shorter press."""
        if self._buttons is None:
            return
        if self._pressed_at:
            time.sleep(max(0.0, self._pressed_at + self._options.press_ms / 1e3 - time.monotonic()))
            self._pressed_at = 0.0
        up = self._gpiod.line.Value.INACTIVE
        try:
            self._buttons.set_values({key: up for key in (self._shutter, self._half) if key is not None})
        except OSError:
            return  # the chip is gone, and with it the press

    def _set(self, line: int | str, *, pressed: bool) -> None:
        values = self._gpiod.line.Value
        try:
            self._buttons.set_values({line: values.ACTIVE if pressed else values.INACTIVE})
        except OSError as error:
            raise ReleaseFault(f"{self._url}: line {line} cannot be set: {error.strerror}") from None

    def _read_edges(self) -> list[int]:
        """The stamps of the edges that wait to be read, oldest first."""
        stamps: list[int] = []
        while self._contact is not None and self._contact.wait_edge_events(0):
            stamps += [event.timestamp_ns for event in self._contact.read_edge_events()]
            if len(stamps) > 100 * _BUFFER:
                raise ReleaseFault(f"{self._url}: the hot shoe's line never rests: look at its cable and pull resistor")
        return stamps

    def _require_open(self) -> None:
        if self._buttons is None:
            raise ReleaseFault(f"{self._url} is not open")


def _line(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _import_gpiod(url: str) -> Any:
    try:
        gpiod = importlib.import_module("gpiod")
    except ImportError:
        raise ReleaseFault(f"{url} needs the gpiod library: pip install 'mien[node]'") from None
    if not hasattr(gpiod, "request_lines"):  # version 1 has the same name and another interface
        raise ReleaseFault(f"{url} needs version 2 of the gpiod library: pip install --upgrade 'gpiod>=2.1'")
    return gpiod
