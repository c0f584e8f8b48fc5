"""Whatever is told ends: states when they change, messages after a while; nothing that is over is told again."""

import time
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from patience import until

from camera_nodes import wire
from controller.cameras import camera_maintenance
from controller.cameras.camera_maintenance import CameraMaintenance
from controller.errors import LightsFailed
from controller.ingest import file_commit
from controller.ingest.file_commit import FileCommitter
from controller.lighting.light_scenes import LightsEntry, Scene
from controller.lighting.sacn_sender import SacnSender
from controller.node_links.node_registry import NodeRegistry
from controller.readiness.watch import watch_of
from controller.rig_file import Rig
from controller.sessions import late_photographs
from controller.sessions.late_photographs import LatePhotographs
from db.models import TakeState
from db.takes.missing_photographs import LateArrival

SECOND = 10**9


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, float], None]:
    """clock(module, seconds): that module's monotonic clock is so much further on."""

    def later(module: Any, seconds: float) -> None:
        ahead = SimpleNamespace(monotonic=lambda: time.monotonic() + seconds, sleep=time.sleep)
        monkeypatch.setattr(module, "time", ahead)

    return later


def test_late_photographs_are_told_for_ten_minutes(home: Any, rig_of: Callable[..., Rig], clock: Any) -> None:
    studio = home.open(rig_of(1))
    late = LatePhotographs(studio.engine, lambda _: None)
    late.arrived(LateArrival("S001-1-E01-1", "cam-00", TakeState.FAILED, TakeState.CAPTURED, (), None))
    assert len(late.messages) == 1
    clock(late_photographs, 599)
    assert len(late.messages) == 1
    clock(late_photographs, 601)
    assert late.messages == []


def test_a_trouble_of_filing_that_nobody_meets_any_more_is_over(clock: Any) -> None:
    files = FileCommitter(None, None, lambda _: None)  # type: ignore[arg-type]
    assert files.trouble == ""
    files.trouble = "filing S001-1-E01-1.f1.cam-00 failed: its node has gone since"
    assert files.trouble
    clock(file_commit, file_commit.FORGOTTEN_S + 1)
    assert files.trouble == ""


def test_a_trouble_of_what_no_longer_waits_is_over(
    home: Any, rig_of: Callable[..., Rig], speaker: Callable[..., Any], jpeg: Callable[..., bytes]
) -> None:
    """A photograph that found no room is rejected in the end: then nothing waits, and nothing stands in the way."""
    studio = home.open(rig_of(1))
    node = speaker(studio, "cam-00")
    node.greet()
    studio.ingest._stumble("the disk is full: make room")
    assert studio.ingest.trouble
    assert isinstance(node.upload("S001-1-E09-1", jpeg()), wire.Rejected)  # no such take
    until(lambda: not studio.ingest.trouble)


def test_a_lights_network_that_comes_up_is_found() -> None:
    scene = Scene("full", {1: ((1, 1, 255),)})
    with SacnSender(LightsEntry("203.0.113.7"), {"full": scene}, "Mien test") as lights:
        assert "203.0.113.7 is no address of this machine" in lights.trouble
        with pytest.raises(LightsFailed, match="no address"):
            lights.show(scene)
        lights._entry = LightsEntry("127.0.0.1")
        until(lambda: not lights.trouble, seconds=10)
        assert lights.show(scene).scene is scene


def test_what_a_node_told_is_history_after_an_hour(
    home: Any, rig_of: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    maintenance: CameraMaintenance = home.open(rig_of(1)).maintenance
    maintenance.fault(wire.NodeFault(camera="cam-00", code="camera_missing", text="no longer answers"))
    assert len(maintenance.history("cam-00").faults) == 1
    monkeypatch.setattr(camera_maintenance, "TOLD_FOR", timedelta(0))
    assert maintenance.history("cam-00").faults == ()
    assert len(maintenance.faults.faults("cam-00")) == 1  # the log has it still


# --- since when a body is here, and where ---


def hello(**changes: Any) -> wire.Hello:
    told = {"node": "pi-05", "camera": "cam-00", "serial": "7", "model": "m", "url": "u", "software": "s"}
    return wire.Hello(**(told | {"disk": "pi-05/boot:1"} | changes))


@pytest.fixture
def registry(rig_of: Callable[..., Rig]) -> NodeRegistry:
    return NodeRegistry(rig_of(1, silence_s=6))


def test_a_body_that_was_not_away_has_not_come(registry: NodeRegistry) -> None:
    assert registry.greet(b"1", "pi-05", hello(), 100 * SECOND) is None
    assert registry.greet(b"2", "pi-05", hello(), 103 * SECOND) is None  # its node was started anew
    assert registry.last_seen()["cam-00"].came_ns == 100 * SECOND


@pytest.mark.parametrize(
    ("before", "after", "at_s"),
    [({}, {"serial": "8"}, 101), ({"fault": "asleep", "serial": ""}, {}, 101), ({}, {}, 107)],
    ids=["another body", "it slept", "it was silent"],
)
def test_a_body_that_was_away_has_come(
    registry: NodeRegistry, before: dict[str, str], after: dict[str, str], at_s: int
) -> None:
    registry.greet(b"1", "pi-05", hello(), 99 * SECOND)
    registry.greet(b"1", "pi-05", hello(**before), 100 * SECOND)
    registry.greet(b"2", "pi-05", hello(**after), at_s * SECOND)
    assert registry.last_seen()["cam-00"].came_ns == at_s * SECOND


def test_where_a_camera_was_is_known_when_its_node_is_gone(registry: NodeRegistry) -> None:
    registry.greet(b"1", "pi-05", hello(), 100 * SECOND)
    registry.forget(b"1")
    seen = registry.last_seen()["cam-00"]
    assert (seen.node, seen.disk) == ("pi-05", "pi-05/boot:1")


def test_a_control_thread_that_has_ended_is_told_of_and_not_sixty_eight_cameras(
    home: Any, rig_of: Callable[..., Rig]
) -> None:
    studio = home.open(rig_of(2))
    studio.link._do(studio.link._end)
    until(lambda: not studio.link.running)
    found = watch_of(studio).look()
    assert found.faults[0].text == "the thread that speaks with the nodes has stopped"
    assert not [fault for fault in found.faults if fault.cause == "never_seen"]
