"""What a machine can run, found by trying it. Needs nothing but the standard library to look."""

import gc
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distributions, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from camera_nodes.camera_control.realtime import PRIORITY

NODE = {
    "zmq": "pyzmq",
    "msgspec": "msgspec",
    "gphoto2": "gphoto2",
    "gpiod": "gpiod",
    "pythonjsonlogger": "python-json-logger",
}
CONTROLLER = {
    "zmq": "pyzmq",
    "sqlalchemy": "sqlalchemy",
    "alembic": "alembic",
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "psutil": "psutil",
    "sacn": "sacn",
    "PIL": "pillow",
    "mediapipe": "mediapipe",
    "argon2": "argon2-cffi",
    "webauthn": "webauthn",
    "prometheus_client": "prometheus-client",
    "pythonjsonlogger": "python-json-logger",
}
FARM = {
    "numpy": "numpy",
    "scipy": "scipy",
    "torch": "torch",
    "cv2": "opencv-contrib-python",
    "open3d": "open3d",
    "mediapipe": "mediapipe",
    "anny": "anny",
    "qdldl": "qdldl",
    "distributed": "distributed",
    "pythonjsonlogger": "python-json-logger",
}
ROLES = {"node": NODE, "controller": CONTROLLER, "farm": FARM}
OPENCV_WHEELS = {
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
}


class SystemFinding(NamedTuple):
    state: Literal["ok", "note", "missing"]
    what: str
    found: str
    remedy: str = ""


def examine() -> list[SystemFinding]:
    """Everything worth knowing before a role is started here."""
    return [*_machine(), *_roles(), *_opencv(), *_device(), *_scheduling(), *_system_time(), *_chips(), *_bodies()]


def _machine() -> Iterator[SystemFinding]:
    fits = sys.version_info >= (3, 11)
    found = f"{platform.python_version()} on {platform.platform(terse=True)}"
    yield SystemFinding("ok" if fits else "missing", "Python", found, "" if fits else "install Python 3.11 or later")
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found = f"{os.cpu_count()} cores, {memory_gb:.0f} GB memory"
    enough = memory_gb >= 6
    remedy = "" if enough else "the demo and a reconstruction need 6 GB"
    yield SystemFinding("ok" if enough else "note", "Cores and memory", found, remedy)
    free_gb = shutil.disk_usage(Path.cwd()).free / 2**30
    remedy = "" if free_gb > 5 else "a session of 20 expressions takes about 15 GB at full size"
    yield SystemFinding("ok" if free_gb > 5 else "note", "Free disk here", f"{free_gb:.0f} GB", remedy)


def _roles() -> Iterator[SystemFinding]:
    for role, packages in ROLES.items():
        missing = [package for module, package in packages.items() if find_spec(module) is None]
        if missing:
            yield SystemFinding("missing", f"Role {role}", "lacks " + ", ".join(missing), f"pip install 'mien[{role}]'")
        else:
            yield SystemFinding("ok", f"Role {role}", ", ".join(f"{p} {_version(p)}" for p in packages.values()))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(no metadata)"


def _opencv() -> Iterator[SystemFinding]:
    wheels = sorted({str(d.metadata["Name"]).lower() for d in distributions()} & OPENCV_WHEELS)
    if len(wheels) > 1:
        remedy = f"pip uninstall {' '.join(wheels)}; pip install opencv-contrib-python"
        yield SystemFinding("missing", "One OpenCV wheel", "two share the folder cv2: " + ", ".join(wheels), remedy)
    elif wheels:
        yield SystemFinding("ok", "One OpenCV wheel", f"{wheels[0]} {_version(wheels[0])}")


def _device() -> Iterator[SystemFinding]:
    if find_spec("torch") is None:
        return
    import torch

    if torch.cuda.is_available():
        yield SystemFinding("ok", "GPU", torch.cuda.get_device_name(0))
    else:
        yield SystemFinding(
            "note", "GPU", "none; the farm computes on the CPU", "a torch build with CUDA and its driver"
        )


def _scheduling() -> Iterator[SystemFinding]:
    """Whether a node that is started like this may run its release in real time, undisturbed."""
    if not hasattr(os, "sched_setscheduler"):
        yield SystemFinding("note", "Real-time release", "not on this system", "Linux nodes can use SCHED_FIFO")
    else:
        wanted = f"SCHED_FIFO at priority {PRIORITY}"
        policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
        except PermissionError:
            remedy = f"the node's unit has LimitRTPRIO={PRIORITY}; else an rtprio line in /etc/security/limits.d"
            yield SystemFinding("note", "Real-time release", f"{wanted} is not permitted to this shell", remedy)
        else:
            os.sched_setscheduler(0, policy, parameter)
            yield SystemFinding("ok", "Real-time release", f"{wanted} is permitted to this shell")
    frozen = hasattr(gc, "freeze")
    found = "a node freezes what it has loaded, and collects nothing in the window" if frozen else "cannot be frozen"
    yield SystemFinding("ok" if frozen else "note", "Garbage collector", found, "" if frozen else "CPython can")


def _system_time() -> Iterator[SystemFinding]:
    """The programs that tell how good the system time is, for `system_time` in rig.toml."""
    programs = {"chronyc": "chrony", "pmc": "linuxptp"}
    there = [program for program in programs if shutil.which(program)]
    if there:
        yield SystemFinding("ok", "System time", f"{' and '.join(there)} can be asked")
    else:
        remedy = "only for system_time in rig.toml: " + " or ".join(f"{name} ({p})" for p, name in programs.items())
        yield SystemFinding("note", "System time", "neither chronyc nor pmc; pings keep the clocks", remedy)


def _chips(devices: Path = Path("/dev")) -> Iterator[SystemFinding]:
    """Lines for a wired release."""
    chips = sorted(devices.glob("gpiochip*"))
    closed = [chip.name for chip in chips if not os.access(chip, os.R_OK | os.W_OK)]
    if not chips:
        yield SystemFinding(
            "note", "GPIO chips", "none; a wired release needs one", "a Raspberry Pi, or a USB GPIO adapter"
        )
    elif closed:
        remedy = "deploy/udev/70-mien-cameras.rules, and the user in the group gpio"
        yield SystemFinding("note", "GPIO chips", f"this user may not open {', '.join(closed)}", remedy)
    else:
        yield SystemFinding("ok", "GPIO chips", ", ".join(str(chip) for chip in chips))


def _bodies() -> Iterator[SystemFinding]:
    """Camera bodies on this machine's USB."""
    if find_spec("gphoto2") is None:
        return
    cameras = [p for p in Path("/sys/bus/usb/devices").glob("*/bInterfaceClass") if p.read_text().strip() == "06"]
    sockets = ", ".join(sorted(f"port:{p.parent.name.partition(':')[0]}" for p in cameras))
    found = f"{len(cameras)} on USB: {sockets}" if cameras else "none on USB"
    remedy = "" if cameras else "simulated ones: mien node run --camera cam-00 --url 'sim:' ... (mien demo starts 68)"
    yield SystemFinding("ok" if cameras else "note", "Camera bodies", found, remedy)
