"""Events about cameras are found again by rig and kind, in order, and the audit chain holds."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from db.audit import audit_log
from db.engine import reading, transaction, utc_now
from db.rigs.camera_events import events_of, record_event


def test_by_rig_kind_and_time(engine: Engine) -> None:
    with transaction(engine) as tx:
        for number in range(3):
            record_event(tx, "a", "cam-07", "camera.recover", {"session": "S001-1", "number": number})
        record_event(tx, "b", "cam-07", "camera.recover", {"session": None})
        record_event(tx, "a", "cam-08", "camera.fault", {"code": "stray", "text": "IMG_1.JPG"})
    with reading(engine) as tx:
        assert [event.detail["number"] for event in events_of(tx, "a", "camera.recover")] == [0, 1, 2]
        assert [event.detail["number"] for event in events_of(tx, "a", "camera.recover", most=3)] == [1, 2]
        (fault,) = events_of(tx, "a", "camera.fault", utc_now() - timedelta(minutes=5))
        assert (fault.camera, fault.detail["code"]) == ("cam-08", "stray")
        assert events_of(tx, "a", "camera.fault", utc_now() + timedelta(minutes=5)) == []
        assert audit_log.verify_chain(tx).broken is None


@pytest.mark.parametrize("camera", ["c" * 128, "cam-07"])
def test_a_long_name_is_kept_whole(engine: Engine, camera: str) -> None:
    with transaction(engine) as tx:
        record_event(tx, "r" * 128, camera, "camera.write_off", {"take": "S001-1-E01-1", "reason": "lost"})
    with reading(engine) as tx:
        (event,) = events_of(tx, "r" * 128, "camera.write_off")
    assert event.camera == camera
