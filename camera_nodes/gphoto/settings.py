"""Settings of a body: written, waited for, and read back from the body rather than from libgphoto2's memory of it.

Some bodies step towards a value and need seconds (Sony); libgphoto2 answers reads of EOS bodies from its own copy,
which it changes at the writing, whether or not the body took it.  There a new connection is the only read-back.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass

from camera_nodes.camera_models.models import BodyModel
from camera_nodes.errors import CaptureTarget, NotSupported, SettingsRefused
from camera_nodes.gphoto.connection import PtpConnection
from camera_nodes.wire import Exposure
from common.setting_values import same_setting

WIDGETS = {
    "shutter": ("shutterspeed", "shutterspeed2", "exptime"),
    "aperture": ("f-number", "aperture"),
    "iso": ("iso", "isospeed"),
    "white_balance": ("whitebalance",),
    "image_format": ("imageformat", "imagequality"),
    "focus_mode": ("focusmode", "focusmode2"),
}
# Bodies with two slots say for each what it gets.
FORMATS = ("imageformat", "imageformatsd", "imageformatcf", "imageformatexthd", "imagequality", "imagequality2")
_TARGET = "capturetarget"
_RAW = re.compile(r"\b(raw|nef|nrw|cr2|cr3|arw|dng|raf|orf|rw2|pef|craw|sraw|mraw)", re.IGNORECASE)
_LOOK_S = 0.1
_MOST_PHOTOS = 1_000_000  # beyond this a body does not count photographs
_CLOCK_OFF_S = 1.0


@dataclass(frozen=True)
class ImageFormats:
    """What a body keeps of an exposure, over all its slots; None where it does not say."""

    raw: bool | None  # it keeps a raw file
    jpeg: bool | None  # it keeps a JPEG
    text: str = ""  # as the slots say it


class CameraSettings:
    """The settings of one body, of a model that is known (`model`) to need so long and to have such habits."""

    def __init__(self, connection: PtpConnection, url: str) -> None:
        self._connection = connection
        self._url = url
        self._known: dict[str, str | None] = {}  # what the body is set to, by field of Exposure
        self.model = BodyModel()

    def read(self, name: str) -> str | None:
        """The value of a setting; None when the body has no such setting.  Raises CameraFault for anything else."""
        try:
            return str(self._connection.call("get_single_config", name).get_value())
        except NotSupported:
            return None

    def first(self, names: Sequence[str]) -> tuple[str, str] | None:
        """The first of these settings that the body has, and its value."""
        for name in names:
            value = self.read(name)
            if value is not None:
                return name, value
        return None

    def apply(self, wanted: Exposure) -> list[str]:
        """Set what differs and read all of it back; warnings for what the body does not have.

        Raises SettingsRefused naming each setting that the body did not take, or CameraFault.
        """
        warnings: list[str] = []
        differences: list[str] = []
        written: dict[str, tuple[str, str]] = {}
        for field in wanted.__struct_fields__:
            value = getattr(wanted, field)
            if value is None:
                continue
            found = self.first(WIDGETS[field])
            self._known[field] = None if found is None else found[1]
            if found is None:
                warnings.append(f"{field}: this body has no such setting, {value!r} was not applied")
            elif not same_setting(found[1], value):
                problem = self.write(found[0], value)
                if problem:
                    differences.append(f"{field}: {problem}")
                else:
                    written[field] = (found[0], value)
                    self._known[field] = value
        if written and self.model.cached_settings:
            self._connection.reconnect()
            for field, (name, value) in written.items():
                now = self.read(name)
                if now is None or not same_setting(now, value):
                    differences.append(f"{field}: is {now!r} after setting {value!r}: the body did not take it")
        if differences:
            raise SettingsRefused(f"{self._url} did not take: " + "; ".join(differences), differences)
        return warnings

    def read_all(self) -> Exposure:
        """What the body is set to: what apply() has just read back, and what it did not as it was when it was asked."""
        for field, names in WIDGETS.items():
            if field not in self._known:
                found = self.first(names)
                self._known[field] = None if found is None else found[1]
        return Exposure(**{field: None if value is None else value[:1000] for field, value in self._known.items()})

    def forget(self) -> None:
        """The connection is another one: what the body is set to is asked anew."""
        self._known.clear()

    def write(self, name: str, wanted: str) -> str | None:
        """Set one and wait until it is there.  Returns what is wrong, or None."""
        connection = self._connection
        widget = connection.call("get_single_config", name)
        if widget.get_readonly():
            return f"is {widget.get_value()!r} and cannot be set from here; wanted {wanted!r}"
        choice = wanted
        if widget.get_type() in (connection.gp.GP_WIDGET_RADIO, connection.gp.GP_WIDGET_MENU):
            choices = [str(widget.get_choice(index)) for index in range(widget.count_choices())]
            close = [c for c in choices if same_setting(c, wanted)]
            if not close:
                return f"{wanted!r} is not among {', '.join(choices[:24])}"
            choice = wanted if wanted in close else close[0]
        widget.set_value(choice)
        connection.call("set_single_config", name, widget)
        return self._await(name, choice)

    def _await(self, name: str, wanted: str) -> str | None:
        """Wait for the value; as long as it moves, the body is on its way."""
        end = time.monotonic() + self.model.settle_s
        before = None
        while True:
            found = self.read(name)
            if found is not None and same_setting(found, wanted):
                return None
            now = time.monotonic()
            if found != before:
                before, end = found, max(end, now + 2.0)
            if now >= end:
                return f"is {found!r} after setting {wanted!r}"
            time.sleep(_LOOK_S)

    # --- what a studio needs to be so

    def aim_at_card(self, *, allow_ram: bool) -> str:
        """Have photographs kept on the card; "" or a warning.  Raises CaptureTarget when they are not and must be."""
        names = self.model.card_target
        if self.model.ram_only:
            return self._in_memory("its memory", "bodies of this model know nothing else", allow_ram)
        now = self.read(_TARGET)
        if now is None or _on_card(now, names):
            return ""
        widget = self._connection.call("get_single_config", _TARGET)
        choices = [str(widget.get_choice(index)) for index in range(widget.count_choices())]
        wanted = next((c for name in names for c in choices if c.lower() == name.lower()), None)
        problem = f"its choices are {', '.join(choices)}"
        if wanted is not None:
            problem = self.write(_TARGET, wanted) or ""
            if not problem:
                return ""
        return self._in_memory(repr(now), problem, allow_ram)

    def _in_memory(self, where: str, problem: str, allow_ram: bool) -> str:
        text = f"{self._url} keeps its photographs in {where} until they are fetched, not on its card: {problem}"
        if allow_ram:
            return f"{text}; a photograph is lost if cable, node or power fail before it is fetched"
        raise CaptureTarget(f"{text}. Set it on the body, or allow it with allow_ram in the rig file")

    def formats(self) -> ImageFormats:
        """What the body keeps, as all its slots say together."""
        texts = [text for name in FORMATS if (text := self.read(name))]
        if not texts:
            return ImageFormats(None, None)
        raw, jpeg = any(is_raw(text) for text in texts), any(_gives_jpeg(text) for text in texts)
        return ImageFormats(raw, jpeg or None, " and ".join(dict.fromkeys(texts)))

    def photos_left(self) -> int | None:
        """How many photographs the cards still take; None when the body does not say, or says something impossible."""
        try:
            stores = self._connection.call("get_storageinfo")
        except NotSupported:
            return None
        mark = self._connection.gp.GP_STORAGEINFO_FREESPACEIMAGES
        known = [int(store.freeimages) for store in stores if store.fields & mark]
        known = [number for number in known if 0 <= number <= _MOST_PHOTOS]
        return sum(known) if known else None

    def battery_percent(self) -> int | None:
        """The battery's charge, where the body says one in percent."""
        found = re.match(r"(\d{1,3})\s*%", self.read("batterylevel") or "")
        return min(100, int(found[1])) if found else None

    def clock_s(self) -> float | None:
        """The body's clock face, read as UTC, minus UTC; None when it says none.

        The zone is taken to be this machine's: a capture time tells it better.
        """
        found = self._clock()
        if found is None:
            return None
        zone_s = -time.altzone if time.localtime().tm_isdst > 0 else -time.timezone
        return found[1] + 0.5 - time.time() + zone_s

    def set_clock(self) -> None:
        """Set the body's clock to this machine's, where it can be set and is off.  Raises CameraFault."""
        found = self._clock()
        if found is None or abs(found[1] + 0.5 - time.time()) <= _CLOCK_OFF_S:
            return
        widget = self._connection.call("get_single_config", found[0])
        if not widget.get_readonly():
            widget.set_value(int(time.time()))
            self._connection.call("set_single_config", found[0], widget)

    def _clock(self) -> tuple[str, int] | None:
        """The setting that is the body's clock, and the seconds since 1970 that it says."""
        found = self.first([setting.name for setting in self.model.clock_settings])
        return (found[0], int(found[1])) if found is not None and re.fullmatch(r"\d{9,11}", found[1]) else None


def _on_card(text: str, names: Sequence[str]) -> bool:
    return any(text.lower() == name.lower() for name in names)


def is_raw(image_format: str) -> bool:
    """Whether a body set to this image format ("RAW + L", "NEF+Fine") keeps raw files."""
    return _RAW.search(image_format) is not None


def _gives_jpeg(image_format: str) -> bool:
    return not is_raw(image_format) or re.search(r"\+|jpe?g", image_format, re.IGNORECASE) is not None
