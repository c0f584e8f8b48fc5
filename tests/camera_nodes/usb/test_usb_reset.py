"""One USB socket is reset or its power switched, and no other; what cannot be done is said, and nothing is tried.

No hardware: a folder stands in for sysfs, another for the device files, and a script on PATH for uhubctl.
"""

import os
import re
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera_nodes import wire
from camera_nodes.backends import make_camera
from camera_nodes.camera_control.recovery import recover_camera
from camera_nodes.errors import CameraFault, CameraMissing, NotPossible
from camera_nodes.usb import reset as usb_reset
from camera_nodes.usb.reset import USBDEVFS_RESET, UsbTree, hub_and_port, power_cycle, reset

# What uhubctl 2.6 prints for `-l HUB -p PORT -a cycle`, by its README and source; options as its manual page has them.
UHUBCTL = """#!/bin/sh
echo "$@" >> {folder}/calls
while [ $# -gt 0 ]; do
  case "$1" in
    -l) hub=$2; shift 2;; -p) port=$2; shift 2;; -a) action=$2; shift 2;; -d) delay=$2; shift 2;;
    *) echo "Invalid command line syntax!" >&2; exit 1;;
  esac
done
case "{mode}" in
  ganged) echo "No compatible devices detected at location $hub!" >&2
          echo "Run with -h to get usage info." >&2; exit 1;;
  denied) echo "There were permission problems while accessing USB." >&2
          echo "Follow https://git.io/JIB2Z for a fix!" >&2
          echo "No compatible devices detected at location $hub!" >&2; exit 1;;
  broken) echo "Error initializing USB!" >&2; exit 1;;
  silent) echo "Current status for hub $hub"; exit 0;;
  old) echo "Failed to set port status by writing to /sys/bus/usb/devices/$hub:1.0 (Read-only file system)." >&2
       echo "Falling back to libusb based port control." >&2;;
esac
[ "$action" = cycle ] || exit 1
echo "Current status for hub $hub [2109:2817 VIA Labs, Inc. USB2.0 Hub, USB 2.10, 4 ports, ppps]"
echo "  Port $port: 0503 power highspeed enable connect [04a9:3294 Canon Inc. Canon Digital Camera]"
echo "Sent power off request"
echo "New status for hub $hub [2109:2817 VIA Labs, Inc. USB2.0 Hub, USB 2.10, 4 ports, ppps]"
echo "  Port $port: 0000 off"
echo "Sent power on request"
echo "  Port $port: 0100 power"
"""


class Machine:
    """A USB tree of two cameras on the hub 1-1, a hub behind it, and what was asked of the kernel."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, int]] = []
        self.refusal: OSError | None = None
        for name, device, kind in (("1-1", 2, "09"), ("1-1.2", 4, "00"), ("1-1.3", 7, "00"), ("1-1.4", 9, "09")):
            place = folder / "sysfs" / name
            place.mkdir(parents=True)
            (place / "busnum").write_text("1\n")
            (place / "devnum").write_text(f"{device}\n")
            (place / "bDeviceClass").write_text(f"{kind}\n")
            node = folder / "devfs" / "001" / f"{device:03d}"
            node.parent.mkdir(parents=True, exist_ok=True)
            node.touch()
        self.tree = UsbTree(folder / "sysfs", folder / "devfs", folder / "model", self._ioctl)

    def _ioctl(self, descriptor: int, request: int, argument: int) -> int:
        assert argument == 0
        if self.refusal is not None:
            raise self.refusal
        self.asked.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, request))
        return 0

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def uhubctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a stand-in on PATH that behaves in one of the documented ways."""

    def install(mode: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        script = folder / "uhubctl"
        script.write_text(UHUBCTL.format(folder=tmp_path, mode=mode))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return install


def test_the_kernels_number_is_that_of_its_header() -> None:
    assert USBDEVFS_RESET == 0x5514  # linux/usbdevice_fs.h: _IO('U', 20)


@pytest.mark.parametrize("port", ["port:1-1.2", "usb:001,004"])
def test_the_device_in_that_socket_is_reset_and_no_other(machine: Machine, port: str) -> None:
    assert "1-1.2" in reset(port, machine.tree)
    assert machine.asked == [("004", USBDEVFS_RESET)]


@pytest.mark.parametrize(
    ("port", "error", "says"),
    [
        ("port:1-1.1", CameraMissing, "nothing answers at USB socket 1-1.1"),
        ("port:1-1.4", NotPossible, "a hub is plugged in at 1-1.4"),
        ("usb:001,002", NotPossible, "a hub is plugged in at 1-1"),
        ("usb:001,044", CameraFault, "cannot be opened: No such file"),
        ("", NotPossible, "names no USB socket"),
        ("ptpip:10.0.0.7", NotPossible, "names no USB socket"),
    ],
)
def test_what_cannot_be_reset_is_said_and_left_alone(
    machine: Machine, port: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=re.escape(says)):
        reset(port, machine.tree)
    assert machine.asked == []


def test_a_refusal_of_the_kernel_is_told(machine: Machine) -> None:
    machine.refusal = OSError(19, "No such device")
    with pytest.raises(CameraFault, match=r"could not reset 1-1\.2.*No such device"):
        reset("port:1-1.2", machine.tree)


@pytest.mark.parametrize("mode", ["good", "old"])
def test_the_power_of_that_socket_alone_is_switched(
    machine: Machine, uhubctl: Callable[[str], None], mode: str
) -> None:
    uhubctl(mode)
    assert "without power at socket 2 of hub 1-1" in power_cycle("port:1-1.2", machine.tree)
    assert machine.calls() == [f"-l 1-1 -p 2 -a cycle -d {usb_reset.OFF_S}"]


def test_an_empty_socket_is_switched_too(machine: Machine, uhubctl: Callable[[str], None]) -> None:
    """A body that has hung itself off the bus is what power is for."""
    uhubctl("good")
    power_cycle("port:1-1.1", machine.tree)
    assert machine.calls()[0].startswith("-l 1-1 -p 1 ")


@pytest.mark.parametrize(
    ("mode", "error", "says"),
    [
        ("ganged", NotPossible, "hub 1-1 does not switch the power of a single socket"),
        ("denied", NotPossible, "may not switch it: see the udev rules"),
        ("broken", CameraFault, "uhubctl failed (1): Error initializing USB!"),
        ("silent", CameraFault, "did not switch socket 2"),
    ],
)
def test_what_uhubctl_refuses_is_said(
    machine: Machine, uhubctl: Callable[[str], None], mode: str, error: type[Exception], says: str
) -> None:
    uhubctl(mode)
    with pytest.raises(error, match=re.escape(says)):
        power_cycle("port:1-1.2", machine.tree)


def test_without_uhubctl_it_is_said_how_to_get_it(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(machine.folder / "nothing"))
    with pytest.raises(NotPossible, match="apt install uhubctl"):
        power_cycle("port:1-1.2", machine.tree)


@pytest.mark.parametrize(
    ("port", "says"),
    [
        ("usb:001,004", "names no USB socket"),
        ("", "names no USB socket"),
        ("ptpip:10.0.0.7", "names no USB socket"),
        ("port:1-1.4", "a hub is plugged in"),
        ("port:1-1.10", "up to 9 alone"),
    ],
)
def test_what_has_no_power_of_its_own_is_not_switched(
    machine: Machine, uhubctl: Callable[[str], None], port: str, says: str
) -> None:
    uhubctl("good")
    with pytest.raises(NotPossible, match=re.escape(says)):
        power_cycle(port, machine.tree)
    assert machine.calls() == []


@pytest.mark.parametrize(
    ("model", "port", "shared"),
    [
        ("Raspberry Pi 4 Model B Rev 1.4", "port:1-1.2", True),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", "port:1-1.2", True),
        ("Raspberry Pi 5 Model B Rev 1.0", "port:3-2", True),
        ("Raspberry Pi 5 Model B Rev 1.0", "port:1-1.2", False),
        ("Raspberry Pi 4 Model B Rev 1.4", "port:1-1.3.2", False),
    ],
)
def test_neighbours_on_a_raspberry_pis_one_switch_keep_their_power(
    machine: Machine, uhubctl: Callable[[str], None], model: str, port: str, shared: bool
) -> None:
    uhubctl("good")
    (machine.folder / "model").write_text(model + "\0")
    if shared:
        with pytest.raises(NotPossible, match="share one power switch"):
            power_cycle(port, machine.tree)
        assert machine.calls() == []
    else:
        power_cycle(port, machine.tree)
        assert len(machine.calls()) == 1


@given(st.integers(1, 20), st.lists(st.integers(1, 15), min_size=1, max_size=6))
def test_hub_and_socket_put_together_are_the_sockets_name(bus: int, path: list[int]) -> None:
    name = f"{bus}-" + ".".join(map(str, path))
    hub, port = hub_and_port(name)
    assert port == str(path[-1])
    assert name == (f"{hub}.{port}" if "-" in hub else f"{hub}-{port}")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("gphoto2:ptpip:10.0.0.7", "reached over the network: it can be reopened, no more"),
        ("gphoto2:virtual", "played by this computer"),
    ],
)
def test_bodies_without_a_socket_can_be_reopened_alone(url: str, says: str) -> None:
    camera = make_camera(url)
    for rung in (camera.usb_reset, camera.power_cycle):
        with pytest.raises(NotPossible, match=says):
            rung()


@pytest.mark.slow
def test_a_bodys_ladder_reaches_the_socket_of_its_address_alone(tmp_path: Path, uhubctl: Callable[[str], None]) -> None:
    """A socket that this computer surely lacks, so the body stays away and every rung is tried, the last at its hub."""
    pytest.importorskip("gphoto2", reason="the gphoto2 wheel is not installed")
    uhubctl("good")
    told: list[tuple[str, str, str]] = []
    camera = make_camera("gphoto2:port:99-9.9")
    rungs: tuple[wire.Rung, ...] = ("reopen", "usb_reset", "power_cycle")
    assert not recover_camera(camera, rungs, lambda *step: told.append(step), threading.Event(), lambda _rung: 0.0)
    assert [(rung, outcome) for rung, outcome, _ in told] == [
        step for rung in rungs for step in ((rung, "begun"), (rung, "failed"))
    ]
    assert (tmp_path / "calls").read_text() == f"-l 99-9 -p 9 -a cycle -d {usb_reset.OFF_S}\n"
    assert told[-1][2].startswith("after 3 s without power at socket 9 of hub 99-9; nothing answers at USB socket")
