"""Lights over multicast loopback: what a fixture hears, read from the packets themselves (E1.31-2018, section 4)."""

import queue
import socket
import struct
import threading
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import sacn

from controller.errors import ConfigurationError, LightsFailed
from controller.lighting.light_scenes import LightsEntry, Scene, parse_scene
from controller.lighting.sacn_sender import DARK, PORT, SacnSender
from controller.rig_file import format_rig, parse_rig

LOOPBACK = "127.0.0.1"
PATIENCE_S = 20.0
FULL = Scene("full", {1: ((1, 512, 255),)})
CROSS = Scene("cross", {1: ((1, 12, 200), (13, 13, 128)), 7: ((4, 4, 1),)})
SCENES = {"full": FULL, "cross": CROSS}


@dataclass(frozen=True)
class Heard:
    """One packet as it lay on the wire."""

    universe: int
    levels: tuple[int, ...]
    priority: int
    source: str
    cid: bytes
    sequence: int
    ends: bool


def parse(data: bytes) -> Heard:
    """By the offsets of E1.31-2018, table 4-1."""
    assert data[:16] == struct.pack(">HH", 0x10, 0) + b"ASC-E1.17\0\0\0"
    assert struct.unpack(">I", data[18:22]) == (4,)  # VECTOR_ROOT_E131_DATA
    assert struct.unpack(">I", data[40:44]) == (2,)  # VECTOR_E131_DATA_PACKET
    assert struct.unpack(">H", data[123:125]) == (513,)  # start code and 512 levels
    assert data[125] == 0  # levels, not priorities
    assert len(data) == 638
    return Heard(
        universe=struct.unpack(">H", data[113:115])[0],
        levels=tuple(data[126:]),
        priority=data[108],
        source=data[44:108].rstrip(b"\0").decode(),
        cid=data[22:38],
        sequence=data[111],
        ends=bool(data[112] & 0x40),
    )


class Fixture:
    """A socket in the multicast groups of some universes, on loopback."""

    def __init__(self, *universes: int) -> None:
        self.packets: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("", PORT))
        for universe in universes:
            group = socket.inet_aton(f"239.255.{universe >> 8}.{universe & 255}")
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + socket.inet_aton(LOOPBACK))
        self._socket.settimeout(0.2)
        self._listening = True
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while self._listening:
            try:
                self.packets.put(parse(self._socket.recv(2048)))
            except TimeoutError:
                continue

    def hear(self, wanted: Callable[[Heard], bool]) -> Heard:
        """The next packet of this kind; fails when none comes."""
        while True:
            heard = self.packets.get(timeout=PATIENCE_S)
            if wanted(heard):
                return heard

    def close(self) -> None:
        self._listening = False
        self._thread.join()
        self._socket.close()


@pytest.fixture
def fixture() -> Iterator[Fixture]:
    made = Fixture(1, 7)
    yield made
    made.close()


def test_a_scene_goes_to_every_universe_and_what_it_does_not_name_is_dark(fixture: Fixture) -> None:
    with SacnSender(LightsEntry(LOOPBACK, priority=120), SCENES, "studio-a") as lights:
        assert lights.universes == (1, 7)
        assert fixture.hear(lambda p: p.universe == 7).levels == (0,) * 512  # dark from the start
        lit = lights.show(CROSS)
        one = fixture.hear(lambda p: p.universe == 1 and any(p.levels))
        assert one.levels == (200,) * 12 + (128,) + (0,) * 499
        assert (one.priority, one.source, one.ends) == (120, "studio-a", False)
        assert fixture.hear(lambda p: p.universe == 7 and any(p.levels)).levels == (0, 0, 0, 1) + (0,) * 508
        assert lit.record()["universes"] == {"1": {"1-12": 200, "13": 128}, "7": {"4": 1}}
        lights.show(FULL)
        assert fixture.hear(lambda p: p.universe == 1 and p.levels[500] == 255).levels == (255,) * 512
        assert fixture.hear(lambda p: p.universe == 7).levels == (0,) * 512  # of the scene before, nothing stays lit
    end = fixture.hear(lambda p: p.ends)
    assert end.levels == (0,) * 512


def test_a_scene_is_repeated_so_that_a_lost_packet_matters_little_and_numbers_follow_each_other(
    fixture: Fixture,
) -> None:
    with SacnSender(LightsEntry(LOOPBACK), {"full": FULL}, "studio-a") as lights:
        lights.show(FULL)
        first = fixture.hear(lambda p: any(p.levels))
        for step in range(1, 5):  # three at once, then the keep-alive
            heard = fixture.hear(lambda p: any(p.levels))
            assert heard.sequence == (first.sequence + step) % 256
            assert heard.cid == first.cid


def test_between_takes_it_is_dark_or_as_the_rig_file_says(fixture: Fixture) -> None:
    with SacnSender(LightsEntry(LOOPBACK), SCENES, "a") as lights:
        lights.show(FULL)
        fixture.hear(lambda p: any(p.levels))
        lights.rest()
        assert fixture.hear(lambda p: p.universe == 1 and not any(p.levels)).levels == (0,) * 512
        assert lights.scene == DARK.name
    with SacnSender(LightsEntry(LOOPBACK, between="cross"), SCENES, "a") as lights:
        lights.show(FULL)
        lights.rest()
        assert fixture.hear(lambda p: p.levels[12] == 128).universe == 1


def test_a_held_scene_is_what_the_lights_go_back_to(fixture: Fixture) -> None:
    with SacnSender(LightsEntry(LOOPBACK, between="full"), SCENES, "a") as lights:
        lights.hold(CROSS)
        assert fixture.hear(lambda p: p.universe == 1 and p.levels[12] == 128)
        assert (lights.scene, lights.held) == ("cross", CROSS)
        lights.show(FULL)  # a take
        lights.hold(DARK)  # somebody switches meanwhile: the take keeps its light
        assert lights.scene == "full"
        lights.hold(CROSS)
        lights.rest()
        assert lights.scene == "cross"
        held = lights.show_held()
        assert held is not None
        assert held.scene == CROSS
        lights.hold(None)
        assert lights.scene == "cross"  # a take has it still
        lights.rest()
        assert lights.scene == "full"
        assert lights.show_held() is None
        lights.hold(None)
        assert lights.scene == "full"


def test_another_program_of_the_standard_understands_it() -> None:
    seen: queue.SimpleQueue[tuple[int, ...]] = queue.SimpleQueue()
    receiver = sacn.sACNreceiver(bind_address=LOOPBACK)
    receiver.register_listener("universe", lambda packet: seen.put(packet.dmxData), universe=1)
    receiver.join_multicast(1)
    receiver.start()
    try:
        with SacnSender(LightsEntry(LOOPBACK), SCENES, "a") as lights:
            lights.show(CROSS)
            levels = seen.get(timeout=PATIENCE_S)
            while not any(levels):
                levels = seen.get(timeout=PATIENCE_S)
            assert levels == CROSS.levels(1)
    finally:
        receiver.stop()


def test_lights_that_cannot_be_sent_are_refused_and_the_studio_goes_on() -> None:
    with SacnSender(LightsEntry("192.0.2.77"), SCENES, "a") as lights:  # an address that nobody has
        assert "192.0.2.77" in lights.trouble
        with pytest.raises(LightsFailed, match=r"(?s)full.*192\.0\.2\.77.*interface"):
            lights.show(FULL)
        lights.rest()


RIG = """
name = "r"
[exposure]
scene = "full"
[profile.cross]
iso = "400"
scene = "cross"
[scene.full]
1 = { 1-512 = 255 }
[scene.cross]
1 = { 1-12 = 200, 13 = 128 }
[[camera]]
name = "cam-00"
view = 0
"""


def test_profiles_and_scenes_are_read_and_written_back() -> None:
    rig = parse_rig(tomllib.loads(RIG), "rig.toml")
    assert parse_rig(tomllib.loads(format_rig(rig)), "text") == rig
    assert rig.scene_of("default") == FULL
    assert (rig.profile("cross").iso, rig.scene_of("cross").levels(1)[12]) == ("400", 128)
    with pytest.raises(ConfigurationError, match="it has default, cross"):
        rig.profile("corss")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('[profile.p]\nscene = "ful"', "did you mean 'full'"),
        ("[profile.default]\niso = '1'", "written as \\[exposure\\]"),
        ("[scene.x]\n0 = { 1 = 1 }", "not a universe"),
        ("[scene.x]\n1 = { 0-3 = 1 }", "'0-3'"),
        ("[scene.x]\n1 = { 5-513 = 1 }", "'5-513'"),
        ("[scene.x]\n1 = { 1-2 = 256 }", "0 to 255"),
        ("[scene.x]\n1 = 255", "must be a table"),
        ("[scene.x]", "needs a universe"),
        ('[lights]\nbetween = "worklight"', "between"),
        ("[lights]\npriority = 201", "0 to 200"),
        ('[lights]\ninterface = "eth1"', "IPv4"),
    ],
)
def test_mistakes_in_lights_are_named(line: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        parse_rig(tomllib.loads(RIG.replace("[[camera]]", f"{line}\n[[camera]]")), "rig.toml")


def test_a_later_range_of_a_scene_wins() -> None:
    scene = parse_scene("x", {"3": {"1-4": 10, "2-3": 20}}, "place")
    assert scene.levels(3)[:5] == (10, 20, 20, 10, 0)
