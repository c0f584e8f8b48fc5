"""All cameras of a computer from one command: each in a process of its own, and none in another's way."""

import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import until

from camera_nodes import curve_keys, wire
from camera_nodes.sim_camera import built_in_photo

# Nobody waits two seconds here.
SHORT = "import camera_nodes.node_supervisor as f; f._AGAIN_S = 0.2; {}import mien; mien.main()"
PATIENCE_S = 60.0


class Computer:
    """A folder of settings, and the command that serves it."""

    def __init__(self, studio: Any, folder: Path) -> None:
        self.studio = studio
        self.folder = folder
        self.nodes = folder / "nodes"
        self.nodes.mkdir()
        self.log = folder / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def add(self, name: str, url: str = "sim:lag_ms=5", **changes: object) -> Path:
        self.studio.allowed.add(name, curve_keys.ensure_keys(self.studio.keys_folder, name).public)
        given = {
            "camera": name, "url": url, "control": self.studio.control, "bulk": self.studio.bulk,
            "keys": str(self.studio.keys_folder), "spool": str(self.folder / "spool" / name), "min_free_mb": 1,
            "realtime": False, "max_late_ms": 1000.0,
        } | changes  # fmt: skip
        file = self.nodes / f"{name}.toml"
        file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in given.items()))
        return file

    def start(self, *sources: object, changes: str = "", **environment: str) -> None:
        command = [sys.executable, "-c", SHORT.format(changes), "node", "run", *map(str, sources or (self.nodes,))]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, env=os.environ | environment)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(600)

    def children(self) -> dict[str, int]:
        """Process by camera."""
        found = {}
        for pid in map(int, Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()):
            try:
                found[Path(f"/proc/{pid}/comm").read_text().strip()] = pid
            except OSError:
                continue  # it has ended meanwhile
        return found

    def until(self, holds: Callable[[], object], what: str) -> None:
        until(holds, lambda: f"{what}: in vain; {self.log.read_text()[-3000:]}", PATIENCE_S)

    def said(self, pattern: str) -> None:
        self.until(lambda: re.search(pattern, self.log.read_text()), pattern)

    @staticmethod
    def pending(pid: int) -> bool:
        """Whether SIGTERM waits for a stopped process."""
        return bool(int(Computer.status(pid)["ShdPnd"], 16) >> (signal.SIGTERM - 1) & 1)

    @staticmethod
    def status(pid: int) -> dict[str, str]:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return dict(line.split(":\t", 1) for line in lines if ":\t" in line)

    def hellos(self, camera: str) -> int:
        return sum(isinstance(m, wire.Hello) and m.camera == camera for _, m, _ in self.studio.seen)

    def heard(self, camera: str, count: int = 1) -> None:
        """Until the camera has been announced so many times."""
        self.studio.wait(wire.Hello, lambda hello: hello.camera == camera, count=count, timeout_s=PATIENCE_S)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def computer(studio: Any, tmp_path: Path) -> Iterator[Computer]:
    made = Computer(studio, tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        assert made.stop() == 0


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    pytest.importorskip("gphoto2", reason="the gphoto2 wheel is not installed")
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "0.jpg").write_bytes(built_in_photo("served"))
    return folder


def a_rig_of(count: int, computer: Computer, photos: Path) -> list[float]:
    """So many virtual PTP bodies, known and with a clock; megabytes a node."""
    names = [f"cam-{view:02d}" for view in range(count)]
    for name in names:
        computer.add(name, f"gphoto2:virtual?photos={photos}")
    computer.start()
    for name in names:
        hello = computer.studio.wait(
            wire.Hello, lambda h, name=name: h.camera == name and not h.fault, timeout_s=2 * PATIENCE_S
        )
        assert hello.model
    for name in names:
        computer.studio.wait(
            wire.Status,
            lambda s, name=name: s.camera == name and s.clock_uncertainty_ns is not None,
            timeout_s=PATIENCE_S,
        )
    children = computer.children()
    assert sorted(children) == names
    homes = {computer.folder / "spool" / f"{name}.gphoto" for name in names}
    assert all(home.is_dir() and home.stat().st_mode & 0o777 == 0o700 for home in homes)
    shares = []
    for pid in children.values():
        line = next(s for s in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if s.startswith("Pss:"))
        shares.append(int(line.split()[1]) / 1024)
    assert computer.stop() == 0
    assert all(gone(pid) for pid in children.values())
    return shares


def test_four_virtual_bodies_of_one_computer(computer: Computer, photos: Path) -> None:
    shares = a_rig_of(4, computer, photos)
    assert statistics.median(shares) < 18  # a process that loaded everything itself has 24


@pytest.mark.slow
def test_the_whole_rig_of_virtual_bodies_on_one_machine(computer: Computer, photos: Path) -> None:
    shares = a_rig_of(68, computer, photos)
    assert statistics.median(shares) < 14
    assert sum(shares) < 1000


def test_a_node_that_crashes_is_started_again_and_its_neighbours_stay(computer: Computer) -> None:
    for name in ("cam-00", "cam-01", "cam-02"):
        computer.add(name)
    computer.start()
    for name in ("cam-00", "cam-01", "cam-02"):
        computer.heard(name)
    before = computer.children()
    os.kill(before["cam-01"], signal.SIGKILL)
    computer.heard("cam-01", count=2)
    after = computer.children()
    assert after["cam-01"] != before["cam-01"]
    assert {name: pid for name, pid in after.items() if name != "cam-01"} == {
        name: pid for name, pid in before.items() if name != "cam-01"
    }
    assert "cam-01: its node has ended (by SIGKILL)" in computer.log.read_text()
    assert all(computer.hellos(name) == 1 for name in ("cam-00", "cam-02"))


def test_a_node_that_hangs_is_killed_and_started_again(computer: Computer) -> None:
    for name in ("cam-00", "cam-01"):
        computer.add(name)
    computer.start(changes="f._ALIVE_S = 3.0; ")
    for name in ("cam-00", "cam-01"):
        computer.heard(name)
    before = computer.children()
    os.kill(before["cam-00"], signal.SIGSTOP)
    computer.said("cam-00: its node has not been heard for 3 s and is killed")
    computer.heard("cam-00", count=2)
    assert computer.children()["cam-01"] == before["cam-01"]


def test_a_wrong_file_keeps_no_other_camera_from_running(computer: Computer) -> None:
    computer.add("cam-00")
    wrong = computer.nodes / "cam-01.toml"
    wrong.write_text('camera = "cam-01"\nbluk = 1\n')
    computer.start()
    computer.heard("cam-00")
    computer.said(r"cam-01\.toml: .*unknown key 'bluk'; did you mean 'bulk'")
    computer.add("cam-01")  # mended, and nobody told: it is tried again
    computer.heard("cam-01")
    pid = computer.children()["cam-00"]
    computer.add("cam-02")
    computer.add("cam-01", lag_ms=58.0)
    os.kill(computer.pid, signal.SIGUSR1)
    computer.heard("cam-02")
    computer.studio.wait(wire.Hello, lambda h: h.camera == "cam-01" and h.lag_ns == 58_000_000, timeout_s=PATIENCE_S)
    (computer.nodes / "cam-02.toml").unlink()
    os.kill(computer.pid, signal.SIGUSR1)
    computer.until(lambda: sorted(computer.children()) == ["cam-00", "cam-01"], "cam-02 ends")
    assert computer.children()["cam-00"] == pid
    assert computer.hellos("cam-00") == 1


def test_two_files_do_not_serve_one_camera_or_share_a_spool(computer: Computer) -> None:
    first = computer.add("cam-00")
    (computer.nodes / "cam-09.toml").write_text(first.read_text())
    computer.add("cam-01", spool=str(computer.folder / "spool" / "cam-00"))
    computer.start()
    computer.heard("cam-00")
    computer.said(r"cam-09\.toml: the camera cam-00 is that of .*cam-00\.toml")
    computer.said(r"cam-01\.toml: the spool .* is that of .*cam-00\.toml: each has its own")
    assert sorted(computer.children()) == ["cam-00"]


@pytest.mark.parametrize("text", ["", 'camera = "cam-00"\nurl = "sim:"\n'])
def test_when_no_file_is_good_the_command_says_so(computer: Computer, text: str) -> None:
    if text:
        (computer.nodes / "cam-00.toml").write_text(text)
    computer.start()
    assert computer.process is not None
    assert computer.process.wait(600) == 2
    told = computer.log.read_text()
    assert ("missing control, bulk" if text else "no settings of a node (*.toml) in") in told
    assert "Traceback" not in told


def test_flags_of_one_camera_are_refused_for_several(computer: Computer) -> None:
    files = [computer.add("cam-00"), computer.add("cam-01")]
    computer.start(*files, "--url", "sim:")
    assert computer.process is not None
    assert computer.process.wait(600) == 2
    assert "--url is one camera's" in computer.log.read_text()


def test_nodes_end_when_what_started_them_is_killed(computer: Computer) -> None:
    files = [computer.add("cam-00"), computer.add("cam-01")]
    computer.start(*files)
    for name in ("cam-00", "cam-01"):
        computer.heard(name)
    children = computer.children()
    assert computer.process is not None
    computer.process.kill()
    computer.process.wait(600)
    computer.until(lambda: all(gone(pid) for pid in children.values()), "the nodes end")


def test_ctrl_c_ends_them_all_in_order(computer: Computer) -> None:
    """A terminal sends SIGINT to the whole group."""
    for name in ("cam-00", "cam-01"):
        computer.add(name)
    command = [sys.executable, "-c", SHORT.format(""), "node", "run", str(computer.nodes)]
    with computer.log.open("ab") as log:
        computer.process = subprocess.Popen(command, stderr=log, start_new_session=True)
    for name in ("cam-00", "cam-01"):
        computer.heard(name)
    os.killpg(computer.pid, signal.SIGINT)
    assert computer.process.wait(600) == 0
    told = computer.log.read_text()
    assert "Traceback" not in told
    assert told.count("0 photographs in the spool") == 4  # each said so at its start and at its end


def test_a_node_that_hangs_keeps_the_computer_from_nothing(computer: Computer) -> None:
    for name in ("cam-00", "cam-01"):
        computer.add(name)
    computer.start(changes="f._STOP_S = 1.0; ")
    for name in ("cam-00", "cam-01"):
        computer.heard(name)
    children = computer.children()
    os.kill(children["cam-01"], signal.SIGSTOP)
    assert computer.stop() == 0
    assert all(gone(pid) for pid in children.values())
    told = computer.log.read_text()
    assert "cam-01: its node does not end and is killed" in told
    assert "cam-00: stopped" in told


def test_a_file_that_is_back_before_its_node_has_ended_is_served(computer: Computer) -> None:
    computer.add("cam-00")
    file = computer.add("cam-01")
    computer.start(changes="f._ALIVE_S = 60.0; ")
    computer.heard("cam-01")
    stopped, text = computer.children()["cam-01"], file.read_text()
    os.kill(stopped, signal.SIGSTOP)  # so that it does not end until it is let go
    computer.until(lambda: computer.status(stopped)["State"].startswith("T"), "cam-01 stands still")
    file.unlink()
    os.kill(computer.pid, signal.SIGUSR1)
    computer.until(lambda: computer.pending(stopped), "cam-01 is told to end")
    file.write_text(text)
    os.kill(computer.pid, signal.SIGUSR1)
    computer.add("cam-02")
    os.kill(computer.pid, signal.SIGUSR1)
    computer.heard("cam-02")
    os.kill(stopped, signal.SIGCONT)
    computer.heard("cam-01", count=2)


def test_systemd_hears_from_the_computer_as_a_whole(computer: Computer) -> None:
    for name in ("cam-00", "cam-01"):
        computer.add(name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(computer.folder / "notify"))
        manager.settimeout(PATIENCE_S)
        computer.start(NOTIFY_SOCKET=str(computer.folder / "notify"), WATCHDOG_USEC="900000")
        first = [manager.recv(200)]
        while not first[-1].startswith(b"READY"):
            first.append(manager.recv(200))
        assert set(first) - {b"WATCHDOG=1"} == {b"READY=1\nSTATUS=2 of 2 nodes"}
        assert {manager.recv(200) for _ in range(4)} == {b"WATCHDOG=1"}  # nothing by the nodes themselves
        assert sorted(computer.children()) == ["cam-00", "cam-01"]
        assert computer.stop() == 0
        words = set()
        while b"STOPPING=1" not in words:
            words.add(manager.recv(200))
        assert words <= {b"WATCHDOG=1", b"STOPPING=1"}
