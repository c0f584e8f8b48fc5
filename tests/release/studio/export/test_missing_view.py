"""Takes that are whole without a view: released as the layout wants it, and not before the farm has what came late."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from db import captures
from db.engine import transaction
from db.models import Camera, ConsentScope, Take
from db.rigs import rig_records
from db.takes import missing_photographs
from processing.release.holder.verify import verify
from processing.release.studio.export.build import build_release

RELEASE, PUBLICATION = ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION
SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
VIEWS = 3


def shoot(studio: Any, tx: Any, session: Any, name: str, gone: int, decided: bool) -> Take:
    """A take without view `gone`, which was aside, or which it was kept without."""
    rig = session.rig
    camera = rig.cameras[gone]
    take = captures.plan_take(tx, session, name)
    if not decided:
        missing_photographs.record_aside(tx, take, {camera.id: "shutter stuck"})
    captures.fire_take(tx, take)
    for there in rig.cameras:
        if there is not camera:
            add(studio, tx, take, there)
    if decided:
        captures.fail_take(tx, take, "no photograph")
        missing_photographs.keep_without(tx, take, [camera.id], "cable", "kept without")
    else:
        captures.capture_take(tx, take)
    captures.accept_take(tx, take)
    return take


def add(studio: Any, tx: Any, take: Take, camera: Camera) -> None:
    sha256, size = studio.photograph(f"{take.code} {camera.view_index}")
    captures.add_frames(tx, take, [captures.FrameData(camera.id, sha256, size, width=8, height=12)])


@pytest.fixture
def session(studio: Any) -> Any:
    with transaction(studio.records.engine) as tx:
        subject = studio.rows.subject(tx, RELEASE, PUBLICATION)
        rig = studio.rows.rig(tx, cameras=VIEWS)
        session = studio.rows.session(tx, subject, rig)
        session.calibration = rig_records.add_calibration(tx, rig, "board", studio.calibration())
        return session


@SQLITE
def test_the_view_is_marked_invalid_and_its_absence_is_told(studio: Any, session: Any, tmp_path: Path) -> None:
    with transaction(studio.records.engine) as tx:
        session = captures.get_session(tx, session.code)
        studio.process(tx, shoot(studio, tx, session, "neutral", gone=1, decided=False))
        studio.process(tx, shoot(studio, tx, session, "smile", gone=2, decided=True))
        captures.close_session(tx, session, incomplete=True)
    built = build_release(studio.records, "faces", tmp_path)
    assert verify(built.folder, recorded_sha256=built.manifest_sha256).intact
    told = {}
    with (built.folder / "missing.csv").open() as file:
        told = {row["file"]: row["why"] for row in csv.DictReader(file)}
    for take, gone, kind, why in (
        ("1_neutral", 1, "aside", "this camera was set aside when the take was fired"),
        ("2_smile", 2, "decided", "this camera's photograph is missing; the studio kept the take without it"),
    ):
        folder = built.folder / "img" / "1" / take
        params = json.loads((folder / "params.json").read_text())
        assert {view: params[f"{view}_valid"] for view in range(VIEWS)} == {v: v != gone for v in range(VIEWS)}
        assert {path.stem for path in folder.glob("*.jpg")} == {str(v) for v in range(VIEWS) if v != gone}
        assert f"{gone}_K" in params  # its camera is described all the same, as the layout wants
        assert told[f"img/1/{take}/{gone}.jpg"] == why
        facts = json.loads((built.folder / "meta" / "1" / f"{take}.json").read_text())
        assert facts["made_from"]["without"] == {str(gone): kind}
        assert facts["files"][f"img/1/{take}/{gone}.jpg"] == why
    for path in built.folder.rglob("*.json"):  # what the operator wrote does not leave
        assert "shutter stuck" not in path.read_text()


@SQLITE
def test_a_take_whose_photograph_came_late_waits_for_its_new_scan(studio: Any, session: Any, tmp_path: Path) -> None:
    with transaction(studio.records.engine) as tx:
        session = captures.get_session(tx, session.code)
        good = shoot(studio, tx, session, "neutral", gone=1, decided=False)
        late = shoot(studio, tx, session, "smile", gone=2, decided=True)
        studio.process(tx, good)
        studio.process(tx, late)
        captures.close_session(tx, session, incomplete=True)
        camera = session.rig.cameras[2]
        add(studio, tx, late, camera)
        assert missing_photographs.note_arrival(tx, late, camera) is not None
    first = build_release(studio.records, "faces", tmp_path)
    assert [(skipped.take, skipped.why) for skipped in first.skipped] == [
        (late.code, "the photograph of cam-02 came after its scan was made; see: mien farm graph")
    ]
    with transaction(studio.records.engine) as tx:
        studio.process(tx, captures.get_take(tx, late.code), version=2)
    second = build_release(studio.records, "faces", tmp_path)
    assert not second.skipped
    params = json.loads((second.folder / "img/1/2_smile/params.json").read_text())
    assert all(params[f"{view}_valid"] for view in range(VIEWS))
