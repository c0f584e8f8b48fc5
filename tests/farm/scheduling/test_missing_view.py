"""The farm and takes without a view: they are processed as they are, and anew once the photograph comes late."""

import json
from typing import Any

import pytest
from sqlalchemy import select

from db import captures
from db.engine import reading, transaction
from db.models import ConsentScope, Job, JobState, Take
from db.rigs import rig_records
from db.stage_runs.artefacts import artefacts_of_take
from db.stage_runs.job_queue import UNWANTED
from db.stage_runs.ready_takes import ready_takes, session_marks
from db.store import Store
from db.takes import missing_photographs
from processing.farm.scheduling.run_planning import all_plans, take_listing
from processing.stages.discovery import discover

pytestmark = pytest.mark.filterwarnings("ignore:.*socket.socket.*:pytest.PytestUnraisableExceptionWarning")

EXPRESSIONS = ("neutral", "smile")
GONE = 2


@pytest.fixture
def kept(studio: Any, studio_rows: Any) -> Any:
    """The studio with another closed session: of the neutral view 2 was aside, the smile was kept without view 2."""
    store = Store(studio.store)
    with transaction(studio.engine) as tx:
        rig = rig_records.get_rig(tx, "booth")
        session = studio_rows.session(tx, studio_rows.subject(tx, ConsentScope.RESEARCH_RELEASE), rig)
        camera = rig.cameras[GONE]
        for name in EXPRESSIONS:
            take = captures.plan_take(tx, session, name)
            if name == "neutral":
                missing_photographs.record_aside(tx, take, {camera.id: "stuck"})
            captures.fire_take(tx, take)
            for there in rig.cameras:
                if there is not camera:
                    add(tx, store, take, there)
            if name == "neutral":
                captures.capture_take(tx, take)
            else:
                captures.fail_take(tx, take, "no photograph")
                missing_photographs.keep_without(tx, take, [camera.id], "cable", "kept")
            captures.accept_take(tx, take)
        captures.close_session(tx, session, incomplete=True)
    studio.session = session.code
    return studio


def add(tx: Any, store: Store, take: Take, camera: Any) -> None:
    data = f"{take.code} {camera.view_index}".encode()
    captures.add_frames(tx, take, [captures.FrameData(camera.id, store.put_bytes(data), len(data), 8, 12)])


def arrive(studio: Any, name: str) -> None:
    """The photograph of view 2 comes late."""
    with transaction(studio.engine) as tx:
        take = captures.get_take(tx, f"{studio.session}-{name}")
        camera = rig_records.get_rig(tx, "booth").cameras[GONE]
        add(tx, Store(studio.store), take, camera)
        assert missing_photographs.note_arrival(tx, take, camera) is not None


def plans(studio: Any) -> dict[tuple[str, str], str]:
    """(take, stage) -> key, of the session with the missing view."""
    stages = discover(*studio.settings().stage_folders)
    with reading(studio.engine) as tx:
        found = all_plans(tx, {"template": "t" * 64}, stages, studio.settings().params)
    (mine,) = [planned for planned in found if planned.session == studio.session]
    assert not mine.problem
    return {(run.take, run.stage): run.key for run in mine.runs}


def size_of(studio: Any, name: str) -> int:
    with reading(studio.engine) as tx:
        take = captures.get_take(tx, f"{studio.session}-{name}")
        made = artefacts_of_take(tx, take.id)["measure", "size"]
    return int(json.loads(Store(studio.store).open(made.sha256).read())["bytes"])


def test_a_take_is_listed_with_the_views_that_there_are(kept: Any) -> None:
    with reading(kept.engine) as tx:
        takes = [take for take in ready_takes(tx) if take.session == kept.session]
        assert [(take.frames, take.cameras) for take in takes] == [(2, 3), (2, 3)]
        for take in takes:
            listing = take_listing(tx, take.take_id, take.calibration_id)
            assert listing.photographs.keys() == {0, 1}
            params = json.loads(listing.params)
            assert params["2_absent"] == ("aside" if take.expression == "neutral" else "decided")
            assert not any(key.endswith("_absent") and key != "2_absent" for key in params)


def test_a_photograph_that_comes_late_changes_the_keys_of_its_take_alone(kept: Any) -> None:
    before = plans(kept)
    with reading(kept.engine) as tx:
        marks = {mark.code: mark.mark for mark in session_marks(tx, unclosed=False)}
    arrive(kept, "E02-1")
    after = plans(kept)
    assert {key[0] for key, value in after.items() if before[key] != value} == {"2_smile"}
    with reading(kept.engine) as tx:
        now = {mark.code: mark.mark for mark in session_marks(tx, unclosed=False)}
    assert {code for code in marks if marks[code] != now[code]} == {kept.session}  # a running daemon sees it


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_was_processed_without_a_view_is_made_anew_when_it_comes(kept: Any) -> None:
    kept.run(workers=2)
    without = size_of(kept, "E02-1")
    runs = kept.runs()
    farm = kept.farm()
    farm.plan_once()  # a daemon that has seen this session, and would not look again without need
    arrive(kept, "E02-1")
    assert farm.run(until_idle=True).failed_attempts == 0
    assert size_of(kept, "E02-1") > without
    assert kept.runs()["2_smile"] == runs["2_smile"] + 1
    assert kept.runs()["1_neutral"] == runs["1_neutral"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_run_that_was_asked_for_and_not_begun_is_replaced(kept: Any) -> None:
    kept.farm().plan_once()
    arrive(kept, "E02-1")
    summary = kept.run()
    assert summary.failed_attempts == 0
    with reading(kept.engine) as tx:
        take = captures.get_take(tx, f"{kept.session}-E02-1")
        jobs = [(job.stage, job.state, job.error) for job in tx.scalars(select(Job).where(Job.take_id == take.id))]
    done = [stage for stage, state, _ in jobs if state is JobState.DONE]
    assert sorted(done) == ["compare", "conclude", "measure"]
    assert ("measure", JobState.PARKED, UNWANTED) in jobs  # nobody computes what no longer is
    assert size_of(kept, "E02-1") == sum(len(f"{take.code} {view}") for view in range(3))
