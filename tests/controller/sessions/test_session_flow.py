"""Sessions with profiles, lights and several days, on real node processes; and what a preflight finds."""

import queue
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from camera_nodes import wire
from camera_nodes.camera_control.realtime import realtime_permitted
from controller.errors import ConfigurationError, LightsFailed, SessionError
from controller.lighting.light_scenes import LightsEntry, Scene
from controller.lighting.sacn_sender import PORT
from controller.preflight.preflight import check_cameras
from controller.rig_file import ExposureEntry, PreflightLimits, Rig
from controller.studio import Studio
from db.engine import transaction, utc_now
from db.errors import StateConflict
from db.models import Calibration, TakeState
from db.stage_runs.ready_takes import ready_takes

CAMERAS = 2
UNIVERSE = 4242
FULL = Scene("full", {UNIVERSE: ((1, 512, 255),)})
CROSS = Scene("cross", {UNIVERSE: ((1, 12, 200),)})
PATIENCE_S = 20.0


@pytest.fixture
def rig(rig_of: Callable[..., Rig]) -> Rig:
    return replace(
        rig_of(CAMERAS),
        exposure=ExposureEntry(iso="200", scene="full"),
        profiles={"cross": ExposureEntry(iso="400", focus_mode="Manual", scene="cross"), "dim": ExposureEntry()},
        scenes={"full": FULL, "cross": CROSS},
        lights=LightsEntry("127.0.0.1", settle_ms=50),
        preflight=PreflightLimits(frame_mb=0.001),
    )


@pytest.fixture
def start(home: Any, fleet: Any, photos: Path, sim_url: Callable[..., str]) -> Callable[..., Studio]:
    """start(rig, cam_01={"battery": 3}): a studio with its nodes ready; options of single cameras by name."""

    def begin(rig: Rig, **options: dict[str, object]) -> Studio:
        studio: Studio = home.open(rig)
        urls = {
            camera.name: sim_url(camera.view, photos, **options.get(camera.name.replace("-", "_"), {}))
            for camera in rig.cameras
        }
        fleet.start(studio, urls)
        studio.wait_for_cameras(60)
        return studio

    return begin


@pytest.fixture
def looks() -> Iterator["queue.SimpleQueue[tuple[int, ...]]"]:
    """Every change of look that a fixture in the universe sees, as its 512 levels."""
    seen: queue.SimpleQueue[tuple[int, ...]] = queue.SimpleQueue()
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ear.bind(("", PORT))
    group = socket.inet_aton(f"239.255.{UNIVERSE >> 8}.{UNIVERSE & 255}") + socket.inet_aton("127.0.0.1")
    ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
    ear.settimeout(0.2)
    listening = True

    def listen() -> None:
        before: tuple[int, ...] = ()
        while listening:
            try:
                data = ear.recv(2048)
            except TimeoutError:
                continue
            if int.from_bytes(data[113:115], "big") == UNIVERSE and (look := tuple(data[126:])) != before:
                before = look
                seen.put(look)

    thread = threading.Thread(target=listen)
    thread.start()
    yield seen
    listening = False
    thread.join()
    ear.close()


def test_each_take_is_lit_by_its_profile_and_keeps_what_was_sent(
    start: Callable[..., Studio], rig: Rig, home: Any, looks: "queue.SimpleQueue[tuple[int, ...]]"
) -> None:
    studio = start(rig)
    session = studio.start_session(home.subject, "short", profile="cross")
    dark = (0,) * 512
    assert looks.get(timeout=PATIENCE_S) == dark
    first = studio.fire(session)
    assert first.kept, first.message
    assert looks.get(timeout=PATIENCE_S) == CROSS.levels(UNIVERSE)
    assert looks.get(timeout=PATIENCE_S) == dark  # nothing stays lit between takes
    second = studio.fire(session, "smile", profile="default")
    assert looks.get(timeout=PATIENCE_S) == FULL.levels(UNIVERSE)
    assert looks.get(timeout=PATIENCE_S) == dark
    third = studio.fire(session, "mouth_stretch", profile="dim")
    assert looks.empty()

    kept = {take.position: take for take in studio.state_of(session).takes}
    assert kept[1].profile == "cross"
    assert kept[1].setup["exposure"] == {"iso": "400", "focus_mode": "Manual"}
    assert kept[1].setup["lights"]["scene"] == "cross"
    assert kept[1].setup["lights"]["universes"] == {str(UNIVERSE): {"1-12": 200}}
    assert kept[1].setup["lights"]["sent_at"]
    assert (kept[2].profile, kept[2].setup["exposure"]) == ("default", {"iso": "200"})
    assert (kept[3].profile, kept[3].setup) == ("dim", {"profile": "dim", "exposure": {}, "lights": None})
    assert second.kept
    assert third.kept
    with pytest.raises(ConfigurationError, match="no settings profile 'corss'"):
        studio.fire(session, "smile", retake=True, profile="corss")


def test_lag_shots_are_lit_as_their_profiles_takes(
    start: Callable[..., Studio], rig: Rig, looks: "queue.SimpleQueue[tuple[int, ...]]"
) -> None:
    studio = start(rig)
    dark = (0,) * 512
    assert looks.get(timeout=PATIENCE_S) == dark
    studio.measure_lags(5, "cross")
    assert looks.get(timeout=PATIENCE_S) == CROSS.levels(UNIVERSE)
    assert looks.get(timeout=PATIENCE_S) == dark
    with pytest.raises(ConfigurationError, match="no settings profile 'corss'"):
        studio.measure_lags(5, "corss")


def test_a_session_on_two_days_with_a_skipped_expression(start: Callable[..., Studio], rig: Rig, home: Any) -> None:
    plain = replace(rig, scenes={}, exposure=ExposureEntry(), profiles={}, lights=LightsEntry())
    studio = start(plain)
    studio.add_calibration("board", {"0_K": 1})
    session = studio.start_session(home.subject, "short")
    studio.fire(session)
    studio.accept(session)
    studio.skip(session, "smile", "a cut on the lip")
    assert studio.state_of(session).next_expression().name == "mouth_stretch"
    studio.pause_session(session)
    with pytest.raises(SessionError, match=f"mien session resume {session}"):
        studio.fire(session)
    other = studio.start_session(home.subject, "short")  # the rig is free meanwhile
    with pytest.raises(StateConflict, match=other):
        studio.resume_session(session)
    studio.pause_session(other)

    newer = studio.add_calibration("board", {"0_K": 2})  # the next morning
    script = studio.resume_session(session)
    assert script.next_expression().name == "mouth_stretch"
    assert script.skipped == {2: "a cut on the lip"}
    result = studio.fire(session, "smile")  # it has healed
    assert result.kept, result.message
    studio.accept(session)
    assert studio.state_of(session).skipped == {}
    with pytest.raises(SessionError, match="is not skipped"):
        studio.skip(session, "smile", "again")
    studio.skip(session, "mouth_stretch", "tired")
    assert studio.close(session).takes == (f"{session}-E01-1", f"{session}-E02-1")
    with transaction(studio.engine) as tx:
        versions = [tx.get(Calibration, take.calibration_id).version for take in ready_takes(tx)]
    assert versions == [newer - 1, newer]  # each take with the calibration of its day
    assert {(line.session, line.state, line.accepted) for line in studio.sessions()} == {
        (session, "closed", 2),
        (other, "paused", 0),
    }


def test_a_take_over_the_limit_is_flagged_offered_for_retake_and_the_old_one_is_kept(
    start: Callable[..., Studio], rig: Rig, home: Any
) -> None:
    studio = start(rig, cam_01={"late": 1.0, "late_ms": 30})
    session = studio.start_session(home.subject, "short", profile="dim")
    late = studio.fire(session)
    assert late.kept, late.message
    assert f"mien session retake {session}-E01" in late.message
    line = studio.records.take(late.take)
    assert line.flagged
    assert line.exposure_skew_ms > rig.sync.max_skew_ms
    assert line.command_skew_ms is not None
    assert line.clock_uncertainty_ms is not None
    again = studio.retake(session, "neutral")
    assert again.attempt == 2
    assert studio.records.take(late.take).state is TakeState.CAPTURED  # both are there until one is chosen
    assert studio.accept(session, again.take).code == again.take
    assert studio.records.take(late.take).state is TakeState.SUPERSEDED
    assert studio.choose(session, late.take).state is TakeState.ACCEPTED
    assert studio.records.take(again.take).state is TakeState.SUPERSEDED
    assert len(studio.records.photographs(late.take)) == CAMERAS


def test_a_setting_that_does_not_read_back_blocks_the_fire(start: Callable[..., Studio], rig: Rig, home: Any) -> None:
    studio = start(rig, cam_01={"stuck": "iso:100"})
    session = studio.start_session(home.subject, "short")
    result = studio.fire(session)
    assert result.state == "failed"
    assert result.faults == {"cam-01": "iso: is '100' after setting '200'"}
    assert result.frames == 0
    assert studio.fire(session, "smile", profile="dim").kept  # nothing is asked of it there


def test_without_lights_nothing_is_fired_and_no_attempt_is_used(
    start: Callable[..., Studio], rig: Rig, home: Any
) -> None:
    studio = start(replace(rig, lights=LightsEntry("192.0.2.77")))
    session = studio.start_session(home.subject, "short")
    with pytest.raises(LightsFailed, match=r"192\.0\.2\.77"):
        studio.fire(session)
    assert studio.state_of(session).takes == ()
    assert studio.fire(session, profile="dim").kept
    found = {check.name: check for check in studio.preflight().checks}
    assert found["lights"].level == "fault"


def test_preflight_names_everything_that_stands_in_the_way(
    start: Callable[..., Studio], rig: Rig, home: Any, fleet: Any
) -> None:
    strict = replace(rig, preflight=PreflightLimits(frames=30, frame_mb=1e9, max_calibration_age_h=24))
    studio = start(strict, cam_00={"battery": 12, "card": 5}, cam_01={"focus": "AF-S", "stuck": "iso:100"})
    found = {check.name: check for check in studio.preflight().checks}
    assert found["cameras"].level == "ok"
    assert found["settings"].cameras == {"cam-01": "iso: is '100' after setting '200'"}
    assert found["battery"].cameras == {"cam-00": "12 %, 25 % are needed"}
    assert found["frames left"].cameras == {"cam-00": "5, 30 are needed"}
    assert found["node disk"].level == "fault"
    assert "needed by the 2 cameras on its disk" in found["node disk"].cameras["cam-00"]
    assert found["studio disk"].level == "fault"
    assert found["clock"].level == "ok"
    assert found["lights"].level == "ok"
    assert "look whether it lit" in found["lights"].text
    assert "there is none" in found["calibration"].text

    studio.add_calibration("board", {"0_K": 1})
    with transaction(studio.engine) as tx:
        tx.execute(update(Calibration).values(made_at=utc_now() - timedelta(hours=30)))
    found = {check.name: check for check in studio.preflight("dim").checks}
    assert "the limit is 24 h" in found["calibration"].text
    assert found["focus mode"].cameras.keys() == {"cam-01"}
    assert found["settings"].level == "ok"

    session = studio.start_session(home.subject, "short")  # nothing was left armed or held
    assert studio.fire(session, profile="dim").kept
    fleet.kill("cam-01")
    found = {check.name: check for check in studio.preflight("dim").checks}
    assert "cam-01" in found["settings"].cameras | found["cameras"].cameras


@pytest.mark.parametrize(("disks", "low"), [("aabb", ""), ("aaab", "012"), ("aaa-", "012"), ("----", "")])
def test_room_on_a_disk_is_counted_for_every_camera_that_shares_it(
    rig_of: Callable[..., Rig], disks: str, low: str
) -> None:
    """2.5 GB are free everywhere and each camera needs 1 GB; "-" does not say which disk it has."""
    rig = replace(rig_of(4), preflight=PreflightLimits(frames=100, frame_mb=10))
    names = [camera.name for camera in rig.cameras]
    armed = {
        name: wire.Armed(fire_id="f", camera=name, clock_uncertainty_ns=1, free_bytes=2_500_000_000) for name in names
    }
    told = {name: disk.replace("-", "") for name, disk in zip(names, disks, strict=True)}
    found = {check.name: check for check in check_cameras(rig, armed, told)}["node disk"]
    assert found.cameras == {f"cam-0{n}": "2.50 GB, 3.00 GB are needed by the 3 cameras on its disk" for n in low}
    del armed["cam-00"]  # it was not armed now; its photographs need the room all the same
    found = {check.name: check for check in check_cameras(rig, armed, told)}["node disk"]
    assert sorted(found.cameras) == [f"cam-0{n}" for n in low if n != "0"]


def test_a_rig_in_order_is_ready(start: Callable[..., Studio], rig: Rig) -> None:
    studio = start(replace(rig, preflight=PreflightLimits(frame_mb=0.001)))
    studio.add_calibration("board", {"0_K": 1})
    found = studio.preflight()
    assert found.ready, [check for check in found.checks if check.level == "fault"]
    looked_at = {check.name for check in found.checks if check.level != "ok"}
    assert looked_at - {"real time"} == {"frames left"}  # endless: it does not say
    assert ("real time" in looked_at) == (not realtime_permitted())  # the nodes run as this test does


def test_profiles_are_applied_and_read_back_on_a_ptp_camera(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, tmp_path: Path, jpeg: Callable[..., bytes]
) -> None:
    """libgphoto2's own virtual camera: a value it has, and one it does not have."""
    folder = tmp_path / "card"
    folder.mkdir()
    (folder / "one.jpg").write_bytes(jpeg(1))
    rig = replace(
        rig_of(1),
        exposure=ExposureEntry(aperture="f/8", shutter="1/200"),
        profiles={"night": ExposureEntry(aperture="f/99")},
    )
    studio = home.open(rig)
    fleet.start(studio, {"cam-00": f"gphoto2:virtual?photos={folder}"})
    studio.wait_for_cameras(60)
    session = studio.start_session(home.subject, "short")
    result = studio.fire(session, profile="night")
    assert result.state == "failed"
    assert "aperture: 'f/99' is not among" in result.faults["cam-00"]
    found = {check.name: check for check in studio.preflight("night").checks}
    assert "aperture: 'f/99' is not among" in found["settings"].cameras["cam-00"]
    found = {check.name: check for check in studio.preflight().checks}
    assert found["battery"].text.startswith("least ")
    assert found["settings"].level == "ok"
    result = studio.fire(session)
    assert result.kept, result.message
