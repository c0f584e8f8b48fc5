"""Attacks the studio's ports until its standard input is closed. Run by test_ports_under_attack.

usage: port_attack.py CONTROL BULK KEYS CONTROLLER_PUBLIC HALF_OPEN LYING
"""

import os
import select
import socket
import sys
import time
from pathlib import Path
from typing import Any

import zmq

from camera_nodes import curve_keys, transport, wire

SAID = (b"", b"\xff", b"\xff" + bytes(8) + b"\x7f\x03\x01CURVE" + bytes(47))


def half_open(endpoint: str, number: int) -> socket.socket | None:
    host, port = endpoint.removeprefix("tcp://").rsplit(":", 1)
    try:
        made = socket.create_connection((host, int(port)), timeout=0.5)
        made.sendall(SAID[number % len(SAID)])
    except OSError:
        return None
    made.setblocking(False)
    return made


def gone(held: socket.socket) -> bool:
    try:
        return held.recv(200) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def lie(dealer: Any, number: int) -> None:
    """What an enrolled node may send that is none, too much, or has no end."""
    try:
        for _ in range(100):
            if number % 4 == 0:
                dealer.send(os.urandom(200), zmq.DONTWAIT)
            elif number % 4 == 1:
                dealer.send(wire.encode(wire.Ping(seq=1, t1_ns=1)), zmq.DONTWAIT)
            elif number % 4 == 2:
                dealer.send(b"z" * 60_000, zmq.SNDMORE | zmq.DONTWAIT)
            else:
                hello = {"node": "cam-00", "camera": "cam-00", "serial": "1", "model": "x", "url": "x", "software": "x"}
                dealer.send(wire.encode(wire.Hello(**hello)), zmq.DONTWAIT)
    except zmq.ZMQError:
        pass


def main() -> None:
    control, bulk, keys, public = sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4]
    count, lying = int(sys.argv[5]), int(sys.argv[6])
    context: Any = zmq.Context()
    pairs = [curve_keys.load_keys(keys, f"liar-{n:03}") for n in range(lying)]
    dealers: list[Any] = [None] * lying
    held: list[socket.socket | None] = []
    began, made = time.monotonic(), 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        if len(held) < count:
            held += [half_open((control, bulk)[n % 2], n) for n in range(len(held), min(count, len(held) + 500))]
            if len(held) >= count:
                print(f"{count} half-open connections in {time.monotonic() - began:.1f} s", flush=True)
        else:
            for n in range(made, made + 200):  # those that were let go come back
                place = n % count
                old = held[place]
                if old is None or gone(old):
                    if old is not None:
                        old.close()
                    held[place] = half_open((control, bulk)[n % 2], n)
            made += 200
        for n, pair in enumerate(pairs):
            if dealers[n] is None or (made // 200 + n) % 50 == 0:
                if dealers[n] is not None:
                    dealers[n].close(0)
                endpoint = (control, bulk)[n // 4 % 2]
                dealers[n] = transport.connect_dealer(context, endpoint, pair, public, limit=1 << 30)
            lie(dealers[n], n)
    os._exit(0)


main()
