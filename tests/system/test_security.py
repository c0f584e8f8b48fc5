"""What the studio's processes show to a network: no word in plaintext, nobody unknown, no key that others can read."""

import json
import os
import re
import socket
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq
from patience import Patience, run_patiently

from camera_nodes import wire
from camera_nodes.curve_keys import AllowList, make_keys
from camera_nodes.transport import connect_dealer
from controller.rig_file import CameraEntry, Rig, format_rig

MIEN = [sys.executable, "-c", "import mien; mien.main()"]
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00"  # ZMTP 3.0, then the mechanism's name in 20 bytes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Processes:
    """`mien studio serve` and one `mien node run`, as an operator starts them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        self.home.mkdir(parents=True)
        rig = Rig("safe", (CameraEntry("cam-00", 0),))
        (self.home / "rig.toml").write_text(format_rig(rig))
        self.port = free_port()
        (self.home / "studio.toml").write_text(
            '[studio]\ncontrol = "tcp://127.0.0.1:*"\nbulk = "tcp://127.0.0.1:*"\n' + f"console_port = {self.port}\n"
        )
        self.started: list[subprocess.Popen[bytes]] = []
        self.studio = self.start("studio", "studio", "serve", "--home", str(self.home))
        self.until(lambda: (self.home / "console.json").exists() and "Console" in self.log("studio"))
        found = re.search(r"Nodes connect to +(\S+) and (\S+)", self.log("studio"))
        assert found is not None
        self.control, self.bulk = found.groups()
        keys = make_keys(folder / "node" / "keys", "cam-00")
        AllowList(self.home / "keys").add("cam-00", keys.public)
        (folder / "node" / "keys" / "controller.pub").write_text((self.home / "keys" / "controller.pub").read_text())
        self.node = self.start("node", *self.node_command())
        self.until(lambda: "idle" in json.dumps(self.ask("/api/rig")))

    def node_command(self) -> list[str]:
        place = ["--keys", str(self.folder / "node" / "keys"), "--spool", str(self.folder / "node" / "spool")]
        return [
            "node", "run", "--camera", "cam-00", "--url", "sim:", "--control", self.control, "--bulk", self.bulk, *place
        ]  # fmt: skip

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen([*MIEN, *command], stdout=log, stderr=log)
        self.started.append(process)
        return process

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def ask(self, path: str) -> Any:
        token = json.loads((self.home / "console.json").read_text())["token"]
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def until(self, condition: Callable[[], object]) -> None:
        patience = Patience(90)
        while not condition():
            assert patience.sleep(0.1), "did not come to pass"
            assert all(process.poll() is None for process in self.started), self.log("studio")

    def stop(self) -> None:
        for process in self.started:
            process.terminate()
        for process in self.started:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    made = None
    try:
        made = Processes(tmp_path_factory.mktemp("security"))
        yield made
    finally:
        if made is not None:
            made.stop()


def listening(process: subprocess.Popen[bytes]) -> list[tuple[str, int]]:
    """Every socket on which the process or a child of it takes what comes: TCP that listens, UDP that is bound."""
    whole = psutil.Process(process.pid)
    return sorted(
        {
            (connection.laddr.ip, connection.laddr.port)
            for each in [whole, *whole.children(recursive=True)]
            for connection in each.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
            or (connection.type == socket.SOCK_DGRAM and not connection.raddr)
        }
    )


def speak(port: int, data: bytes) -> bytes:
    """What a raw TCP client hears when it says `data`, until it is hung up on or nothing more comes."""
    heard = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        raw.sendall(data)
        raw.settimeout(1.0)
        try:
            while part := raw.recv(4096):
                heard += part
        except OSError:
            pass
    return heard


def test_every_listening_socket_is_encrypted_or_the_console_on_loopback(running: Processes) -> None:
    ports = {int(endpoint.rpartition(":")[2]) for endpoint in (running.control, running.bulk)}
    found = listening(running.studio)
    assert {port for _, port in found} == ports | {running.port}
    assert ("127.0.0.1", running.port) in found
    for port in ports:
        assert speak(port, GREETING)[12:32].rstrip(b"\0") == b"CURVE"
        plain = GREETING + b"NULL".ljust(20, b"\0") + bytes(32)
        ready = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
        heard = speak(port, plain + ready + b"\x00\x05hello")
        assert len(heard) <= 64  # its greeting at most, and not a word more


def test_a_node_listens_to_nobody(running: Processes) -> None:
    assert listening(running.node) == []


def test_the_console_tells_nothing_without_its_token(running: Processes) -> None:
    assert stat.S_IMODE((running.home / "console.json").stat().st_mode) == 0o600
    for path in ("/api/rig", "/api/sessions/open"):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(f"http://127.0.0.1:{running.port}{path}", timeout=30)
        assert refusal.value.code in (401, 403)
        refusal.value.close()


def test_an_unknown_key_is_refused_and_named_in_the_log(running: Processes, tmp_path: Path) -> None:
    stranger = make_keys(tmp_path / "keys", "stranger")
    controller = (running.home / "keys" / "controller.pub").read_text().strip()
    context: zmq.Context[Any] = zmq.Context()
    dealer = connect_dealer(context, running.control, stranger, controller, limit=wire.CONTROL_LIMIT)
    running.until(lambda: stranger.public in running.log("studio"))
    assert not dealer.poll(100, zmq.POLLOUT)
    assert "unknown key" in running.log("studio")
    dealer.close()
    context.term()


def test_rubbish_on_the_ports_stops_nothing(running: Processes) -> None:
    for endpoint in (running.control, running.bulk):
        port = int(endpoint.rpartition(":")[2])
        for data in (
            b"GET / HTTP/1.1\r\n\r\n",
            os.urandom(2000),
            GREETING + b"CURVE".ljust(20, b"\0") + os.urandom(400),
        ):
            speak(port, data)
    running.until(lambda: "idle" in json.dumps(running.ask("/api/rig")))


@pytest.mark.parametrize("who", ["studio", "node"])
def test_a_key_that_others_can_read_is_refused_with_what_to_do(running: Processes, tmp_path: Path, who: str) -> None:
    keys = tmp_path / "keys"
    make_keys(keys, "controller" if who == "studio" else "cam-00")
    (keys / f"{'controller' if who == 'studio' else 'cam-00'}.key").chmod(0o640)
    if who == "studio":
        (tmp_path / "rig.toml").write_text((running.home / "rig.toml").read_text())
        command = ["studio", "serve", "--home", str(tmp_path), "--port", str(free_port())]
    else:
        command = [*running.node_command(), "--keys", str(keys)]
    done = run_patiently([*MIEN, *command])
    assert done.returncode == 3, done.stderr
    assert "chmod 600" in done.stderr
