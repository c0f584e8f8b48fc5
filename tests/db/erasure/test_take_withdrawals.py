"""One take is withdrawn: it leaves in no release, its runs stop, it is marked where it was; erased, it goes alone."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from typer.testing import CliRunner

from db import captures
from db.audit_replay import differences
from db.commands import subject as subject_command
from db.engine import reading, transaction
from db.erasure.erasures import erase_subject, unfinished_erasures
from db.erasure.take_withdrawals import erase_take, withdraw_take
from db.errors import ConsentError, LeaseLost, StateConflict, StoreError
from db.models import Artefact, ConsentScope, Frame, Job, JobState, ReleaseItem, Take, TakeState
from db.release_records.releases import ReleasedTake, begin_release, complete_release
from db.rigs import rig_records
from db.stage_runs.artefacts import OutputFile
from db.stage_runs.job_queue import InputFile, InputMade, JobSpec, claim, enqueue_all, finish, retry
from db.stage_runs.ready_takes import ready_takes
from db.store import Store
from db.subjects import withdraw_consent

RELEASE, PUBLICATION = ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION


class Study:
    """S001 with three accepted takes and S002 with one; the last photograph of all takes is the same."""

    def __init__(self, engine: Engine, store: Store, rows: Any) -> None:
        self.engine, self.store, self.rows, self.takes = engine, store, rows, {}
        same = store.put_bytes(b"the same")
        with transaction(engine) as tx:
            rig = rows.rig(tx)
            for count in (3, 1):
                subject = rows.subject(tx, RELEASE, PUBLICATION)
                session = rows.session(tx, subject, rig)
                for number in range(count):
                    mine = [f"{subject.code} {number} {view}".encode() for view in range(2)]
                    photographs = [*((store.put_bytes(data), len(data)) for data in mine), (same, 8)]
                    take = rows.accepted(tx, session, rig, number + 1, photographs)
                    self.takes[take.code] = (take.id, subject.id)
                captures.close_session(tx, session, incomplete=True)
        self.first, self.second, self.third, self.other = self.takes

    def key(self, code: str, stage: str) -> str:
        return str(self.rows.sha(f"{stage} of {code}"))

    def ask(self, *codes: str) -> None:
        """A scan of each take, and of all but the first a mesh that is made from the first's scan too."""
        with transaction(self.engine) as tx:
            specs = []
            for code in codes:
                take, subject = self.takes[code]
                of = {"subject_id": subject, "take_id": take}
                specs.append(
                    JobSpec(self.key(code, "scan"), "reconstruct", 1, {}, [InputFile("t", self.rows.sha(code))], **of)
                )
                if code != codes[0]:
                    from_first = [InputMade("neutral", self.key(codes[0], "scan"), "scan")]
                    specs.append(JobSpec(self.key(code, "mesh"), "register", 1, {}, from_first, **of))
            enqueue_all(tx, specs)

    def work(self) -> None:
        while True:
            with transaction(self.engine) as tx:
                lease = claim(tx, "worker")
                if lease is None:
                    return
                data = lease.key.encode()
                finish(tx, lease, [OutputFile("scan", self.store.put_bytes(data), len(data), "text/plain")])

    def released(self, *codes: str) -> None:
        with transaction(self.engine) as tx:
            release = begin_release(tx, "faces", schema_version=2, consent_day=_day(), criteria={})
            complete_release(tx, release, self.rows.sha("manifest"), [self._item(code) for code in codes])

    def _item(self, code: str) -> ReleasedTake:
        take, subject = self.takes[code]
        return ReleasedTake(subject, take, photographs=True, publishable=True)

    def withdraw(self, code: str) -> Any:
        with transaction(self.engine) as tx:
            return withdraw_take(tx, code.partition("-")[0], code)

    def state(self, code: str, stage: str) -> JobState | None:
        with reading(self.engine) as tx:
            return tx.scalar(select(Job.state).where(Job.key == self.key(code, stage)))


def _day() -> Any:
    from datetime import date

    return date(2026, 6, 1)


@pytest.fixture
def study(engine: Engine, tmp_path: Path, studio_rows: Any) -> Study:
    return Study(engine, Store(tmp_path / "store"), studio_rows)


def test_a_withdrawn_take_gives_up_its_place_and_its_runs(study: Study) -> None:
    study.ask(study.first, study.second)
    with transaction(study.engine) as tx:
        lease = claim(tx, "worker")
    assert lease is not None
    done = study.withdraw(study.second)
    assert (done.stopped, done.released, done.before) == (2, (), False)
    assert study.withdraw(study.second).before
    assert [study.state(study.second, stage) for stage in ("scan", "mesh")] == [JobState.PARKED, JobState.PARKED]
    assert study.state(study.first, "scan") in (JobState.QUEUED, JobState.LEASED)
    with reading(study.engine) as tx:
        assert study.second not in [take.code for take in ready_takes(tx)]
        assert captures.get_take(tx, study.second).state is TakeState.SUPERSEDED
        assert differences(tx) == []
    with transaction(study.engine) as tx:
        assert retry(tx) == 0  # nobody's retry brings them back
    study.ask(study.first, study.second)
    assert study.state(study.second, "scan") is JobState.PARKED


def test_what_is_computed_just_then_is_refused(study: Study) -> None:
    study.ask(study.second)
    with transaction(study.engine) as tx:
        lease = claim(tx, "worker")
    study.withdraw(study.second)
    assert lease is not None
    with pytest.raises(LeaseLost), transaction(study.engine) as tx:
        finish(tx, lease, [OutputFile("scan", study.rows.sha("x"), 1, "text/plain")])


def test_it_is_marked_where_it_was_and_leaves_no_more(study: Study) -> None:
    study.released(study.first, study.second, study.other)
    assert study.withdraw(study.second).released == ("faces 1",)
    with reading(study.engine) as tx:
        marked = set(tx.scalars(select(Take.code).join(ReleaseItem).where(ReleaseItem.withdrawn_at.is_not(None))))
    assert marked == {study.second}
    with pytest.raises(ConsentError, match=f"Withdrawn while the release was built: {study.second}"):
        study.released(study.first, study.second)
    study.released(study.first)


def test_it_is_never_accepted_again(study: Study) -> None:
    study.withdraw(study.second)
    with transaction(study.engine) as tx:
        take = captures.get_take(tx, study.second)
        take.state = TakeState.CAPTURED  # whatever brings it back
    with pytest.raises(ConsentError, match="withdrawn by its subject"), transaction(study.engine) as tx:
        captures.accept_take(tx, captures.get_take(tx, study.second))
    with transaction(study.engine) as tx:
        captures.get_take(tx, study.second).state = TakeState.ACCEPTED
        tx.flush()
        assert study.second not in [take.code for take in ready_takes(tx)]


def test_a_take_of_somebody_else_or_under_way_is_refused(study: Study) -> None:
    with pytest.raises(ConsentError, match="no take of S001"), transaction(study.engine) as tx:
        withdraw_take(tx, "S001", study.other)
    with transaction(study.engine) as tx:
        session = captures.start_session(tx, captures.get_take(tx, study.other).session.subject, *_setting(tx))
        take = captures.plan_take(tx, session, 1).code
    with pytest.raises(ConsentError, match="is planned"), transaction(study.engine) as tx:
        withdraw_take(tx, "S002", take)
    with pytest.raises(ConsentError, match="withdraw it, then erase"):
        erase_take(study.engine, study.store, "S001", study.first)


def _setting(tx: Any) -> tuple[Any, Any]:
    from db.protocols import FACESCAPE, install_protocol

    return install_protocol(tx, FACESCAPE), rig_records.get_rig(tx, "booth")


def test_an_erased_take_takes_its_files_and_what_was_made_of_it(study: Study) -> None:
    study.ask(study.first, study.second, study.third)
    study.work()
    study.withdraw(study.first)
    report = erase_take(study.engine, study.store, "S001", study.first)
    # two photographs of its own, its scan, and the two meshes that were made from that; the third photograph is shared
    assert (report.files, report.shared, report.waiting) == (5, 1, 0)
    with reading(study.engine) as tx:
        kept = {*tx.scalars(select(Frame.sha256)), *tx.scalars(select(Artefact.sha256))}
        assert not tx.scalars(select(Frame).join(Take).where(Take.code == study.first)).all()
        assert differences(tx) == []
    assert set(study.store) == kept
    assert study.state(study.second, "scan") is JobState.DONE
    assert study.state(study.second, "mesh") is None
    assert erase_take(study.engine, study.store, "S001", study.first) == report  # again: nothing more
    with transaction(study.engine) as tx:
        take, camera = captures.get_take(tx, study.first), rig_records.get_rig(tx, "booth").cameras[0].id
        late = captures.FrameData(camera, study.rows.sha("late"), 9, 8, 12)
        with pytest.raises(StateConflict, match="was erased"):
            captures.add_frames(tx, take, [late])


def test_what_takes_share_stays_with_those_that_stay(study: Study) -> None:
    with transaction(study.engine) as tx:
        both = study.rows.sha("both")
        for code in (study.first, study.second):
            take, subject = study.takes[code]
            spec = JobSpec(both, "reconstruct", 1, {}, [InputFile("t", both)], subject_id=subject, take_id=take)
            enqueue_all(tx, [spec])
    assert study.withdraw(study.first).stopped == 0
    study.work()
    erase_take(study.engine, study.store, "S001", study.first)
    with reading(study.engine) as tx:
        job = tx.scalars(select(Job).where(Job.key == both)).one()
        assert (job.state, job.take_id) == (JobState.DONE, study.takes[study.second][0])


def test_an_interrupted_erasure_goes_on_and_is_named_so_that_the_command_takes_it(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.withdraw(study.second)
    remove = Store.remove

    def dies(*_: Any, **__: Any) -> int | None:
        monkeypatch.setattr(Store, "remove", remove)
        raise StoreError("the store does not answer")

    monkeypatch.setattr(Store, "remove", dies)
    with pytest.raises(StoreError):
        erase_take(study.engine, study.store, "S001", study.second)
    with reading(study.engine) as tx:
        assert unfinished_erasures(tx) == [f"S001 --take {study.second}"]
    where = ["--home", str(tmp_path), "--database", study.engine.url.render_as_string(hide_password=False)]
    result = CliRunner().invoke(
        subject_command.app, ["withdraw", "S001", "--take", study.second, "--erase", "--yes", "--json", *where]
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["erased"]["files"] == 2
    with reading(study.engine) as tx:
        assert unfinished_erasures(tx) == []
        assert len(tx.scalars(select(Frame).join(Take).where(Take.code == study.first)).all()) == 3


def test_the_whole_person_goes_after_a_take(study: Study) -> None:
    study.withdraw(study.first)
    erase_take(study.engine, study.store, "S001", study.first)
    with transaction(study.engine) as tx:
        withdraw_consent(tx, captures.get_take(tx, study.first).session.subject)
    erase_subject(study.engine, study.store, "S001")
    with reading(study.engine) as tx:
        assert unfinished_erasures(tx) == []
        assert differences(tx) == []
        assert set(study.store) == set(tx.scalars(select(Frame.sha256)))


def test_runs_asked_for_at_the_same_moment_are_stopped_or_never_asked_for(study: Study) -> None:
    start = threading.Barrier(2)

    def ask() -> None:
        start.wait()
        study.ask(study.second)

    thread = threading.Thread(target=ask)
    thread.start()
    start.wait()
    study.withdraw(study.second)
    thread.join()
    assert study.state(study.second, "scan") in (None, JobState.PARKED)
