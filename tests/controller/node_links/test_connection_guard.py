"""The ports that nodes connect to: unidentified, endless messages and floods go, and an honest node is served."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from patience import Patience

from camera_nodes import curve_keys, transport, wire
from camera_nodes.curve_keys import AllowList, make_keys
from camera_nodes.transport import Authenticator
from controller.node_links import connection_guard
from controller.node_links.connection_guard import ConnectionGuard, Port

LONG_S = 30.0


class Served:
    """A guarded ROUTER, read by a thread; `came`: honest messages by node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.context: Any = zmq.Context()
        self.keys = make_keys(folder / "keys", "controller")
        self.allowed = AllowList(folder / "keys")
        self.auth = Authenticator(self.context, self.allowed)
        self.auth.__enter__()
        self.guard = ConnectionGuard(self.context, self.auth.bar)
        self.guard.start()
        self.port: Port
        self.router, self.endpoint = transport.bind_router(
            self.context, "tcp://127.0.0.1:*", self.keys, limit=wire.CONTROL_LIMIT, before=self._watch
        )
        self.came: dict[str, int] = {}
        self.nodes: list[Any] = []
        self.running = True
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _watch(self, router: Any) -> None:
        self.port = self.guard.watch("control", router, 1_000_000, 8_000_000, 300.0)

    def _read(self) -> None:
        while self.running:
            if not self.router.poll(20):
                continue
            found = transport.receive(
                self.router, wire.NODE_CONTROL, self.allowed, limit=wire.CONTROL_LIMIT, hear=self.port.hear
            )
            if isinstance(found, transport.Received):
                self.came[found.node] = self.came.get(found.node, 0) + 1

    def node(self, name: str) -> Any:
        """A DEALER with the keys of that node."""
        folder = self.folder / name
        keys = curve_keys.ensure_keys(folder, name)
        self.allowed.add(name, keys.public)
        dealer = transport.connect_dealer(self.context, self.endpoint, keys, self.keys.public, limit=1 << 30)
        self.nodes.append(dealer)
        return dealer

    def close(self) -> None:
        self.running = False
        self.thread.join(10)
        for socket_ in (*self.nodes, self.router):
            socket_.close(0)
        self.auth.__exit__(None, None, None)
        self.guard.stop()
        self.context.term()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    there = Served(tmp_path)
    yield there
    there.close()


def until(condition: Any) -> bool:
    patience = Patience(LONG_S)
    while not condition() and patience.sleep():
        pass
    return bool(condition())


def ping(dealer: Any, seq: int = 1) -> bool:
    return transport.send(dealer, wire.Ping(seq=seq, t1_ns=1), limit=wire.CONTROL_LIMIT)


def knock(served: Served, said: bytes, count: int) -> list[socket.socket]:
    port = int(served.endpoint.rpartition(":")[2])
    held = []
    for _ in range(count):
        held.append(socket.create_connection(("127.0.0.1", port), timeout=10))
        if said:
            held[-1].sendall(said)
    return held


GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01CURVE" + bytes(15) + bytes(32)


@pytest.mark.parametrize("said", [b"", b"\xff", GREETING], ids=["nothing", "a byte", "a greeting"])
def test_strangers_make_room_and_a_node_is_let_in_meanwhile(served: Served, said: bytes) -> None:
    honest = served.node("cam-01")
    assert until(lambda: ping(honest))
    held = knock(served, said, 3 * connection_guard.UNIDENTIFIED)
    late = served.node("cam-02")
    assert until(lambda: ping(late) and ping(honest) and served.came.get("cam-02", 0) > 3)
    assert until(lambda: len(served.port.connections) <= connection_guard.UNIDENTIFIED + 2)
    assert served.guard.dropped >= 2 * connection_guard.UNIDENTIFIED - 2
    for one in held:
        one.close()


def test_a_message_without_an_end_is_not_kept(served: Served) -> None:
    honest, lying = served.node("cam-01"), served.node("cam-02")
    assert until(lambda: ping(honest) and ping(lying) and served.came.get("cam-02", 0) > 0)
    for _ in range(600):
        lying.send(b"z" * 60_000, zmq.SNDMORE)
    lying.send(b"end")
    assert until(lambda: served.guard.dropped > 0)
    before = served.came.get("cam-01", 0)
    assert until(lambda: ping(honest) and served.came.get("cam-01", 0) > before + 3)


@pytest.mark.parametrize("nonsense", [True, False], ids=["nonsense", "more than a node has to say"])
def test_a_flood_is_ended_and_its_key_barred_in_the_end(
    served: Served, nonsense: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_guard, "TOLERATED", 1)
    monkeypatch.setattr(connection_guard, "BURST_S", 0.2)
    lying = served.node("cam-02")
    key = curve_keys.load_keys(served.folder / "cam-02", "cam-02").public

    def flood() -> bool:
        for _ in range(500):
            try:
                lying.send(b"\xc1" if nonsense else wire.encode(wire.Ping(seq=1, t1_ns=1)), zmq.DONTWAIT)
            except zmq.Again:
                break
        return not served.auth.callback("mien", key.encode())

    assert until(flood)
    honest = served.node("cam-01")
    assert until(lambda: ping(honest) and served.came.get("cam-01", 0) > 3)


def test_an_honest_node_is_never_let_go(served: Served) -> None:
    nodes = [served.node(f"cam-{n:02}") for n in range(8)]
    for node in nodes:
        assert until(lambda node=node: ping(node))
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        for node in nodes:
            ping(node)
        time.sleep(0.05)
    assert served.guard.dropped == 0
