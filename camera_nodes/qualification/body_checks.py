"""What a qualification asks of a body itself: target, stores, formats, how long settings take, its clock.

It speaks to libgphoto2's own camera object, of the connection that the camera layer has made: here nothing is tried
again and nothing smoothed, for how the body answers is what is asked.
"""

import math
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from camera_nodes.camera_models.models import BodyModel, ClockSetting
from camera_nodes.errors import FileNotDeleted
from camera_nodes.qualification.call_recording import CallRecord
from camera_nodes.qualification.report import BodyClock, Setting, SettleTime, Store, Target, spread

TIMED = {
    "shutter": ("shutterspeed", "shutterspeed2", "exptime"),
    "aperture": ("f-number", "aperture"),
    "iso": ("iso", "isospeed"),
    "white_balance": ("whitebalance",),
}
FORMATS = ("imageformat", "imageformatsd", "imageformatcf", "imageformatexthd", "imagequality", "imagequality2")
_NEAR, _FAR = 5, 2  # how often each setting is changed by one step, and across
_EVENTS_BETWEEN = 20


class BodyProbe:
    """A body under libgphoto2.  `reopen` makes the camera layer's connection anew."""

    def __init__(self, record: CallRecord, known: BodyModel, reopen: Callable[[], object]) -> None:
        self._record = record
        self._known = known
        self._reopen = reopen

    def library(self) -> str:
        """libgphoto2's version, "" where the binding does not tell."""
        tell = getattr(self._record.gp, "gp_library_version", None)
        found = tell(self._record.gp.GP_VERSION_SHORT) if tell else ()
        return f"libgphoto2 {found[0]}" if found else ""

    def firmware(self) -> str:
        """The firmware's version as the body tells it."""
        return self.value("deviceversion") or ""

    def value(self, name: str) -> str | None:
        """A setting as text; None where there is none, or reading fails."""
        widget = self._widget(name)
        return None if widget is None else str(widget.get_value())

    def setting(self, name: str) -> Setting | None:
        """A setting with its choices."""
        widget = self._widget(name)
        if widget is None:
            return None
        return Setting(name, str(widget.get_value()), self._choices(widget)[:60], bool(widget.get_readonly()))

    def formats(self) -> tuple[Setting, ...]:
        """Every setting that says how an exposure is stored, slot by slot."""
        found = (self.setting(name) for name in FORMATS)
        return tuple(setting for setting in found if setting is not None)

    def target(self) -> Target:
        """Set the capture target to the card, read it back, and read it again on a new connection."""
        found = self.setting("capturetarget")
        if found is None:
            return Target()
        best = next((name for name in self._known.card_target if name in found.choices), None)
        best = best or next((choice for choice in found.choices if "card" in choice.lower()), None)
        if best is None:
            return Target(found.choices, found.value)
        self._put("capturetarget", best)
        read_back = self.value("capturetarget")
        self._reopen()
        return Target(found.choices, found.value, best, read_back, self.value("capturetarget"))

    def stores(self) -> tuple[Store, ...]:
        """Card slots and memories."""
        gp = self._record.gp
        try:
            stores = list(self._record.camera.get_storageinfo())
        except (gp.GPhoto2Error, AttributeError):
            return ()

        def told(store: Any, flag: str, name: str) -> int | None:
            bit = getattr(gp, flag, 0)
            value = getattr(store, name, None) if bit and store.fields & bit else None
            return value if isinstance(value, int) and 0 <= value < 1 << 40 else None  # 2^64-1 means "not known"

        found = []
        for store in stores:
            capacity = told(store, "GP_STORAGEINFO_MAXCAPACITY", "capacitykbytes")
            free = told(store, "GP_STORAGEINFO_FREESPACEKBYTES", "freekbytes")
            access = told(store, "GP_STORAGEINFO_ACCESS", "access")
            read_only = None if access is None else access == getattr(gp, "GP_STORAGEINFO_AC_READONLY", 1)
            free_photos = told(store, "GP_STORAGEINFO_FREESPACEIMAGES", "freeimages")
            label = str(getattr(store, "label", "") or "")
            found.append(
                Store(
                    str(getattr(store, "basedir", "") or "?"),
                    label,
                    None if capacity is None else capacity // 1024,
                    None if free is None else free // 1024,
                    free_photos,
                    read_only,
                )
            )
        return tuple(found)

    def settles(self, say: Callable[[str], None]) -> tuple[SettleTime, ...]:
        """Each setting changed to and fro, timed until it reads so; then whether a change holds over a new connection.

        Afterwards they are as they were.
        """
        found: list[SettleTime] = []
        changed: dict[str, tuple[str, str]] = {}  # as it was, as it was left to see whether that holds
        for label, names in TIMED.items():
            name = next((n for n in names if self._widget(n) is not None), None)
            values = None if name is None else self._values(name)
            if name is None or values is None:
                continue
            say(f"settings: {label}")
            found.append(self._settle(name, values))
            changed[name] = values.here, values.beside
        try:
            for name, (_, beside) in changed.items():
                self._change(name, beside, [])
            if changed:
                self._reopen()
            return tuple(_with_holds(settle, changed[settle.name][1], self.value(settle.name)) for settle in found)
        finally:
            for name, (here, _) in changed.items():
                self._change(name, here, [])

    def delete(self, folder: str, name: str) -> bool:
        """Delete a file, whatever the table says of the model.  Raises FileNotDeleted."""
        record = self._record
        began = time.monotonic()
        try:
            record.camera.file_delete(folder, name)
        except record.gp.GPhoto2Error as error:
            record.failed("file_delete", int(error.code), str(error), began)
            raise FileNotDeleted(str(error)) from None
        record.succeeded("file_delete", began)
        return True

    def clock(self, *, set_it: bool) -> BodyClock:
        """What the body's clock says, and what it says after it was set (at a full second of this computer)."""
        there = [setting for setting in self._known.clock_settings if self._clock_error(setting) is not None]
        if not there:
            return BodyClock()
        best, names = there[0], tuple(f"{setting.name} ({setting.keeps})" for setting in there)
        self._reopen()  # what an EOS body says of its clock is from when the connection was made
        error = self._clock_error(best)
        widget = self._widget(best.name)
        if not set_it or widget is None or widget.get_readonly():
            return BodyClock(names, error)
        time.sleep(-time.time() % 1.0)
        widget.set_value(round(time.time()))
        if not self._send(best.name, widget):
            return BodyClock(names, error)
        self._reopen()
        return BodyClock(names, error, best.name, self._clock_error(best))

    # --- settings

    def _widget(self, name: str) -> Any:
        try:
            return self._record.camera.get_single_config(name)
        except self._record.gp.GPhoto2Error:
            return None

    def _choices(self, widget: Any) -> tuple[str, ...]:
        gp = self._record.gp
        if widget.get_type() not in (gp.GP_WIDGET_RADIO, gp.GP_WIDGET_MENU):
            return ()
        return tuple(str(widget.get_choice(index)) for index in range(widget.count_choices()))

    def _put(self, name: str, value: str) -> bool:
        widget = self._widget(name)
        if widget is None:
            return False
        widget.set_value(value)
        return self._send(name, widget)

    def _send(self, name: str, widget: Any) -> bool:
        """Send a setting; a busy body is asked again for as long as its table says.  Whether it was taken."""
        record = self._record
        until = time.monotonic() + self._known.busy_s
        while True:
            began = time.monotonic()
            try:
                record.camera.set_single_config(name, widget)
            except record.gp.GPhoto2Error as error:
                record.failed("set_single_config", int(error.code), f"{name}: {error}", began)
                if error.code != record.gp.GP_ERROR_CAMERA_BUSY or time.monotonic() >= until:
                    return False
                self._hear()
            else:
                record.succeeded("set_single_config", began)
                return True

    def _values(self, name: str) -> "_Values | None":
        """Values to change between: plain ones alone, for a setting to bulb or auto says little."""
        setting = self.setting(name)
        if setting is None or setting.read_only:
            return None
        values = [choice for choice in setting.choices if re.fullmatch(r"[f/\d.\" s]+|[A-Z][a-z]+", choice)]
        values = [choice for choice in values if choice.lower() not in ("auto", "bulb", "time", "unknown")]
        if setting.value not in values or len(values) < 2:
            return None
        here = values.index(setting.value)
        beside = values[here + 1] if here + 1 < len(values) else values[here - 1]
        return _Values(setting.value, beside, values[0] if here > len(values) / 2 else values[-1])

    def _settle(self, name: str, values: "_Values") -> SettleTime:
        refused: list[str] = []
        near = [self._change(name, v, refused) for _ in range(_NEAR) for v in (values.beside, values.here)]
        far = [self._change(name, v, refused) for _ in range(_FAR) for v in (values.across, values.here)]
        took = [spread(ms for ms in times if not math.isnan(ms)) for times in (near, far)]
        return SettleTime(name, took[0], took[1], tuple(dict.fromkeys(refused)))

    def _change(self, name: str, value: str, refused: list[str]) -> float:
        """Set and wait until it reads so; how long, in ms.  NaN when it never does, which `refused` then says."""
        began = time.monotonic()
        until = began + max(2 * self._known.settle_s, 1.0)
        if not self._put(name, value):
            refused.append(f"{value!r} was refused")
            return math.nan
        while (found := self.value(name)) != value:
            if time.monotonic() > until:
                refused.append(f"{found!r} after {value!r} was set")
                return math.nan
            self._hear()
        return (time.monotonic() - began) * 1e3

    def _hear(self) -> None:
        """Take in what the body says; without that an EOS body's settings never change here."""
        record = self._record
        for _ in range(_EVENTS_BETWEEN):
            began = time.monotonic()
            try:
                kind, data = record.camera.wait_for_event(20)
            except record.gp.GPhoto2Error as error:
                record.failed("wait_for_event", int(error.code), str(error), began)
                return
            record.event(kind, data, 20, time.monotonic() - began)
            if kind == record.gp.GP_EVENT_TIMEOUT:
                return

    def _clock_error(self, setting: ClockSetting) -> float | None:
        text = self.value(setting.name)
        try:
            return None if text is None else round(float(text) - time.time(), 1)
        except ValueError:
            return None


class _Values(NamedTuple):
    """Values of a setting to go through."""

    here: str  # as it stands
    beside: str  # one step away
    across: str  # far away


def _with_holds(settle: SettleTime, left: str, found: str | None) -> SettleTime:
    return SettleTime(
        settle.name, settle.near_ms, settle.far_ms, settle.refused, None if found is None else found == left
    )
