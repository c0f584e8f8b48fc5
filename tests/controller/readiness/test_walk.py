"""A day's faults on a real studio with real nodes: each has its bar and its remedy, and is gone when it is mended."""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from patience import until

from controller.errors import ControllerError
from controller.lighting.light_scenes import LightsEntry, Scene
from controller.readiness.fault import Fault, Readiness
from controller.readiness.watch import ReadinessWatch, watch_of
from controller.rig_file import ExposureEntry, Rig
from controller.studio import Studio
from db.engine import transaction
from db.subjects import get_subject, withdraw_consent

CAMERAS = 3
MENDED_S = 10.0  # a fault is gone so many quiet seconds after its repair, at the latest
HERE = Path("/proc/sys/kernel/hostname").read_text().strip()


@dataclass
class Booth:
    """A studio with its nodes, after a preflight, with a session open."""

    studio: Studio
    fleet: Any
    session: str
    urls: dict[str, str]

    def look(self) -> Readiness:
        return watch_of(self.studio).look()

    def bar(self, line: str) -> Readiness:
        """Wait until the bar begins with this, and what is told then."""
        return until(lambda: found if (found := self.look()).bar.line().startswith(line) else None, self._told)

    def fault(self, cause: str) -> Fault:
        """Wait until this is told of."""
        found = until(lambda: [fault for fault in self.look().faults if fault.cause == cause], self._told)
        assert len(found) == 1
        return found[0]

    def mended(self, *causes: str) -> None:
        """These are gone by themselves, in time."""
        until(lambda: not {fault.cause for fault in self.look().faults} & set(causes), self._told, MENDED_S)

    def _told(self) -> str:
        found = self.look()
        return f"{found.bar.line()}\n" + "\n".join(f"{fault.cause}: {fault.text}" for fault in found.faults)


@pytest.fixture
def booth(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, photos: Path, sim_url: Callable[..., str]
) -> Callable[..., Booth]:
    """booth(cam_02={"drop": 1}, rig=change, node={...}): options of single cameras, of the rig, of the nodes."""

    def begin(
        rig: Callable[[Rig], Rig] = lambda rig: rig,
        node: dict[str, object] | None = None,
        **options: dict[str, object],
    ) -> Booth:
        of = rig_of(CAMERAS, frame_timeout_s=5.0, silence_s=3)
        studio = home.open(rig(of))
        studio.add_calibration("test", {})
        urls = {
            camera.name: sim_url(camera.view, photos, **options.get(camera.name.replace("-", "_"), {}))
            for camera in studio.rig.cameras
        }
        fleet.start(studio, urls, **(node or {}))
        until(lambda: len(studio.link.nodes()) == CAMERAS, seconds=30)
        return Booth(studio, fleet, "", urls)

    return begin


@pytest.fixture
def session(booth: Callable[..., Booth], home: Any) -> Callable[..., Booth]:
    """As booth(), after a preflight, with a session open."""

    def begin(**options: Any) -> Booth:
        made = booth(**options)
        made.studio.wait_for_cameras(30)
        made.studio.preflight()
        made.session = made.studio.start_session(home.subject, "short")
        return made

    return begin


def test_a_morning(booth: Callable[..., Booth], home: Any) -> None:
    """From nothing to READY, a node that stops and comes back, a take and its decision."""
    day = booth()
    assert day.look().bar.word == "NO SESSION"
    day.studio.wait_for_cameras(30)
    assert day.fault("preflight").remedy.action == "preflight"  # type: ignore[union-attr]
    day.session = day.studio.start_session(home.subject, "short")
    assert day.look().bar.line() == "CHECK: run the preflight"
    assert day.studio.preflight().ready
    assert day.bar("READY: neutral").faults == ()

    day.fleet.kill("cam-00")
    found = day.bar("CANNOT FIRE: cam-00 not heard")
    assert found.faults[0].text == f"cam-00 at {HERE} is not heard: the node does not run"
    assert found.faults[0].remedy is not None
    assert "pkill -x cam-00" in found.faults[0].remedy.text
    day.fleet.start(day.studio, {"cam-00": day.urls["cam-00"]})
    until(lambda: "cam-00" in day.studio.link.nodes())
    day.mended("node_gone", "clock")
    assert day.bar("CHECK").bar.text == "run the preflight: cam-00 new"
    assert day.studio.preflight().ready
    day.bar("READY")

    seen: list[str] = []
    firing = threading.Thread(target=day.studio.fire, args=(day.session,))
    firing.start()
    while firing.is_alive():
        if (line := day.look().bar.line()) not in seen[-1:]:
            seen.append(line)
        time.sleep(0.02)
    assert "HOLD STILL" in seen
    assert "READY: smile" not in seen  # it waits to be decided about
    day.bar("DECIDE: neutral")
    day.studio.accept(day.session)
    day.bar("READY: smile")
    with transaction(day.studio.engine) as tx:
        withdraw_consent(tx, get_subject(tx, home.subject))
    found = day.bar(f"CANNOT FIRE: {home.subject} has withdrawn")
    assert found.faults[0].remedy is not None
    assert found.faults[0].remedy.command == f"mien session close {day.session} --incomplete"


@pytest.mark.slow
def test_a_computer_that_is_off_and_back(session: Callable[..., Booth]) -> None:
    day = session(node={"computer": "pi-05"})
    day.bar("READY")
    for camera in day.urls:
        day.fleet.kill(camera)
    found = day.bar("CANNOT FIRE: pi-05 off (3 cameras)")
    assert [fault.cause for fault in found.faults] == ["computer_off"]
    assert found.faults[0].cameras == tuple(day.urls)
    assert found.faults[0].remedy is not None
    assert (found.faults[0].remedy.action, found.faults[0].remedy.cameras) == ("aside", tuple(day.urls))
    day.fleet.start(day.studio, day.urls, computer="pi-05")
    until(lambda: len(day.studio.link.nodes()) == CAMERAS)
    day.mended("computer_off", "clock")
    day.studio.preflight()
    day.bar("READY")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "bar", "cause", "remedy"),
    [
        ({"drop": 1}, "RETAKE: cam-02 no photograph", "take_no_photograph", "retake"),
        ({"truncate": 1}, "RETAKE: cam-02 photograph not whole", "take_cut", "retake"),
        ({"stuck": "iso:100"}, "RETAKE: cam-02 settings refused", "take_settings", "retake"),
        ({"busy": 1}, "RETAKE: cam-02 busy", "take_busy", "retake"),
        ({"late": 1, "late_ms": 23}, "LOOK: cam-02 opened 2", "flagged", "accept"),
    ],
)  # fmt: skip
def test_a_take_that_fails_or_is_late(
    session: Callable[..., Booth], options: dict[str, object], bar: str, cause: str, remedy: str
) -> None:
    day = session(rig=lambda rig: replace(rig, exposure=ExposureEntry(iso="200")), cam_02=options)
    day.studio.fire(day.session)
    found = day.bar(bar)
    assert not found.ready
    told = day.fault(cause)
    assert told.remedy is not None
    assert told.remedy.action == remedy
    if cause != "flagged":
        assert told.cameras == ("cam-02",)
    day.studio.set_aside(["cam-02"], "shutter stuck", "today")
    assert day.studio.retake(day.session, "neutral").kept
    day.studio.accept(day.session)
    day.mended(cause, "not_armed", "unresolved")
    assert day.bar("READY: smile").faults[0].text.startswith("aside: cam-02: shutter stuck")


@pytest.mark.slow
def test_42_cameras_that_wake_late(session: Callable[..., Booth]) -> None:
    day = session(node={"max_late_ms": 1e-7, "spin_us": 0, "realtime": False})
    assert day.studio.fire(day.session).state == "failed"
    found = day.bar("RETAKE: 3 cameras woke late")
    assert found.faults[0].text.startswith("3 cameras woke late: this computer is overloaded; worst cam-0")


@pytest.mark.slow
def test_a_full_card_and_an_empty_battery(session: Callable[..., Booth]) -> None:
    day = session(cam_01={"card": 1}, cam_02={"battery": 26, "battery_per_photo": 10})
    assert day.fault("card").text == "cam-01: card has room for 1 frame, 3 are needed"
    assert day.studio.fire(day.session).kept
    day.studio.accept(day.session)
    found = day.bar("CANNOT FIRE: cam-01 card full")
    assert found.faults[0].cause == "card_full"
    assert day.fault("battery").text == "cam-02: battery 16 %, 25 % are needed"
    day.fleet.kill("cam-01")
    day.fleet.kill("cam-02")
    changed = {
        name: url.replace("card=1", "card=0").replace("battery=26", "battery=90") for name, url in day.urls.items()
    }
    until(lambda: set(day.studio.link.nodes()) == {"cam-00"})
    day.fleet.start(day.studio, {name: changed[name] for name in ("cam-01", "cam-02")})
    until(lambda: len(day.studio.link.nodes()) == CAMERAS)
    day.mended("card_full", "card", "battery", "node_gone", "clock")
    day.studio.preflight()
    day.bar("READY: smile")


@pytest.mark.slow
def test_a_camera_that_falls_asleep_and_wakes(session: Callable[..., Booth]) -> None:
    day = session(cam_01={"dead_after": 1, "dead_for_s": 6})
    day.studio.fire(day.session)
    day.studio.accept(day.session)
    day.studio.fire(day.session)  # it dies at its second exposure
    told = day.fault("asleep")
    assert told.cameras == ("cam-01",)
    assert told.short == "cam-01 asleep"
    assert told.remedy is not None
    assert (told.remedy.action, told.remedy.command) == ("recover", "mien rig recover cam-01")
    day.bar("CANNOT FIRE: cam-01 asleep")
    until(lambda: "cam-01" in day.studio.roster().ready)
    day.mended("asleep")
    day.bar("RETAKE: cam-01 asleep")


@pytest.mark.slow
def test_swapped_bodies_are_one_line(booth: Callable[..., Booth], home: Any) -> None:
    serials = ("SIM000000", "SIM000002", "SIM000001")

    def with_serials(rig: Rig) -> Rig:
        cameras = zip(rig.cameras, serials, strict=True)
        return replace(rig, cameras=tuple(replace(camera, serial=serial) for camera, serial in cameras))

    day = booth(rig=with_serials)
    day.session = day.studio.start_session(home.subject, "short")
    day.bar("CANNOT FIRE: 2 cameras swapped")
    assert day.fault("swapped").cameras == ("cam-01", "cam-02")


@pytest.mark.slow
def test_a_full_disk(session: Callable[..., Booth]) -> None:
    day = session()
    limits = day.studio.rig.transfer
    day.studio.ingest._limits = replace(limits, min_free_mb=1e12)
    firing = threading.Thread(target=day.studio.fire, args=(day.session,))
    firing.start()
    found = day.bar("CANNOT FIRE: photographs cannot be filed")
    assert "is full" in found.faults[0].text
    day.studio.ingest._limits = limits
    firing.join(60)
    day.mended("filing")
    day.bar("DECIDE: neutral")


@pytest.mark.slow
def test_lights_that_are_not_reached(session: Callable[..., Booth]) -> None:
    def lit(rig: Rig) -> Rig:
        scene = Scene("cross", {1: ((1, 1, 255),)})
        return replace(
            rig, scenes={"cross": scene}, exposure=ExposureEntry(scene="cross"), lights=LightsEntry("203.0.113.7")
        )

    day = session(rig=lit)
    found = day.bar("CANNOT FIRE: lights not reached")
    assert "203.0.113.7 is no address of this machine" in found.faults[0].text
    day.studio.lights._entry = LightsEntry("127.0.0.1")  # the cable is in again
    day.mended("lights")
    day.studio.preflight()
    day.bar("READY")


@pytest.mark.slow
def test_a_studio_that_starts_again_with_a_take_under_way(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, photos: Path, sim_url: Callable[..., str]
) -> None:
    def free_port() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    places = {"control": f"tcp://127.0.0.1:{free_port()}", "bulk": f"tcp://127.0.0.1:{free_port()}"}
    rig = rig_of(CAMERAS, silence_s=3)
    studio = home.open(rig, **places)
    studio.add_calibration("test", {})
    fleet.start(studio, {c.name: sim_url(c.view, photos, download_ms=4000) for c in rig.cameras})
    studio.wait_for_cameras(30)
    studio.preflight()
    session = studio.start_session(home.subject, "short")

    def fire() -> None:
        with pytest.raises(ControllerError, match="settled at the next start"):
            studio.fire(session)

    firing = threading.Thread(target=fire)
    firing.start()
    until(lambda: ReadinessWatch(studio).look().bar.word == "HOLD STILL")
    until(lambda: len(studio.under_way.progress.stamps) == CAMERAS)  # type: ignore[union-attr]
    home.stack.pop_all().close()
    firing.join(60)
    again = Booth(home.open(rig, **places), fleet, session, {})
    again.bar("COMING IN: ")
    again.bar("DECIDE: neutral")
    again.studio.accept(session)
    assert again.bar("CHECK").bar.text == "run the preflight"
    again.studio.preflight()
    again.bar("READY: smile")


def test_the_watch_is_one_and_reads_what_others_write(home: Any, rig_of: Callable[..., Rig]) -> None:
    studio = home.open(rig_of(2))
    assert watch_of(studio) is watch_of(studio)
    told = watch_of(studio).look().data()
    assert told["bar"]["word"] == "NO SESSION"
    first = told["faults"]["never_seen"]["since"]
    studio.start_session(home.subject, "short")  # it rings the bell: nothing has to be waited for
    told = watch_of(studio).look().data()
    assert told["bar"] == {"word": "CANNOT FIRE", "text": "2 cameras not here", "tone": "stop", "shape": "octagon"}
    assert told["faults"]["never_seen"]["since"] == first
    assert told["faults"]["never_seen"]["remedy"]["command"] == "mien rig aside cam-00 cam-01 --reason '...'"
