"""The network cut in the middle of a take, in a real network namespace: the kernel drops the packets."""

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from patience import Patience, run_patiently

from db.models import TakeState


class Island:
    """A network namespace joined to this one by a pair of virtual cables."""

    def __init__(self, number: int) -> None:
        self.name = f"mien-test-{number}"
        self.ours, self.theirs = f"mt{number % 100000}a", f"mt{number % 100000}b"
        net = f"10.213.{number % 250}"
        self.studio, self.node = f"{net}.1", f"{net}.2"

    def make(self) -> None:
        ip("netns", "add", self.name)
        ip("link", "add", self.ours, "type", "veth", "peer", "name", self.theirs, "netns", self.name)
        ip("addr", "add", f"{self.studio}/24", "dev", self.ours)
        ip("link", "set", self.ours, "up")
        ip("-n", self.name, "addr", "add", f"{self.node}/24", "dev", self.theirs)
        ip("-n", self.name, "link", "set", self.theirs, "up")
        ip("-n", self.name, "link", "set", "lo", "up")

    def cut(self) -> None:
        ip("link", "set", self.ours, "down")

    def join(self) -> None:
        ip("link", "set", self.ours, "up")

    def remove(self) -> None:
        run_patiently(["ip", "link", "del", self.ours])
        run_patiently(["ip", "netns", "del", self.name])


def ip(*words: str) -> None:
    done = run_patiently(["ip", *words])
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")


@pytest.fixture
def island() -> Iterator[Island]:
    if shutil.which("ip") is None:
        pytest.skip("no `ip` command here")
    made = Island(os.getpid())
    try:
        made.make()
    except RuntimeError as error:
        made.remove()
        pytest.skip(f"network namespaces are not permitted here: {error}")
    yield made
    made.remove()


@pytest.fixture
def studio(bench: Any, island: Island, patient_rig: Callable[..., Any]) -> Any:
    """One camera beyond the cable, one on this side."""
    opened = bench.open(patient_rig(2, stamps_timeout_ms=1500.0, minimum_lead_ms=1500.0), host=island.studio)
    bench.start("cam-00", namespace=island.name)
    bench.start("cam-01")
    bench.ready()
    return opened


def test_the_network_cut_between_arm_and_fire_then_between_fire_and_stamps(
    bench: Any, studio: Any, island: Island, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = bench.show(1)
    release = studio.link.release

    def cut_then_release(order: Any) -> Any:
        island.cut()
        return release(order)

    monkeypatch.setattr(studio.link, "release", cut_then_release)
    first = bench.settled(bench.fire().take)
    assert first.state is TakeState.FAILED
    assert "cam-00" in first.problem
    assert "cam-01" not in first.problem
    assert "mien session retake" in first.problem
    bench.until(lambda: studio.records.photographs(first.code) == {"cam-01": expected["cam-01"]})
    assert not bench.spooled("cam-00")  # no FIRE came through, so the shutter stayed shut

    monkeypatch.setattr(studio.link, "release", release)
    island.join()
    expected = bench.show(2)
    again = fire_once_armed(bench)
    assert again.state is TakeState.CAPTURED, again.problem
    assert studio.records.photographs(again.code) == expected
    assert len(studio.records.photographs(first.code)) == 1

    # FIRE goes out, and nothing after it comes back: the shutters open at the moment that was agreed on before.
    expected = bench.show(3)

    def release_then_cut(order: Any) -> Any:
        threading.Timer(0.6, island.cut).start()
        return release(order)

    monkeypatch.setattr(studio.link, "release", release_then_cut)
    behind = bench.fire_behind()
    bench.until(lambda: bench.spooled("cam-00"))
    last = bench.settled(behind().take)
    assert last.state is TakeState.FAILED
    assert "cam-00" in last.problem
    island.join()
    bench.until(lambda: studio.records.photographs(last.code) == expected)  # nothing lost: it came when it could
    bench.until(lambda: not bench.spooled("cam-00"))


def fire_once_armed(bench: Any) -> Any:
    """The first take that all cameras were armed for; a node that was cut off needs some seconds to be back."""
    patience = Patience(60)
    while True:
        line = bench.settled(bench.fire().take)
        if line.state is TakeState.CAPTURED or patience.spent():
            return line
