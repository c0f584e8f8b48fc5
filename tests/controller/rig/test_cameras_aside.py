"""A studio that goes on without a camera: real node processes, simulated bodies, one or two of them dead."""

import io
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from controller.errors import AsideRefused, RigNotReady, SessionError
from controller.rig.cameras_aside import aside_summary, until_when
from controller.rig_file import AsideLimits, PreflightLimits, Rig
from controller.studio import Studio
from controller.take_checks.contact_sheet import contact_sheet
from controller.takes.take_progress import TakeProgress
from db.audit import audit_log
from db.engine import reading, transaction, utc_now
from db.errors import NotFound
from db.models import AbsenceKind, AuditEvent, CameraAside, TakeAbsence, TakeState
from db.rigs import cameras_aside, rig_records

CAMERAS = 8
WHY = "shutter stuck"


@pytest.fixture
def rig(rig_of: Callable[..., Rig]) -> Rig:
    return replace(rig_of(CAMERAS), preflight=PreflightLimits(frame_mb=0.001))


@pytest.fixture
def start(home: Any, fleet: Any, photos: Path, sim_url: Callable[..., str]) -> Callable[..., Studio]:
    """start(rig, dead=("cam-03",), cam_05={...}): a studio whose other nodes run; options of single cameras by name."""

    def begin(rig: Rig, dead: tuple[str, ...] = (), **options: dict[str, object]) -> Studio:
        studio: Studio = home.open(rig)
        urls = {
            camera.name: sim_url(camera.view, photos, **options.get(camera.name.replace("-", "_"), {}))
            for camera in rig.cameras
            if camera.name not in dead
        }
        fleet.start(studio, urls)
        return studio

    return begin


def events(studio: Studio, action: str) -> list[AuditEvent]:
    with reading(studio.engine) as tx:
        return list(tx.scalars(select(AuditEvent).where(AuditEvent.action == action).order_by(AuditEvent.id)))


def test_one_dead_body_does_not_end_the_day(start: Callable[..., Studio], rig: Rig, home: Any) -> None:
    studio = start(rig, dead=("cam-03",))
    while {report.camera for report in studio.cameras() if not report.ready} != {"cam-03"}:
        time.sleep(0.05)
    with pytest.raises(RigNotReady, match=r"(?s)1 of 8 cameras are not ready.*cam-03"):
        studio.wait_for_cameras(0)
    studio.asides.put(["cam-03"], WHY, "back")
    assert len(studio.wait_for_cameras(60).ready) == CAMERAS - 1
    session = studio.start_session(home.subject, "short")

    result = studio.fire(session)
    assert result.kept, result.message
    assert result.message == f"Take {result.take} is whole: 7 of 7 photographs, cam-03 is aside: {WHY}."
    assert (result.frames, result.cameras, result.aside) == (7, 7, {"cam-03": WHY})
    assert result.skew.exposure_source == "simulated"
    assert result.skew.exposure_skew_ms is not None  # of the cameras that took part
    assert not studio.records.take(result.take).flagged
    (absent,) = studio.records.take(result.take).absent
    assert (absent.camera, absent.kind, absent.reason, absent.came_at) == ("cam-03", AbsenceKind.ASIDE, WHY, None)
    review = studio.reviewer.result(result.take, wait_s=60)
    assert review is not None
    assert not [check for check in review.checks if check.camera == "cam-03"]
    (without,) = [check.reason for check in review.checks if check.name == "without"]
    assert without == "7 photographs, and none of cam-03 (aside)"
    with studio.store.open(review.sheet) as file:
        image = Image.open(io.BytesIO(file.read()))
        assert image.width * image.height > 0
    studio.accept(session)

    report = studio.measure_lags(5)
    assert "cam-03" not in {lag.camera for lag in report.lags}
    assert not report.unmeasured
    handed = studio.close(session, incomplete=True)
    assert handed.photographs == 7
    assert handed.without == {result.take: {"cam-03": f"aside: {WHY}"}}


@pytest.mark.slow
def test_sixty_six_of_sixty_eight(start: Callable[..., Studio], rig_of: Callable[..., Rig], home: Any) -> None:
    """A whole rig with two dead bodies fires a whole session."""
    rig = rig_of(68)
    dead = ("cam-07", "cam-31")
    studio = start(rig, dead=dead)
    session = studio.start_session(home.subject, "short")
    studio.asides.put(dead, WHY, "session")
    assert len(studio.wait_for_cameras(200).ready) == 66
    for _ in range(3):
        result = studio.fire(session)
        assert result.kept, result.message
        assert "66 of 66 photographs, cam-07, cam-31 are aside: shutter stuck" in result.message
        studio.accept(session)
    handed = studio.close(session)
    assert handed.photographs == 3 * 66
    assert all(without.keys() == set(dead) for without in handed.without.values())
    assert studio.roster().aside == ()  # the session is over


def test_preflight_and_the_report_know_who_is_aside(start: Callable[..., Studio], rig: Rig) -> None:
    studio = start(rig, dead=("cam-03",))
    studio.asides.put(["cam-03"], WHY, "back")
    studio.wait_for_cameras(60)
    studio.add_calibration("board", {"0_K": 1})
    found = studio.preflight()
    checks = {check.name: check for check in found.checks}
    assert found.ready, found.faults
    assert checks["cameras"].text == "7 of 7 are here"
    assert (checks["aside"].level, checks["aside"].text) == ("warning", "1 of at most 4 is aside")
    assert checks["aside"].cameras["cam-03"].startswith(WHY)
    (report,) = [report for report in studio.cameras() if report.aside]
    assert (report.camera, report.ready, report.problems) == ("cam-03", False, ())
    studio.asides.back(["cam-03"])
    checks = {check.name: check for check in studio.preflight().checks}
    assert checks["aside"].level == "ok"
    assert checks["cameras"].level == "fault"


def test_a_camera_that_answers_is_left_alone_while_it_is_aside(
    start: Callable[..., Studio], rig: Rig, home: Any
) -> None:
    """It refuses every arming; nobody asks it to arm."""
    studio = start(rig, cam_05={"busy": 1.0})
    studio.wait_for_cameras(60)
    session = studio.start_session(home.subject, "short")
    assert studio.fire(session).faults.keys() == {"cam-05"}
    studio.asides.put(["cam-05"], "card slot bent", "session")
    result = studio.retake(session, "neutral")
    assert result.kept, result.message
    studio.accept(session)
    studio.close(session, incomplete=True)
    assert studio.asides.current() == {}  # the session is over
    assert [event.detail["by"] for event in events(studio, "rig.back")] == ["session"]


def test_who_is_aside_survives_a_restart_and_ends_when_its_time_is_over(home: Any, rig: Rig) -> None:
    studio = home.open(rig)
    studio.asides.put(["cam-01"], WHY, "2h")
    studio.asides.put(["cam-04"], "lent out", "back")
    studio.asides.put(["cam-01"], "shutter replaced, to be tried", "3d")  # said anew: one is in force, both are kept
    home.stack.close()
    studio = home.open(rig)
    assert {name: aside.reason for name, aside in studio.asides.current().items()} == {
        "cam-01": "shutter replaced, to be tried",
        "cam-04": "lent out",
    }
    with transaction(studio.engine) as tx:
        rows = list(tx.scalars(select(CameraAside).order_by(CameraAside.id)))
        assert [row.lifted_by for row in rows] == ["changed", None, None]
        back = cameras_aside.lift_over(tx, rig_records.get_rig(tx, rig.name), utc_now() + timedelta(days=4))
    assert back == ["cam-01"]
    home.stack.close()
    studio = home.open(rig)
    assert studio.asides.current().keys() == {"cam-04"}
    assert studio.roster().aside == ("cam-04",)
    assert [event.detail["cameras"] for event in events(studio, "rig.aside")] == [["cam-01"], ["cam-04"], ["cam-01"]]
    assert events(studio, "rig.back")[0].detail == {"cameras": ["cam-01"], "by": "time"}
    with reading(studio.engine) as tx:
        assert audit_log.verify_chain(tx).broken is None
    assert not any(WHY in str(event.detail) for event in events(studio, "rig.aside"))  # free words are not in the log


def test_refusals_name_the_rule_and_what_to_do(home: Any, rig: Rig) -> None:
    studio = home.open(rig)
    studio.asides.put(["cam-03"], WHY, "back")
    with pytest.raises(AsideRefused, match=r"(?s)cam-03 and cam-04 stand side by side.*mien rig back cam-03"):
        studio.asides.put(["cam-04"], "too", "back")
    studio.asides.put(["cam-06"], "too", "back")
    with pytest.raises(AsideRefused, match="of 8 views the farm can do without 2"):
        studio.asides.put(["cam-00"], "too", "back")
    with pytest.raises(NotFound, match="no camera cam-77"):
        studio.asides.put(["cam-77"], "too", "back")
    with pytest.raises(AsideRefused, match="Say why"):
        studio.asides.put(["cam-00"], " \n", "back")
    with pytest.raises(AsideRefused, match="No session is open"):
        studio.asides.put(["cam-03"], WHY, "session")
    with pytest.raises(NotFound, match="cam-00 is not aside"):
        studio.asides.back(["cam-03", "cam-00"])
    assert studio.asides.current().keys() == {"cam-03", "cam-06"}  # what is refused changes nothing


def test_the_newest_calibration_says_who_are_neighbours(home: Any, rig: Rig) -> None:
    studio = home.open(rig)
    spots = [0, 4, 1, 5, 2, 6, 3, 7]  # views by number are not side by side
    places = {f"{v}_Rt": [[1, 0, 0, -100.0 * spots[v]], [0, 1, 0, 0], [0, 0, 1, 0]] for v in range(CAMERAS)}
    studio.add_calibration("board", places)
    studio.asides.put(["cam-00"], WHY, "back")
    with pytest.raises(AsideRefused, match="cam-00 and cam-02 stand side by side"):
        studio.asides.put(["cam-02"], "too", "back")
    studio.asides.put(["cam-01"], "too", "back")


def test_a_rig_file_that_allows_less_than_is_aside_stops_the_fire(
    start: Callable[..., Studio], rig: Rig, home: Any
) -> None:
    studio = start(replace(rig, aside=AsideLimits(max=0)), dead=("cam-03",))
    with transaction(studio.engine) as tx:  # as an earlier studio with another rig file left it
        cameras_aside.put_aside(tx, rig_records.get_rig(tx, rig.name), ["cam-03"], WHY)
    studio.asides.lift_over()
    studio.wait_for_cameras(60)
    session = studio.start_session(home.subject, "short")
    with pytest.raises(RigNotReady, match=r"(?s)cam-03 would be missing, 0 may be.*mien rig back cam-03"):
        studio.fire(session)
    assert not studio.state_of(session).takes
    checks = {check.name: check for check in studio.preflight().checks}
    assert checks["aside"].level == "fault"


@pytest.mark.parametrize("remembered", [True, False])
def test_a_photograph_that_claims_to_be_of_a_camera_that_was_aside_is_refused(
    home: Any, rig: Rig, speaker: Callable[..., Any], jpeg: Callable[..., bytes], remembered: bool
) -> None:
    from camera_nodes import wire

    studio = home.open(rig)
    studio.asides.put(["cam-02"], WHY, "back")
    session = studio.start_session(home.subject, "short")
    take = studio.records.plan(session, 1, aside=studio.asides.reasons())
    studio.records.fired(take)
    if remembered:  # else it was fired by an earlier studio, and failed
        studio.events.open(TakeProgress(take, [camera.name for camera in rig.cameras], aside=studio.asides.reasons()))
    else:
        studio.records.failed(take, "no photograph")
    node = speaker(studio, "cam-02")
    node.greet()
    answer = node.upload(take, jpeg(2))
    assert isinstance(answer, wire.Rejected)
    assert "was aside when" in answer.reason
    with reading(studio.engine) as tx:
        assert [row.came_at for row in tx.scalars(select(TakeAbsence))] == [None]


def test_a_take_settled_after_a_restart_is_whole_without_the_camera_that_was_aside(
    home: Any, rig: Rig, speaker: Callable[..., Any], jpeg: Callable[..., bytes]
) -> None:
    studio = home.open(rig)
    studio.asides.put(["cam-02"], WHY, "back")
    session = studio.start_session(home.subject, "short")
    take = studio.records.plan(session, 1, aside=studio.asides.reasons())
    studio.records.fired(take)
    studio.asides.back(["cam-02"])  # what is decided later does not change what this take is
    home.stack.close()
    studio = home.open(rig)
    for camera in rig.cameras:
        if camera.name != "cam-02":
            node = speaker(studio, camera.name)
            node.greet()
            node.upload(take, jpeg(camera.view))
    for thread in studio.recovery._threads:
        thread.join(60)
    assert studio.records.take(take).state is TakeState.CAPTURED
    with pytest.raises(SessionError, match="lacks no photograph"):
        studio.accept(session, "neutral", without=["cam-02"], reason="why")


def test_the_contact_sheet_has_a_tile_in_place_of_a_photograph(jpeg: Callable[..., bytes]) -> None:
    tiles = [("cam-00", jpeg(0)), ("cam-01", b""), ("cam-02", jpeg(2))]

    def sheet(absent: dict[str, str]) -> Any:
        return np.asarray(Image.open(io.BytesIO(contact_sheet("take", tiles, {}, absent))).convert("L")).astype(int)

    empty, told = sheet({}), sheet({"cam-01": "aside"})
    assert empty.shape == told.shape
    third = empty.shape[1] // 3
    changed = np.abs(told - empty) > 40
    assert changed[:, third : 2 * third].sum() > 100  # the frame and the word
    assert not changed[:, : third - 8].any()
    assert not changed[:, 2 * third + 8 :].any()


def test_durations() -> None:
    now = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
    assert until_when("90m", now) == now + timedelta(minutes=90)
    assert until_when("2h", now) == now + timedelta(hours=2)
    assert until_when("3d", now) == now + timedelta(days=3)
    midnight = until_when("today", now)
    assert midnight is not None
    assert timedelta() < midnight - now <= timedelta(days=1)
    assert (midnight.astimezone().hour, midnight.astimezone().minute) == (0, 0)
    assert until_when("back", now) is until_when("session", now) is None
    for wrong in ("", "0h", "yesterday", "61d", "-2h", "2 weeks", "1h30m"):
        with pytest.raises(AsideRefused, match="no time to be aside"):
            until_when(wrong, now)


def test_several_with_one_reason_are_told_together() -> None:
    told = aside_summary({"cam-01": "lent", "cam-02": "stuck", "cam-03": "lent"})
    assert told == "cam-01, cam-03 are aside: lent; cam-02 is aside: stuck"
