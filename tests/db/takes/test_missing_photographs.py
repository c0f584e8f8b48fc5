"""Cameras set aside and takes without a camera, on both databases: what is recorded, and by whom it is settled."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from db import captures, store_identity
from db.engine import reading, transaction, utc_now
from db.erasure.erasures import erase_subject
from db.errors import NotFound, StateConflict
from db.models import AuditEvent, CameraAside, ConsentScope, TakeAbsence, TakeState
from db.reports.study_overview import missing_frames
from db.rigs import cameras_aside, rig_records
from db.store import Store
from db.subjects import get_subject, withdraw_consent
from db.takes import missing_photographs
from db.takes.missing_photographs import LateArrival

CAMERAS = 4


@pytest.fixture
def failed(engine: Engine, studio_rows: Any) -> str:
    """A take that failed for want of the photographs of cam-02 and cam-03."""
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx, cameras=CAMERAS)
        session = studio_rows.session(tx, studio_rows.subject(tx, ConsentScope.RESEARCH_RELEASE), rig)
        take = captures.plan_take(tx, session, 1)
        captures.fire_take(tx, take)
        for view in (0, 1):
            add(tx, take, view)
        captures.fail_take(tx, take, "no photograph")
        return take.code


def add(tx: Any, take: Any, view: int) -> LateArrival | None:
    camera = rig_records.get_rig(tx, "booth").cameras[view]
    captures.add_frames(tx, take, [captures.FrameData(camera.id, f"{take.id:032x}{view:032x}", 9, 8, 12)])
    return missing_photographs.note_arrival(tx, take, camera)


def test_two_photographs_that_come_late_at_once_complete_the_take_once(engine: Engine, failed: str) -> None:
    """The second is filed while the first one's transaction is under way: it waits for it, and sees it."""
    found: list[LateArrival | None] = []

    def second() -> None:
        with transaction(engine) as tx:
            found.append(add(tx, captures.get_take(tx, failed), 3))

    thread = threading.Thread(target=second)
    with transaction(engine) as tx:
        first = add(tx, captures.get_take(tx, failed), 2)
        thread.start()
        thread.join(0.5)
        assert not found  # it waits
    thread.join(30)
    assert first is not None
    assert (first.completes, first.lacking) == (False, ("cam-03",))
    assert found[0] is not None
    assert (found[0].completes, found[0].after) == (True, TakeState.CAPTURED)
    with reading(engine) as tx:
        assert captures.get_take(tx, failed).state is TakeState.CAPTURED


def test_a_decision_and_a_photograph_at_once(engine: Engine, failed: str) -> None:
    """Whoever comes second sees what the first has done: nothing is kept without what is there."""
    with transaction(engine) as tx:
        add(tx, captures.get_take(tx, failed), 2)
        add(tx, captures.get_take(tx, failed), 3)
    with transaction(engine) as tx:
        take = captures.get_take(tx, failed)
        cameras = [camera.id for camera in rig_records.get_rig(tx, "booth").cameras[2:]]
        with pytest.raises(StateConflict, match="is captured"):
            missing_photographs.keep_without(tx, take, cameras, "why", "kept")


def test_what_was_decided_counts_while_the_photograph_is_not_there(engine: Engine, failed: str) -> None:
    with transaction(engine) as tx:
        take = captures.get_take(tx, failed)
        cameras = [camera.id for camera in captures.missing_cameras(tx, take)]
        with pytest.raises(StateConflict, match="lacks cam-02, cam-03"):
            missing_photographs.keep_without(tx, take, cameras[:1], "why", "kept")
        missing_photographs.keep_without(tx, take, cameras, "cable", "kept")
        assert captures.missing_cameras(tx, take) == []
    with reading(engine) as tx:
        assert missing_photographs.absent_views(tx, [take.id]) == {take.id: {2: "decided", 3: "decided"}}
    with transaction(engine) as tx:
        arrival = add(tx, captures.get_take(tx, failed), 3)
    assert arrival is not None
    assert (arrival.decided, arrival.completes, arrival.lacking) == ("cable", False, ())
    with reading(engine) as tx:
        assert missing_photographs.absent_views(tx, [take.id]) == {take.id: {2: "decided"}}
        assert [one.came_at is not None for one in missing_photographs.absences_of(tx, take.id)] == [False, True]


def test_a_camera_that_was_aside_lacks_nothing(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx, cameras=CAMERAS)
        session = studio_rows.session(tx, studio_rows.subject(tx), rig)
        take = captures.plan_take(tx, session, 1)
        missing_photographs.record_aside(tx, take, {rig.cameras[3].id: "stuck"})
        captures.fire_take(tx, take)
        with pytest.raises(StateConflict, match="no photograph from cam-00, cam-01, cam-02;"):
            captures.capture_take(tx, take)
        captures.fail_take(tx, take, "no photograph")
    with reading(engine) as tx:
        (short,) = missing_frames(tx)
        assert short.cameras == ("cam-00", "cam-01", "cam-02")


def test_one_aside_a_camera_is_open_and_all_are_kept(engine: Engine, studio_rows: Any) -> None:
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx, cameras=CAMERAS)
        cameras_aside.put_aside(tx, rig, ["cam-01", "cam-02"], "stuck")
        cameras_aside.put_aside(tx, rig, ["cam-01"], "lent", until=utc_now() + timedelta(hours=1))
        assert {name: one.reason for name, one in cameras_aside.asides_of(tx, rig).items()} == {
            "cam-01": "lent",
            "cam-02": "stuck",
        }
        cameras_aside.bring_back(tx, rig, ["cam-02"])
        with pytest.raises(NotFound, match="cam-02 is not aside"):
            cameras_aside.bring_back(tx, rig, ["cam-02"])
        with pytest.raises(NotFound, match="no camera cam-9"):
            cameras_aside.put_aside(tx, rig, ["cam-9"], "stuck")
        assert cameras_aside.lift_over(tx, rig) == []
        assert cameras_aside.lift_over(tx, rig, utc_now() + timedelta(hours=2)) == ["cam-01"]
        rows = [(row.reason, row.lifted_by) for row in tx.scalars(select(CameraAside).order_by(CameraAside.id))]
    assert sorted(rows) == [("lent", "time"), ("stuck", "back"), ("stuck", "changed")]
    with transaction(engine) as tx:
        rig = rig_records.get_rig(tx, "booth")
        tx.add(CameraAside(camera_id=rig.cameras[0].id, reason="another studio", since=utc_now()))
        tx.flush()
        with pytest.raises(StateConflict, match="Somebody else"):
            _put_without_lifting(tx, rig)


def _put_without_lifting(tx: Any, rig: Any) -> None:
    """As when another studio's row appears between our lifting and our adding."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cameras_aside, "_lift", lambda *_: None)
        cameras_aside.put_aside(tx, rig, ["cam-00"], "stuck")


def test_words_about_takes_go_with_the_person_and_never_reach_the_log(
    engine: Engine, failed: str, tmp_path: Path
) -> None:
    with transaction(engine) as tx:
        take = captures.get_take(tx, failed)
        cameras = [camera.id for camera in captures.missing_cameras(tx, take)]
        missing_photographs.keep_without(tx, take, cameras, "she had a nosebleed", "kept: she had a nosebleed")
        session = captures.get_session(tx, take.session.code)
        cameras_aside.put_aside(tx, session.rig, ["cam-01"], "for her wheelchair", session=session)
        captures.close_session(tx, session, incomplete=True)
        code = session.subject.code
    with transaction(engine) as tx:
        withdraw_consent(tx, get_subject(tx, code), [ConsentScope.RESEARCH_RELEASE])
    store = Store(tmp_path / "store")
    (tmp_path / "store").mkdir()
    store_identity.accept_as_current(engine, store)  # the photographs are invented: their rows matter here
    erase_subject(engine, store, code)
    with reading(engine) as tx:
        assert set(tx.scalars(select(TakeAbsence.reason))) == {"erased"}
        assert set(tx.scalars(select(CameraAside.reason))) == {"erased"}
        assert not [e for e in tx.scalars(select(AuditEvent)) if "nosebleed" in str(e.detail)]
