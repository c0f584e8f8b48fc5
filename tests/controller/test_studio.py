"""Sessions on real node processes with simulated cameras: whole takes are kept, and every fault has a name."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from controller.errors import SessionError
from controller.rig_file import Rig
from controller.studio import Studio
from db.engine import reading
from db.models import CaptureSession, Frame, SessionState, TakeState

CAMERAS = 4


@pytest.fixture
def rig(rig_of: Callable[..., Rig]) -> Rig:
    return rig_of(CAMERAS)


@pytest.fixture
def start(home: Any, rig: Rig, fleet: Any, photos: Path, sim_url: Callable[..., str]) -> Callable[..., Any]:
    """start(cam_02={"drop": 1}): a studio with its nodes ready; options of single cameras by name."""

    def begin(**options: dict[str, object]) -> tuple[Studio, str]:
        studio = home.open(rig)
        urls = {
            camera.name: sim_url(camera.view, photos, **options.get(camera.name.replace("-", "_"), {}))
            for camera in rig.cameras
        }
        fleet.start(studio, urls)
        studio.wait_for_cameras(30)
        return studio, studio.start_session(home.subject, "short")

    return begin


def states(studio: Studio, session: str) -> dict[str, str]:
    return {take.code: take.state.value for take in studio.state_of(session).takes}


def test_each_photograph_keeps_what_was_known_of_its_nodes_clock(start: Callable[..., Any]) -> None:
    studio, session = start(cam_01={"clock_offset_ms": 5000, "clock_drift_ppm": 40})
    result = studio.fire(session)
    assert result.kept, result.message
    with reading(studio.engine) as tx:
        frames = {frame.camera.name: frame for frame in tx.scalars(select(Frame))}
    assert {frame.clock_source for frame in frames.values()} == {"pings"}
    assert all(frame.clock_uncertainty_ms > 0 for frame in frames.values())
    for camera, frame in frames.items():  # the studio's clock minus the node's; all run on this machine's
        ahead_ns = 5_000_000_000 if camera == "cam-01" else 0
        assert frame.clock_offset_ns == pytest.approx(-ahead_ns, abs=20_000_000)
        assert abs(frame.clock_drift_ppb) <= 500_000


def test_a_session_from_the_first_fire_to_the_close(start: Callable[..., Any], photos: Path, fleet: Any) -> None:
    studio, session = start()
    result = studio.fire(session)
    assert result.kept, result.message
    assert (result.expression, result.take, result.frames) == ("neutral", f"{session}-E01-1", CAMERAS)
    assert result.skew.command_skew_ms is not None
    assert result.skew.command_skew_ms >= 0
    assert result.skew.clock_uncertainty_ms > 0
    assert result.skew.exposure_source == "simulated"
    assert result.skew.exposure_skew_ms >= 0

    filed = studio.records.photographs(result.take)
    assert filed == {
        camera.name: hashlib.sha256((photos / f"{camera.view}.jpg").read_bytes()).hexdigest()
        for camera in studio.rig.cameras
    }
    with pytest.raises(SessionError, match=r"(?s)3 of 3.*neutral"):
        studio.close(session)
    with pytest.raises(SessionError, match="already captured"):
        studio.fire(session, "neutral")
    assert studio.accept(session).state is TakeState.ACCEPTED

    again = studio.retake(session, "neutral")
    assert again.kept, again.message
    assert f"{result.take} stays accepted" in again.message
    assert states(studio, session) == {result.take: "accepted", again.take: "captured"}
    with pytest.raises(SessionError, match=f"{session}-E01-3"):
        studio.accept(session, f"{session}-E01-3")
    assert studio.records.photographs(result.take) == filed  # the old take keeps its photographs
    studio.accept(session, "neutral")  # the one that is shown
    assert states(studio, session) == {result.take: "superseded", again.take: "accepted"}

    for expression in ("smile", "mouth_stretch"):
        assert studio.fire(session).expression == expression
        studio.accept(session)
    handoff = studio.close(session)
    assert handoff.takes == tuple(f"{session}-{part}" for part in ("E01-2", "E02-1", "E03-1"))
    assert handoff.photographs == 3 * CAMERAS
    with reading(studio.engine) as tx:
        row = tx.query(CaptureSession).filter_by(code=session).one()
        assert row.state is SessionState.CLOSED
    with pytest.raises(SessionError, match="closed"):
        studio.fire(session, "neutral")
    assert [lag.shots for lag in studio.lags.table()] == [4] * CAMERAS
    assert all(not fleet.spooled(camera.name) for camera in studio.rig.cameras)


def test_a_dropped_photograph_fails_the_take_by_name_and_a_retake_supersedes_nothing(
    start: Callable[..., Any],
) -> None:
    studio, session = start(cam_02={"drop": 1.0})
    result = studio.fire(session, "smile")
    assert result.state == "failed"
    assert result.faults.keys() == {"cam-02"}
    assert result.message.splitlines()[0] == f"Take {result.take} was not kept: 1 of {CAMERAS} cameras failed."
    assert result.message.splitlines()[-1].endswith(f"mien session retake {session}-E02")
    assert studio.records.photographs(result.take).keys() == {"cam-00", "cam-01", "cam-03"}
    with pytest.raises(SessionError, match="Nothing to accept"):
        studio.accept(session, "smile")
    second = studio.retake(session, "smile")
    assert states(studio, session) == {result.take: "failed", second.take: "failed"}


def test_a_photograph_cut_short_stays_on_its_card_and_is_named(start: Callable[..., Any], fleet: Any) -> None:
    studio, session = start(cam_01={"truncate": 1.0})
    result = studio.fire(session)
    assert result.faults.keys() == {"cam-01"}
    assert "stays on its card" in result.faults["cam-01"]
    assert studio.records.photographs(result.take).keys() == {"cam-00", "cam-02", "cam-03"}
    assert fleet.spooled("cam-01") == []


def test_a_camera_that_refuses_to_arm_stops_the_fire_before_it_happens(start: Callable[..., Any]) -> None:
    studio, session = start(cam_03={"busy": 1.0})
    result = studio.fire(session)
    assert result.state == "failed"
    assert result.faults.keys() == {"cam-03"}
    assert "busy" in result.faults["cam-03"]
    assert result.frames == 0
    assert "was not fired" in result.message


def test_a_node_killed_before_the_fire_is_named_and_everything_goes_on_without_restart(
    start: Callable[..., Any], fleet: Any, photos: Path, sim_url: Callable[..., str]
) -> None:
    studio, session = start()
    fleet.kill("cam-00")
    result = studio.fire(session)  # its silence has not been noticed yet
    assert result.state == "failed"
    assert result.faults.keys() == {"cam-00"}
    fleet.start(studio, {"cam-00": sim_url(0, photos)})
    studio.wait_for_cameras(30)
    assert studio.retake(session, "neutral").kept


def test_a_late_shutter_is_flagged_though_the_take_is_whole(start: Callable[..., Any]) -> None:
    studio, session = start(cam_02={"late": 1.0, "late_ms": 30})
    result = studio.fire(session)
    assert result.kept, result.message
    assert result.skew.exposure_skew_ms > 25
    assert any("exposure skew" in flag for flag in result.flags)
    assert "exposure skew" in (studio.records.take(result.take).problem or "")


@pytest.mark.slow
def test_a_whole_rig_of_sixty_eight_processes(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, photos: Path, sim_url: Callable[..., str]
) -> None:
    studio = home.open(rig_of(68))
    fleet.start(studio, {camera.name: sim_url(camera.view, photos) for camera in studio.rig.cameras})
    studio.wait_for_cameras(150)
    session = studio.start_session(home.subject, "short")
    for expression in ("neutral", "smile"):
        result = studio.fire(session, expression)
        assert result.kept, result.message
        assert result.frames == 68
        studio.accept(session, expression)
    fleet.kill("cam-67")
    failed = studio.fire(session, "mouth_stretch")
    assert failed.message.startswith(f"Take {failed.take} was not fired: 1 of 68 cameras failed.\n  cam-67  ")
