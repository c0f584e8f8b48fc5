"""Places: which cameras share a computer or a USB hub, and what these are called."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from common.computer import computer_name
from common.terminal.phrases import listed
from controller.readiness.studio_view import CameraView

SHOWN = 6  # cameras by name in a line; the rest is counted
_PORT = re.compile(r"port:(\d+-\d+(?:\.\d+)*)\.\d+$")  # of a socket behind a hub: the hub's own port


def computer_of(disk: str, node: str) -> str:
    """Names the computer of a node: by what it tells of its disk (see wire.Hello), else by the key that it holds."""
    return disk.rpartition(":")[0] or (f"{node}/" if node else "")


def hub_of(url: str) -> str:
    """The USB hub of an address as in "gphoto2:port:1-1.4"; "" for one that names none."""
    found = _PORT.search(url)
    return found.group(1) if found else ""


@dataclass(frozen=True)
class Places:
    """The computers and hubs of a rig's cameras, as far as they were announced."""

    computers: dict[str, tuple[CameraView, ...]]  # by computer_of
    hubs: dict[tuple[str, str], tuple[CameraView, ...]]  # by computer and hub
    here: str  # the studio's own computer

    def name(self, computer: str) -> str:
        """ "pi-05"; with one of its cameras where several computers have the same name, by its cameras without one."""
        cameras = self.computers.get(computer, ())
        name = computer_name(computer)
        keys = {camera.node for camera in cameras}
        if not name and len(keys) == 1 and len(cameras) > 1:
            name = next(iter(keys))
        if not name:
            return f"the computer of {names(cameras)}"
        twins = [other for other in self.computers if computer_name(other) == name]
        return f"{name} ({cameras[0].name} ...)" if len(twins) > 1 and cameras else name

    def known_as(self, computer: str) -> str:
        """ "this computer" for the studio's own, else its name."""
        return "this computer" if computer and computer == self.here else self.name(computer)


def places_of(cameras: Iterable[CameraView], here: str) -> Places:
    """The places of these cameras."""
    computers: dict[str, list[CameraView]] = defaultdict(list)
    hubs: dict[tuple[str, str], list[CameraView]] = defaultdict(list)
    for camera in cameras:
        if camera.computer:
            computers[camera.computer].append(camera)
            if hub := hub_of(camera.url):
                hubs[camera.computer, hub].append(camera)
    return Places(
        {key: tuple(found) for key, found in computers.items()},
        {key: tuple(found) for key, found in hubs.items()},
        here,
    )


def names(cameras: Sequence[CameraView] | Sequence[str]) -> str:
    """ "cam-01, cam-02 and 3 more" """
    return listed([camera if isinstance(camera, str) else camera.name for camera in cameras], SHOWN)


def count(number: int, what: str = "camera") -> str:
    """ "1 camera", "4 cameras" """
    return f"{number} {what}{'' if number == 1 else 's'}"


def some(cameras: Sequence[str], what: str = "camera") -> str:
    """ "cam-07" for one, "4 cameras" for several: for the bar."""
    return cameras[0] if len(cameras) == 1 else count(len(cameras), what)
