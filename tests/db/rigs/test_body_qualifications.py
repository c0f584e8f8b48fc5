"""Qualifications in the records: kept once, at their place, audited; the newest first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from mien_tests_db_fixtures import events_about

from db.engine import reading, transaction
from db.errors import AlreadyThere, NotFound, StateConflict
from db.models import BodyVerdict
from db.rigs.body_qualifications import NewReport, get_report, keep_report, kept_reports

MADE = datetime(2026, 11, 28, 14, 0, tzinfo=UTC)
REPORT = NewReport(
    "D850", "serial-1", "1.20", MADE, BodyVerdict.FIT_WITH_REMARKS, 100, b"one",
    {"form": 1, "reasons": [{"unfit": False, "what": "it does not tell its clock", "limit": ""}]},
)  # fmt: skip


def test_a_report_goes_to_the_place_of_its_serial_and_is_audited(engine, studio_rows):
    with transaction(engine) as tx:
        studio_rows.rig(tx)
        number = keep_report(tx, REPORT).id
    with reading(engine) as tx:
        (kept,) = kept_reports(tx)
        assert (kept.id, kept.camera, kept.verdict) == (number, "booth cam-01", BodyVerdict.FIT_WITH_REMARKS)
        assert (kept.made_at, kept.reasons) == (MADE, ("it does not tell its clock",))
        assert get_report(tx, number).report == REPORT.report
        (event,) = events_about(tx, "camera", "booth cam-01")
        assert event.action == "camera.report"
        assert event.detail["verdict"] == "fit_with_remarks"


def test_a_body_of_no_rig_is_kept_all_the_same(engine):
    with transaction(engine) as tx:
        keep_report(tx, replace(REPORT, serial=""))
    with reading(engine) as tx:
        assert [kept.camera for kept in kept_reports(tx)] == [None]
        with pytest.raises(NotFound, match="mien camera reports"):
            get_report(tx, 99)


def test_a_report_is_kept_once(engine):
    with transaction(engine) as tx:
        keep_report(tx, REPORT)
    with pytest.raises(AlreadyThere, match="D850"), transaction(engine) as tx:
        keep_report(tx, REPORT)


def test_a_place_must_be_there_and_of_that_body(engine, studio_rows):
    with transaction(engine) as tx:
        studio_rows.rig(tx)
        studio_rows.rig(tx, name="attic")
    for arguments, error, words in (
        ({"camera": "cam-77"}, NotFound, "cam-77"),
        ({"camera": "cam-01"}, StateConflict, "--rig"),
        ({"camera": "cam-01", "rig": "cellar"}, NotFound, "cellar"),
        ({"camera": "cam-02", "rig": "attic"}, StateConflict, "serial-2 belongs at attic cam-02"),
    ):
        with pytest.raises(error, match=words), transaction(engine) as tx:
            keep_report(tx, REPORT, **arguments)
    with transaction(engine) as tx:
        keep_report(tx, REPORT, camera="cam-01", rig="attic")
        keep_report(tx, replace(REPORT, serial="", data=b"two"), camera="cam-02", rig="attic")
    with reading(engine) as tx:
        assert {kept.camera for kept in kept_reports(tx)} == {"attic cam-01", "attic cam-02"}


def test_the_newest_come_first_and_can_be_asked_for_by_place_and_model(engine, studio_rows):
    with transaction(engine) as tx:
        studio_rows.rig(tx)
        for day in range(3):
            model = "D850" if day else "Z 9"
            keep_report(tx, replace(REPORT, model=model, made_at=MADE + timedelta(days=day), data=bytes([day])))
        keep_report(tx, replace(REPORT, serial="serial-2", made_at=MADE - timedelta(days=1), data=b"old"))
    with reading(engine) as tx:
        days = [kept.made_at for kept in kept_reports(tx)]
        assert days == sorted(days, reverse=True)
        assert len(days) == 4
        assert len(kept_reports(tx, camera="cam-01")) == 3
        assert [kept.model for kept in kept_reports(tx, model="Z 9")] == ["Z 9"]
        assert kept_reports(tx, camera="cam-01", model="D850", limit=1)[0].made_at == days[0]
