"""A simulated camera: seeded shutter lag and jitter, faults on demand, photographs served from a folder.

It takes the same road as a real one: it must be armed, it releases at a moment, and it gives a file afterwards.
"""

import base64
import os
import random
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from camera_nodes.camera import (
    BodyFile,
    CameraCondition,
    CameraInfo,
    EventPoll,
    ReleaseStamps,
    ShutterRelease,
)
from camera_nodes.camera_base import CameraBase
from camera_nodes.clock_sync.clock import EmulatedClock, MonotonicClock
from camera_nodes.errors import (
    BadAddress,
    BatteryLow,
    CameraBusy,
    CameraFault,
    CameraMissing,
    CardFull,
    FileGone,
    FileTruncated,
    SettingsRefused,
)
from camera_nodes.sim_live_view import simulated_preview_jpeg, with_comment
from camera_nodes.wire import Drive, Exposure
from common.bounded.json_toml import parse_toml
from common.configuration.loader import values_from_table

_FOLDER = "/store_00010001/DCIM/100SIM__"
_CARD_FILES = 16  # the oldest go first: each holds a file open
_RUNGS = ("reopen", "usb_reset", "power_cycle")


@dataclass(frozen=True)
class SimOptions:
    """The keys of a `sim:` address.

    Times in ms unless the name says otherwise.  Probabilities are per exposure or arming, in [0, 1].
    """

    seed: int = 0  # of all that is random
    serial: str = ""  # by default from the seed
    model: str = "Simulated camera"  # that it says it is
    lag_ms: float = 58.0  # from command to exposure
    jitter_ms: float = 0.3  # its standard deviation
    photos: str = ""  # folder; DIR/<view>.jpg is served, opened at the exposure; a built-in picture without it
    view: int = 0  # which photograph of the folder it serves
    download_ms: float = 0.0  # from the exposure until the photograph is announced
    clock_offset_ms: float = 0.0  # the node's clock against this machine's
    clock_drift_ppm: float = 0.0  # of that clock
    drop: float = 0.0  # the shutter is released but no photograph comes
    late: float = 0.0  # the shutter opens late_ms later than its lag says
    late_ms: float = 20.0  # see late
    truncate: float = 0.0  # the photograph ends half way
    corrupt: float = 0.0  # bytes of the photograph are overwritten
    tardy: float = 0.0  # the photograph comes tardy_s later than download_ms says
    tardy_s: float = 3.0  # see tardy
    unheard: float = 0.0  # the photograph is on the card, and the body does not say so
    twice: float = 0.0  # the photograph is announced twice
    second_slot: float = 0.0  # a copy of the photograph comes into a second slot after it
    cut: float = 0.0  # the first reading of the photograph gives half of it
    by_hand: float = 0.0  # per look at the idle camera: somebody presses its button
    busy: float = 0.0  # arming is refused
    battery: float = 100.0  # percent
    battery_per_photo: float = 0.0  # percent that each exposure costs
    card: int = 0  # photographs that the card holds; 0: endless
    focus: str = "Manual"  # focus mode, where the settings give none
    stuck: str = ""  # "iso:100": a setting that the body does not take, and what it stays at
    dead_after: int = 0  # the camera no longer answers after this many exposures; 0: never
    dead_for_s: float = 0.0  # and answers again after this long; 0: never
    stuck_until: str = (
        ""  # then, or from the first when dead_after is 0, it answers only after a usb_reset or power_cycle
    )
    defocus: float = 0.0  # pixels by which its live view is blurred (sigma)
    preview: str = ""  # file that live view shows instead; read anew for each frame
    away: float = 0.0  # not 0: the camera does not answer, asleep or unplugged; a usb_reset wakes it
    script: str = ""  # TOML file whose keys go before these, read anew when it changes: faults while it runs
    raw: str = ""  # ending of a raw file given beside each photograph: DIR/<view>.<raw>, a built-in one without it


@dataclass(frozen=True)
class SimReleaseOptions:
    """The keys of a `sim:` release: a shutter with a known lag, whose exposure is seen as by a hot shoe."""

    seed: int = 0  # of all that is random
    lag_ms: float = 58.0  # from command to exposure
    jitter_ms: float = 0.3  # its standard deviation
    late: float = 0.0  # probability that the shutter opens late_ms later
    late_ms: float = 20.0  # see late


class SimRelease:
    """A simulated shutter.  The random numbers depend on the seed and the number of releases alone."""

    sees_exposure = True
    half_presses = False

    def __init__(self, url: str, options: SimReleaseOptions) -> None:
        self.url = url  # its address
        self._options = options
        self._releases = 0

    def open(self) -> None:
        """Nothing to take hold of."""

    def close(self) -> None:
        """Nothing to let go of."""

    def prepare(self) -> None:
        """Always ready."""

    def release(self) -> ReleaseStamps:
        """The command goes out now; the exposure follows by the lag."""
        released_ns = time.monotonic_ns()
        options, draw = self._options, random.Random(f"{self._options.seed}/{self._releases}/release")
        self._releases += 1
        lag_ms = options.lag_ms + draw.gauss(0.0, 1.0) * options.jitter_ms
        if draw.random() < options.late:
            lag_ms += options.late_ms
        return ReleaseStamps(released_ns, released_ns + round(max(0.0, lag_ms) * 1e6), "simulated")

    def rest(self) -> None:
        """No button to let go of."""


class _OwnShutter(SimRelease):
    """The simulated camera's own: dead when the camera is."""

    def __init__(self, camera: "SimCamera", url: str, options: SimReleaseOptions) -> None:
        super().__init__(url, options)
        self._camera = camera

    def release(self) -> ReleaseStamps:
        self._camera.die_if_due()
        self._options = self._camera.release_options
        return super().release()


@dataclass
class _OnCard:
    """A file that a simulated exposure has made: when it is announced, and where its bytes come from."""

    file: BodyFile  # as the body tells of it
    due: float  # when it is announced, monotonic s
    exposure: int  # its number
    source: int | None  # open file of the photograph
    announcements: int = 1  # still to be made
    cuts: int = 0  # readings that give half of it


class SimCamera(CameraBase):
    """See the module.  The random numbers depend on the seed and the number of exposures alone."""

    def __init__(self, url: str, options: SimOptions) -> None:
        self._written = self.options = options
        self._script = b""  # as it was read last
        self._woken = False  # by a reset, until the script says otherwise
        self._exposures = 0
        self._died_at: float | None = None
        self._has_died = False
        self._card: list[_OnCard] = []
        self._number = 0  # of the newest file, as its name says
        self._outstanding = 0  # an exposure whose photograph nobody has read: nobody presses the button meanwhile
        self._hand = random.Random(f"{options.seed}/hand")
        self._epoch = time.time_ns() // 1_000_000
        self._settings = Exposure()
        self._frames = 0  # of live view
        self._defocus = options.defocus  # as the lens stands now
        self._stuck = bool(options.stuck_until) and not options.dead_after
        if options.stuck_until not in ("", *_RUNGS):
            raise BadAddress(f"{url!r}: stuck_until is one of {', '.join(_RUNGS)}, not {options.stuck_until!r}")
        if options.clock_offset_ms or options.clock_drift_ppm:
            clock = EmulatedClock(round(options.clock_offset_ms * 1e6), options.clock_drift_ppm)
            super().__init__(url, clock)
        else:
            super().__init__(url, MonotonicClock())

    @property
    def file_s(self) -> float:
        """Its photograph comes download_ms after the exposure, or never."""
        return self.options.download_ms / 1e3 + 0.5

    @property
    def counter(self) -> int | None:
        """As its file names count."""
        return self._number

    def _own_release(self) -> ShutterRelease:
        return _OwnShutter(self, self._url, self.release_options)

    @property
    def release_options(self) -> SimReleaseOptions:
        """Of its own shutter, as they are now."""
        options = self.options
        return SimReleaseOptions(options.seed, options.lag_ms, options.jitter_ms, options.late, options.late_ms)

    @property
    def settings(self) -> Exposure:
        """What the camera is set to."""
        return self._settings

    def _draw(self, what: str) -> random.Random:
        return random.Random(f"{self.options.seed}/{self._exposures}/{what}")

    def _follow_script(self) -> None:
        """Raises CameraFault for a script that cannot be followed."""
        if not self._written.script:
            return
        try:
            text = Path(self._written.script).read_bytes()
            if text == self._script:
                return
            values = values_from_table(SimOptions, parse_toml(text), self._written.script, CameraFault)
        except (OSError, ValueError) as error:
            raise CameraFault(f"{self._url}: its script cannot be read: {error}") from None
        self._script, self._woken = text, False
        self.options = replace(self._written, **values)

    def _check_alive(self) -> None:
        self._follow_script()
        if self.options.away and not self._woken:
            raise CameraMissing(f"{self._url} no longer answers: look at its cable and its power")
        if self._stuck:
            raise CameraMissing(f"{self._url} no longer answers: look at its cable and its power")
        if self._died_at is not None:
            if self.options.dead_for_s and time.monotonic() - self._died_at >= self.options.dead_for_s:
                self._died_at = None
                return
            raise CameraMissing(f"{self._url} no longer answers: look at its cable and its power")

    def _do_open(self) -> CameraInfo:
        if self.options.stuck_until == "reopen":
            self._stuck = False
        self._check_alive()
        folder = self.options.photos
        if folder and not Path(folder).is_dir():
            raise CameraMissing(f"{self._url}: no folder {folder} to serve photographs from")
        serial = self.options.serial or f"SIM{self.options.seed:06d}"
        return CameraInfo(self._url, self.options.model, serial, ("settings", "battery"))

    def _do_close(self) -> None:
        """What is on the card stays there."""

    @property
    def _battery(self) -> int:
        return max(0, round(self.options.battery - self.options.battery_per_photo * self._exposures))

    def _do_arm(self, settings: Exposure, allow_ram: bool) -> CameraCondition:  # noqa: ARG002  (it has a card)
        self._check_alive()
        if self._draw("busy").random() < self.options.busy:
            self._exposures += 1  # the next try draws anew
            raise CameraBusy(f"{self._url} is busy")
        left = self.options.card - self._exposures if self.options.card else None
        if left is not None and left <= 0:
            raise CardFull(f"the card of {self._url} is full ({self.options.card} photographs): empty or change it")
        if self._battery <= 0:
            raise BatteryLow(f"the battery of {self._url} is empty: change it")
        given = {name: getattr(settings, name) for name in settings.__struct_fields__}
        kept = {name: getattr(self._settings, name) for name in settings.__struct_fields__}
        stuck, _, found = self.options.stuck.partition(":")
        if stuck and given[stuck] not in (None, found):
            difference = f"{stuck}: is {found!r} after setting {given[stuck]!r}"
            raise SettingsRefused(f"{self._url} did not take: {difference}", [difference])
        self._settings = Exposure(**{name: kept[name] if value is None else value for name, value in given.items()})
        focus = self._settings.focus_mode or self.options.focus
        read = {name: getattr(self._settings, name) for name in self._settings.__struct_fields__}
        is_set = Exposure(**(read | {"focus_mode": focus}))
        return CameraCondition(self._battery, left, focus_mode=focus, keeps_raw=bool(self.options.raw), settings=is_set)

    def _do_check(self) -> CameraCondition:
        self._check_alive()
        if self.options.by_hand and not self._outstanding and self._hand.random() < self.options.by_hand:
            self._put(f"{self._next_name()}.JPG", time.monotonic(), None)
        left = max(0, self.options.card - self._exposures) if self.options.card else None
        return CameraCondition(self._battery, left, focus_mode=self._settings.focus_mode or self.options.focus)

    def _do_disarm(self) -> None:
        """It holds no button."""

    def _do_preview(self) -> bytes:
        self.die_if_due()
        self._frames += 1
        comment = f"{self.info.serial} live view {self._frames}"
        if self.options.preview:
            try:
                return with_comment(Path(self.options.preview).read_bytes(), comment)
            except OSError as error:
                raise CameraFault(f"{self._url}: no live view: {error}") from None
        return simulated_preview_jpeg(abs(self._defocus), comment)

    def _do_focus(self, drive: Drive, step: int) -> str:
        self.die_if_due()
        if drive == "auto":
            self._defocus = 0.0
            return "autofocus has found its focus"
        self._defocus += step * (1.0 if drive == "farther" else -1.0)
        return f"{drive} by {step}"

    def _do_usb_reset(self) -> str:
        return self._climb("usb_reset", "after a reset of the simulated socket")

    def _do_power_cycle(self) -> str:
        return self._climb("power_cycle", "after a moment without power at the simulated socket")

    def _climb(self, rung: str, done: str) -> str:
        self._woken = True
        if _RUNGS.index(rung) >= _RUNGS.index(self.options.stuck_until or rung):
            self._stuck = False
        return done

    def die_if_due(self) -> None:
        """Raises CameraMissing when the camera was asked to be dead by now."""
        options = self.options
        if options.dead_after and self._exposures >= options.dead_after and not self._has_died:
            self._has_died = True
            if options.stuck_until:
                self._stuck = True
            else:
                self._died_at = time.monotonic()
        self._check_alive()

    def _released(self) -> None:
        self._exposures += 1
        self._outstanding = self._exposures
        options, draw = self.options, self._draw("photo")
        if draw.random() < options.drop:
            return
        source = None
        if options.photos:
            with suppress(OSError):  # without that picture the shutter opens and no photograph comes
                source = os.open(Path(options.photos) / f"{options.view}.jpg", os.O_RDONLY | os.O_CLOEXEC)
            if source is None:
                return
        due = time.monotonic() + options.download_ms / 1e3
        if draw.random() < options.tardy:
            due += options.tardy_s
        name = self._next_name()
        if options.raw:
            self._put(f"{name}.{options.raw.upper()}", due, None)
        photo = self._put(f"{name}.JPG", due, source)
        photo.announcements = 0 if draw.random() < options.unheard else 1 + (draw.random() < options.twice)
        photo.cuts = int(draw.random() < options.cut)
        if draw.random() < options.second_slot:
            copy = None if source is None else os.dup(source)
            self._put(f"{name}.JPG", due + 0.3, copy, _FOLDER.replace("1/", "2/", 1))

    def _next_name(self) -> str:
        self._number = self._number % 9999 + 1
        return f"SIM_{self._number:04d}"

    def _put(self, name: str, due: float, source: int | None, folder: str = _FOLDER) -> _OnCard:
        one = _OnCard(BodyFile(folder, name, epoch=self._epoch), due, self._exposures, source)
        self._card.append(one)
        while len(self._card) > _CARD_FILES:
            self._forget(self._card[0])
        return one

    def _do_listen(self, timeout_s: float) -> EventPoll:
        self._check_alive()
        waiting = [one for one in self._card if one.announcements > 0]
        if not waiting:
            return EventPoll()
        time.sleep(min(timeout_s, max(0.0, min(one.due for one in waiting) - time.monotonic())))
        self._check_alive()
        came = [one for one in waiting if one.due <= time.monotonic()]
        for one in came:
            one.announcements -= 1
        return EventPoll(tuple(one.file for one in came))

    def _do_search(self, fresh: bool) -> tuple[BodyFile, ...]:  # noqa: ARG002  (it has no memory but the card)
        self._check_alive()
        return tuple(replace(one.file, epoch=0) for one in self._card if one.due <= time.monotonic())

    def _do_read(self, file: BodyFile) -> bytes:
        self._check_alive()
        one = self._find(file)
        if not file.name.endswith(".JPG"):
            return self._read_raw(one.exposure)
        options, draw = self.options, random.Random(f"{self.options.seed}/{one.exposure}/damage")
        data = self._read_photo(one)
        if one.exposure == self._outstanding:
            self._outstanding = 0
        if one.cuts:
            one.cuts -= 1
            raise FileTruncated(f"{len(data) // 2} of {len(data)} bytes came", data[: len(data) // 2])
        if draw.random() < options.truncate:
            data = data[: len(data) // 2]
        if draw.random() < options.corrupt:
            middle = len(data) // 2
            data = data[:middle] + draw.randbytes(min(64, len(data) - middle)) + data[middle + 64 :]
        return data

    def _do_delete(self, file: BodyFile) -> bool:
        self._check_alive()
        self._forget(self._find(file))
        return True

    def _find(self, file: BodyFile) -> _OnCard:
        found = next((one for one in self._card if one.file.path == file.path), None)
        if found is None:
            raise FileGone(f"{self._url} has no {file.path}")
        return found

    def _forget(self, one: _OnCard) -> None:
        self._card.remove(one)
        if one.source is not None:
            os.close(one.source)

    def _read_raw(self, exposure: int) -> bytes:
        path = Path(self.options.photos or ".") / f"{self.options.view}.{self.options.raw}"
        if self.options.photos and path.is_file():
            return path.read_bytes()
        return built_in_raw(f"{self.info.serial} {exposure}")

    def _read_photo(self, one: _OnCard) -> bytes:
        if one.source is None:
            return built_in_photo(f"{self.info.serial} {one.exposure}")
        size = os.fstat(one.source).st_size
        return os.pread(one.source, size, 0)


def built_in_photo(comment: str) -> bytes:
    """A grey JPEG of 16 x 16 pixels with a comment that makes it unlike any other."""
    text = comment.encode()[:1000]
    segment = b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text
    return _GREY[:2] + segment + _GREY[2:]


def built_in_raw(comment: str) -> bytes:
    """A DNG of 16 x 16 grey pixels (TIFF 6.0, one strip, 8 bit; Adobe DNG 1.4) with a comment."""
    text = comment.encode()[:1000] + b"\0"
    text += bytes(max(0, 5 - len(text)))  # longer than what fits into its own entry
    entries = 11
    text_at = 8 + 2 + entries * 12 + 4
    pixels_at = text_at + len(text)
    short, long, ascii_, byte = 3, 4, 2, 1
    fields = [
        (254, long, 1, 0), (256, long, 1, 16), (257, long, 1, 16), (258, short, 1, 8), (259, short, 1, 1),
        (262, short, 1, 32803), (270, ascii_, len(text), text_at), (273, long, 1, pixels_at), (277, short, 1, 1),
        (279, long, 1, 256), (50706, byte, 4, 0x00000401),
    ]  # fmt: skip
    directory = b"".join(struct.pack("<HHII", *field) for field in fields)
    header = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", entries) + directory + bytes(4)
    return header + text + bytes([128]) * 256


_GREY = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19i"
    "Z2hnPk1xeXBkeFxlZ2P/wAALCAAQABABAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAI"
    "AQEAAD8AAP/Z"
)
