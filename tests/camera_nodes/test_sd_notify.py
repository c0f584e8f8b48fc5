"""systemd hears from a node: up once, alive for as long as its loop turns, also without camera and controller."""

import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from camera_nodes.curve_keys import ensure_keys
from camera_nodes.errors import CameraMissing
from camera_nodes.sd_notify import Service
from camera_nodes.usb.port import address_of, is_socket


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.settimeout(60)
        yield end


def test_without_systemd_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    service = Service()
    service.ready("x")
    service.alive()
    assert service.wait_s() == math.inf


def test_alive_is_said_at_a_third_of_the_watchdogs_time(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    monkeypatch.setenv("WATCHDOG_USEC", "90000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    service = Service()
    assert "NOTIFY_SOCKET" not in os.environ
    service.ready("cam-07")
    assert manager.recv(200) == b"READY=1\nSTATUS=cam-07"
    assert manager.recv(200) == b"WATCHDOG=1"
    for _ in range(1000):
        service.alive()
    assert 25 < service.wait_s() <= 30
    service.stopping()
    assert manager.recv(200) == b"STOPPING=1"  # a thousand calls said nothing


def test_another_processs_watchdog_is_not_fed(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.getsockname())
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert Service().wait_s() == math.inf


def test_a_node_without_camera_and_controller_is_up_and_alive(manager: socket.socket, tmp_path: Path) -> None:
    ensure_keys(tmp_path / "keys", "cam-07")
    studio = ensure_keys(tmp_path / "other", "controller")
    (tmp_path / "keys" / "controller.pub").write_text(studio.public)
    settings = tmp_path / "cam-07.toml"
    settings.write_text(
        'camera = "cam-07"\nurl = "sim:photos=/nowhere"\ncontrol = "tcp://127.0.0.1:9"\nbulk = "tcp://127.0.0.1:9"\n'
        'keys = "keys"\nspool = "spool"\n'
    )
    environment = os.environ | {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "900000"}
    environment.pop("WATCHDOG_PID", None)
    node = subprocess.Popen(
        [sys.executable, "-m", "mien", "node", "run", str(settings)], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        assert manager.recv(500).startswith(b"READY=1\nSTATUS=cam-07 at sim:")
        begin = time.monotonic()
        assert [manager.recv(200) for _ in range(4)] == [b"WATCHDOG=1"] * 4
        assert time.monotonic() - begin > 0.6
        node.terminate()
        while (said := manager.recv(200)) != b"STOPPING=1":
            assert said == b"WATCHDOG=1"
        assert node.wait(600) == 0
    finally:
        node.kill()
        node.wait()


def test_a_socket_keeps_its_name_when_the_number_changes(tmp_path: Path) -> None:
    place = tmp_path / "1-1.2"
    with pytest.raises(CameraMissing, match=r"USB socket 1-1\.2"):
        address_of("port:1-1.2", tmp_path)
    place.mkdir()
    for device in (4, 117):
        (place / "busnum").write_text("1\n")
        (place / "devnum").write_text(f"{device}\n")
        assert address_of("port:1-1.2", tmp_path) == f"usb:001,{device:03d}"
    assert is_socket("port:1-1.2.3")
    assert not is_socket("port:../../etc")
    assert not is_socket("usb:001,004")
