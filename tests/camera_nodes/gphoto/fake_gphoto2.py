"""A `gphoto2` module for tests: one body whose settings, files, events and failures a test decides.

`Module()` is used in place of the real module.  Calls are failed by name: `gp.fail("file_get", -7, times=2)`;
`gp.calls` says what was asked.  The body is wherever `gp.ports` says; its card is a dictionary of paths.
"""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

ERRORS = {
    "GP_ERROR": -1, "GP_ERROR_BAD_PARAMETERS": -2, "GP_ERROR_NO_MEMORY": -3, "GP_ERROR_UNKNOWN_PORT": -5,
    "GP_ERROR_NOT_SUPPORTED": -6, "GP_ERROR_IO": -7, "GP_ERROR_TIMEOUT": -10, "GP_ERROR_IO_INIT": -31,
    "GP_ERROR_IO_READ": -34, "GP_ERROR_IO_WRITE": -35, "GP_ERROR_IO_USB_FIND": -52, "GP_ERROR_IO_USB_CLAIM": -53,
    "GP_ERROR_IO_LOCK": -60, "GP_ERROR_CORRUPTED_DATA": -102, "GP_ERROR_MODEL_NOT_FOUND": -105,
    "GP_ERROR_DIRECTORY_NOT_FOUND": -107, "GP_ERROR_FILE_NOT_FOUND": -108, "GP_ERROR_CAMERA_BUSY": -110,
    "GP_ERROR_OS_FAILURE": -114, "GP_ERROR_NO_SPACE": -115,
}  # fmt: skip
DCIM = "/store_00010001/DCIM/100CANON"


class GPhoto2Error(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"[{code}] as the test wants it")
        self.code = code


class Widget:
    """A setting, as a copy that libgphoto2 gives."""

    def __init__(self, value: Any, choices: tuple[str, ...] = (), readonly: bool = False) -> None:
        self.value, self.choices, self.readonly = value, choices, readonly

    def get_value(self) -> Any:
        return self.value

    def set_value(self, value: Any) -> None:
        self.value = value

    def get_readonly(self) -> bool:
        return self.readonly

    def get_type(self) -> int:
        return 5 if self.choices else 2

    def count_choices(self) -> int:
        return len(self.choices)

    def get_choice(self, index: int) -> str:
        return self.choices[index]


class Module:
    """See the module's head.  `settings` name -> Widget; one that is not there is unsupported."""

    GP_WIDGET_RADIO, GP_WIDGET_MENU = 5, 6
    GP_EVENT_TIMEOUT, GP_EVENT_FILE_ADDED = 1, 2
    GP_FILE_TYPE_NORMAL = 1
    GP_STORAGEINFO_FREESPACEIMAGES = 128
    GP_FILE_INFO_SIZE = 4
    GPhoto2Error = GPhoto2Error

    def __init__(self, **settings: Widget) -> None:
        for name, code in ERRORS.items():
            setattr(self, name, code)
        self.ports = ["usb:001,004"]  # where bodies answer; the first is opened when no port is asked for
        self.calls: list[tuple[Any, ...]] = []
        self.settings = {
            "cameramodel": Widget("Test body"), "serialnumber": Widget("42", readonly=True),
            "iso": Widget("100", ("100", "200", "400")), "shutterspeed": Widget("1/60", ("1/60", "1/125")),
            "capturetarget": Widget("Internal RAM", ("Internal RAM", "Memory card")),
        } | settings  # fmt: skip
        self.settings_at_init: dict[str, str] = {}  # what a setting is again at each connection
        self.ignores: tuple[str, ...] = ()  # settings that are acknowledged, remembered by libgphoto2 and not taken
        self.steps: dict[str, list[str]] = {}  # what the next reads of a setting give
        self.stores: list[int] | None = [900]  # photographs that each card takes yet
        self.card: dict[str, bytes] = {}
        self.shorten: list[float] = []  # the next reads give this share of a file
        self.states_size = True
        self.events: list[tuple[str, str]] = []
        self.on_trigger: Callable[[], None] = lambda: None
        self.deletes = True
        self.hang_s: dict[str, float] = {}
        self._failures: dict[str, list[int]] = {}
        self._cache: dict[str, str] = {}
        self.opened: list[str] = []
        module = self

        class Bound(Camera):
            gp = module

        self.Camera = Bound
        self.PortInfoList = lambda: Listing(module.known_ports)
        self.CameraAbilitiesList = lambda: Models(module)

    @property
    def known_ports(self) -> list[str]:
        return [*self.ports, *(["ptpip:10.0.0.9"] if "ptpip:10.0.0.9" not in self.ports else []), "usb:009,009"]

    def fail(self, call: str, code: int, times: int = 1) -> None:
        self._failures.setdefault(call, []).extend([code] * times)

    def heal(self) -> None:
        self._failures.clear()

    def call(self, name: str, *arguments: Any) -> None:
        self.calls.append((name, *arguments))
        if seconds := self.hang_s.pop(name, 0.0):
            time.sleep(seconds)
        for key in (f"{name} {arguments[0]}" if arguments else name, name):
            if self._failures.get(key):
                raise GPhoto2Error(self._failures[key].pop(0))

    def count(self, name: str) -> int:
        return sum(one[0] == name for one in self.calls)

    def photograph(self, name: str, data: bytes, folder: str = DCIM) -> None:
        """A file on the card, and its event."""
        self.card[f"{folder}/{name}"] = data
        self.events.append((folder, name))

    def begin(self) -> None:
        """A connection: what libgphoto2 remembers is forgotten, and what the body resets is reset."""
        self._cache.clear()
        for name, value in self.settings_at_init.items():
            self.settings[name].value = value

    def read(self, name: str) -> Widget:
        there = self.settings.get(name)
        if there is None:
            raise GPhoto2Error(-2)
        value = self._cache.get(name, there.value)
        if self.steps.get(name):
            value = self.steps[name].pop(0)
        return Widget(value, there.choices, there.readonly)

    def write(self, name: str, value: str) -> None:
        if name in self.ignores:
            self._cache[name] = value
        else:
            self.settings[name].value = value


class Listing:
    def __init__(self, names: list[str]) -> None:
        self._names = names

    def load(self) -> None:
        pass

    def lookup_path(self, path: str) -> int:
        if path not in self._names:
            raise GPhoto2Error(-5)
        return self._names.index(path)

    lookup_model = lookup_path

    def __getitem__(self, index: int) -> Any:
        return SimpleNamespace(get_path=lambda: self._names[index], model=self._names[index])


class Models(Listing):
    """The models that libgphoto2 knows, and which of them are on the cable."""

    def __init__(self, module: Module) -> None:
        super().__init__(["PTP/IP Camera", "USB PTP Class Camera"])
        self._module = module

    def detect(self, _ports: Listing) -> list[tuple[str, str]]:
        return [(self._names[1], port) for port in self._module.ports if port.startswith("usb:")]


class Camera:
    """One connection.  Without abilities a network port is not looked at, as libgphoto2 does."""

    gp: Module

    def __init__(self) -> None:
        self._port = self._model = ""

    def set_abilities(self, abilities: Any) -> None:
        self._model = abilities.model

    def set_port_info(self, info: Any) -> None:
        self._port = info.get_path()

    def get_port_info(self) -> Any:
        return SimpleNamespace(get_path=lambda: self._port)

    def init(self) -> None:
        self.gp.call("init")
        if self._port.startswith("ptpip:") and not self._model:
            self._port = self.gp.ports[0]
        if self._port and self._port not in self.gp.ports:
            raise GPhoto2Error(-52)
        self._port = self._port or self.gp.ports[0]
        self.gp.opened.append(self._port)
        self.gp.begin()

    def exit(self) -> None:
        self.gp.calls.append(("exit",))

    def get_abilities(self) -> Any:
        return SimpleNamespace(model="By its abilities")

    def get_single_config(self, name: str) -> Widget:
        self.gp.call("get_single_config", name)
        return self.gp.read(name)

    def set_single_config(self, name: str, widget: Widget) -> None:
        self.gp.call("set_single_config", name)
        self.gp.write(name, widget.value)

    def get_storageinfo(self) -> list[Any]:
        self.gp.call("get_storageinfo")
        if self.gp.stores is None:
            raise GPhoto2Error(-6)
        return [SimpleNamespace(fields=128, freeimages=number) for number in self.gp.stores]

    def trigger_capture(self) -> None:
        self.gp.call("trigger_capture")
        self.gp.on_trigger()

    def capture_preview(self) -> Any:
        self.gp.call("capture_preview")
        return SimpleNamespace(get_data_and_size=lambda: b"\xff\xd8\xff\xd9")

    def wait_for_event(self, timeout_ms: int) -> tuple[int, Any]:
        self.gp.call("wait_for_event")
        if self.gp.events:
            folder, name = self.gp.events.pop(0)
            return 2, SimpleNamespace(folder=folder, name=name)
        time.sleep(timeout_ms / 1e3)
        return 1, None

    def _content(self, folder: str, name: str) -> bytes:
        found = self.gp.card.get(f"{folder.rstrip('/')}/{name}")
        if found is None:
            raise GPhoto2Error(-108)
        return found

    def file_get_info(self, folder: str, name: str) -> Any:
        self.gp.call("file_get_info", name)
        known = 0xFF if self.gp.states_size else 0
        return SimpleNamespace(file=SimpleNamespace(fields=known, size=len(self._content(folder, name))))

    def file_get(self, folder: str, name: str, _kind: int) -> Any:
        self.gp.call("file_get", name)
        data = self._content(folder, name)
        if self.gp.shorten:
            data = data[: int(len(data) * self.gp.shorten.pop(0))]
        return SimpleNamespace(get_data_and_size=lambda: data)

    def file_delete(self, folder: str, name: str) -> None:
        self.gp.call("file_delete", name)
        self._content(folder, name)
        if not self.gp.deletes:
            raise GPhoto2Error(-1)
        del self.gp.card[f"{folder}/{name}"]

    def folder_list_files(self, folder: str) -> list[tuple[str, str]]:
        self.gp.call("folder_list_files", folder)
        return [(p.rpartition("/")[2], "") for p in sorted(self.gp.card) if (p.rpartition("/")[0] or "/") == folder]

    def folder_list_folders(self, folder: str) -> list[tuple[str, str]]:
        self.gp.call("folder_list_folders", folder)
        base = folder.rstrip("/") + "/"
        found = {path[len(base) :].partition("/")[0] for path in self.gp.card if path.startswith(base)}
        return [(name, "") for name in sorted(found) if f"{base}{name}" not in self.gp.card]
