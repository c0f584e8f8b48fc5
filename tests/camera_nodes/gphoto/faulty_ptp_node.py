"""A node with the real virtual PTP camera, whose cable and body a test can trouble: run as a process of its own.

argv: FOLDER, then the arguments of `mien node run`.  While FOLDER has a file of that name, the camera's calls fail as
libgphoto2 fails them: `unplugged` (-52, every call), `busy` (-110, settings and release).  `raw`: with each photograph
the body reports a raw file of the same stem; its bytes lie in the served folder as 0.nef.  `burn`: so many photographs
are taken on the connection before the first arming.
"""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FOLDER = Path(sys.argv[1])
os.environ["VCAMERADIR"] = str(FOLDER.parent / "photos")  # libgphoto2 looks at it once, when it is loaded

import gphoto2  # noqa: E402

from camera_nodes import gphoto_camera  # noqa: E402
from camera_nodes.commands.node import app  # noqa: E402
from camera_nodes.gphoto_camera import GphotoCamera  # noqa: E402

TAKING = ("trigger_capture", "set_single_config")


class Camera:
    """gphoto2's camera with a bad cable."""

    def __init__(self) -> None:
        self._camera = gphoto2.Camera()
        self._reported: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        there = getattr(self._camera, name)

        def call(*arguments: Any) -> Any:
            if (FOLDER / "unplugged").exists():
                raise gphoto2.GPhoto2Error(gphoto2.GP_ERROR_IO_USB_FIND)
            if (FOLDER / "busy").exists() and name in TAKING:
                raise gphoto2.GPhoto2Error(gphoto2.GP_ERROR_CAMERA_BUSY)
            if name == "wait_for_event" and (FOLDER / "raw").exists():
                return self._event(*arguments)
            if name in ("file_get", "file_get_info") and arguments[1].endswith(".NEF"):
                content = (FOLDER.parent / "photos" / "0.nef").read_bytes()
                about = SimpleNamespace(fields=gphoto2.GP_FILE_INFO_SIZE, size=len(content))
                return SimpleNamespace(get_data_and_size=lambda: content, file=about)
            if name == "get_single_config" and arguments == ("imagequality",) and (FOLDER / "raw").exists():
                return Widget("NEF+Fine")
            return there(*arguments)

        return call

    def _event(self, timeout_ms: int) -> Any:
        if self._reported:
            return gphoto2.GP_EVENT_FILE_ADDED, self._reported.pop()
        kind, data = self._camera.wait_for_event(timeout_ms)
        if kind == gphoto2.GP_EVENT_FILE_ADDED:
            stem = data.name.rpartition(".")[0]
            self._reported.append(SimpleNamespace(folder=data.folder, name=f"{stem}.NEF"))
        return kind, data


class Widget:
    def __init__(self, value: str) -> None:
        self._value = value

    def get_value(self) -> str:
        return self._value


class Gphoto2:
    Camera = Camera

    def __getattr__(self, name: str) -> Any:
        return getattr(gphoto2, name)


real_import = gphoto_camera._import_gphoto2
real_open = GphotoCamera._do_open


def import_faulty(photos: str | None, url: str) -> Any:
    real_import(photos, url)
    return Gphoto2()


def open_and_burn(self: GphotoCamera) -> Any:
    info = real_open(self)
    burn = FOLDER / "burn"
    if burn.exists():
        for _ in range(int(burn.read_text())):
            self._connection.once("trigger_capture")
            self._taken += 1
            while not self._do_listen(0.1).files:
                pass
        burn.unlink()
    return info


gphoto_camera._import_gphoto2 = import_faulty
GphotoCamera._do_open = open_and_burn  # type: ignore[method-assign]
sys.argv[1:] = sys.argv[2:]
app()
