"""A withdrawal stops what is pending, marks what has left, and an erasure takes the files away for good."""

import json
import threading
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from mien_tests_db_fixtures import events_about
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from db import captures
from db.audit import audit_log
from db.commands import subject as subject_command
from db.consents.scope_consents import masked_subjects
from db.engine import reading, transaction, utc_now
from db.erasure.erasures import erase_subject, unfinished_erasures
from db.errors import ConsentError, LeaseLost, MissingObject, StateConflict, StoreError
from db.models import (
    Artefact,
    ArtefactParent,
    AuditEvent,
    Base,
    ConsentScope,
    Erasure,
    ErasureFile,
    Frame,
    Gender,
    Job,
    JobState,
    RawFile,
    ReleaseItem,
    Subject,
    Take,
    TakeReview,
)
from db.release_records.releases import ReleasedTake, begin_release, complete_release
from db.rigs import rig_records
from db.stage_runs.artefacts import OutputFile
from db.stage_runs.job_queue import InputFile, InputMade, JobSpec, claim, enqueue_all, finish, heartbeat, retry
from db.store import Store
from db.subjects import get_subject, give_consent, withdraw_consent

RELEASE, PUBLICATION, MOSAIC = ConsentScope.RESEARCH_RELEASE, ConsentScope.PUBLICATION, ConsentScope.EYES_MOSAICKED


class Study:
    """Two subjects with one accepted take each, photographs in the store, three stage runs a take, all done."""

    def __init__(self, engine: Engine, store: Store, rows: Any) -> None:
        self.engine, self.store, self.rows = engine, store, rows
        with transaction(engine) as tx:
            rows.rig(tx)
            self.codes = [self._subject(tx, number) for number in range(2)]

    def _subject(self, tx: Session, number: int) -> str:
        rig = rig_records.get_rig(tx, "booth")
        subject: Subject = self.rows.subject(tx, RELEASE, PUBLICATION)
        subject.age, subject.gender, subject.job = 30 + number, Gender.FEMALE, "welder"
        session = self.rows.session(tx, subject, rig)
        data = [f"photograph {number} {camera.name}".encode() for camera in rig.cameras]
        take = self.rows.accepted(tx, session, rig, 1, [(self.store.put_bytes(d), len(d)) for d in data])
        raw = self.store.put_bytes(f"raw {number}".encode())
        captures.add_raw(tx, take, captures.RawData(rig.cameras[0].id, raw, 5, "dng", "body", "IMG_1.DNG"))
        captures.skip_expression(tx, session, 2, "she has a sore cheek")
        sheet = self.store.put_bytes(f"sheet {number}".encode())
        tx.add(TakeReview(take_id=take.id, reviewed_at=utc_now(), seconds=1.0, sheet=sheet, scores={}))
        captures.close_session(tx, session, incomplete=True)
        return str(subject.code)

    def take(self, tx: Session, number: int) -> Take:
        return tx.scalars(select(Take).order_by(Take.id)).all()[number]

    def ask(self, number: int, *, shared: bool = False) -> list[str]:
        """reconstruct -> register, and a preview of the scan; `shared` runs have equal keys for both subjects."""
        keys = [self.rows.sha(f"{stage} {'both' if shared else number}") for stage in ("scan", "mesh", "preview")]
        with transaction(self.engine) as tx:
            take = self.take(tx, number)
            of = {"subject_id": take.session.subject_id, "take_id": take.id}
            scan = JobSpec(keys[0], "reconstruct", 1, {}, [InputFile("take", self.rows.sha(f"take {number}"))], **of)
            mesh = JobSpec(keys[1], "register", 1, {}, [InputMade("scan", keys[0], "scan")], **of)
            preview = JobSpec(keys[2], "preview", 1, {}, [InputMade("scan", keys[0], "scan")], **of)
            enqueue_all(tx, [scan, mesh, preview])
        return keys

    def work(self, *, most: int = 99) -> None:
        for _ in range(most):
            with transaction(self.engine) as tx:
                lease = claim(tx, "worker")
                if lease is None:
                    return
                made = {"reconstruct": "scan", "register": "mesh", "preview": "picture"}[lease.stage]
                data = f"{made} of {lease.key}".encode() if made != "picture" else b"the same little picture"
                frames = [f.id for f in tx.scalars(select(Frame).where(Frame.take_id == lease.take_id))]
                output = OutputFile(made, self.store.put_bytes(data), len(data), "text/plain")
                finish(tx, lease, [output], frame_ids=frames if lease.stage == "reconstruct" else ())

    def states(self) -> dict[str, JobState]:
        with reading(self.engine) as tx:
            return dict(tx.execute(select(Job.key, Job.state)).all())

    def files_of(self, number: int) -> set[str]:
        with reading(self.engine) as tx:
            take = self.take(tx, number)
            jobs = select(Job.id).where(Job.take_id == take.id)
            return {
                *tx.scalars(select(Frame.sha256).where(Frame.take_id == take.id)),
                *tx.scalars(select(RawFile.sha256).where(RawFile.take_id == take.id)),
                *tx.scalars(select(TakeReview.sheet).where(TakeReview.take_id == take.id)),
                *tx.scalars(select(Artefact.sha256).where(Artefact.job_id.in_(jobs))),
            }

    def withdraw(self, number: int) -> None:
        with transaction(self.engine) as tx:
            withdraw_consent(tx, get_subject(tx, self.codes[number]))


@pytest.fixture(params=["folder", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return Store(tmp_path / "store")
    return Store(f"memory://withdrawals-{tmp_path.name}", cache=tmp_path / "cache")


@pytest.fixture
def study(engine: Engine, tmp_path: Path, studio_rows: Any) -> Study:
    return Study(engine, Store(tmp_path / "store"), studio_rows)


def test_withdrawal_stops_what_is_pending_and_running_and_nothing_of_others(study: Study) -> None:
    first, second = study.ask(0), study.ask(1)
    with transaction(study.engine) as tx:
        running = claim(tx, "worker")
    assert running is not None
    assert running.key == first[0]
    with transaction(study.engine) as tx:
        done = withdraw_consent(tx, get_subject(tx, study.codes[0]))
    assert (done.stopped, done.released) == (3, ())
    assert {study.states()[key] for key in first} == {JobState.PARKED}
    assert {study.states()[key] for key in second} == {JobState.QUEUED}
    with pytest.raises(LeaseLost), transaction(study.engine) as tx:
        heartbeat(tx, running)
    with pytest.raises(LeaseLost), transaction(study.engine) as tx:
        finish(tx, running, [])


def test_stopped_work_stays_stopped_until_a_new_consent(study: Study) -> None:
    first = study.ask(0)
    study.withdraw(0)
    with transaction(study.engine) as tx:
        assert retry(tx) == 0
        assert retry(tx, first) == 0
        take = study.take(tx, 0)
        spec = JobSpec("a" * 64, "late", 1, {}, (), take.session.subject_id, take.id)
        assert enqueue_all(tx, [spec]) == 0
        give_consent(tx, get_subject(tx, study.codes[0]), RELEASE, date(2026, 3, 1))
        assert retry(tx) == 3
        assert enqueue_all(tx, [spec]) == 1


def test_publication_alone_stops_nothing(study: Study) -> None:
    first = study.ask(0)
    with transaction(study.engine) as tx:
        done = withdraw_consent(tx, get_subject(tx, study.codes[0]), [PUBLICATION])
    assert done.stopped == 0
    assert {study.states()[key] for key in first} == {JobState.QUEUED}


def test_runs_shared_with_a_participant_go_on(study: Study) -> None:
    keys = study.ask(0, shared=True)
    assert study.ask(1, shared=True) == keys
    study.withdraw(0)
    assert set(study.states().values()) == {JobState.QUEUED}
    study.withdraw(1)
    assert set(study.states().values()) == {JobState.PARKED}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_work_asked_for_while_a_withdrawal_commits_is_stopped_too(study: Study) -> None:
    """Asking and withdrawing at once: whichever commits first, nothing of the subject is left to run."""
    with transaction(study.engine) as tx:
        subject_id = study.take(tx, 0).session.subject_id
    for turn in range(4):
        start = threading.Barrier(2)

        def ask(turn: int = turn, start: threading.Barrier = start) -> None:
            start.wait()
            with transaction(study.engine) as tx:
                enqueue_all(tx, [JobSpec(f"{turn:064x}", "x", 1, {}, (), subject_id)])

        thread = threading.Thread(target=ask)
        thread.start()
        start.wait()
        study.withdraw(0)
        thread.join()
        assert JobState.QUEUED not in study.states().values()
        with transaction(study.engine) as tx:
            give_consent(tx, get_subject(tx, study.codes[0]), RELEASE, date(2026, 3, 1))


def test_what_was_released_is_marked(study: Study) -> None:
    with transaction(study.engine) as tx:
        for photographs in (True, False):
            release = begin_release(
                tx, f"faces{photographs:d}", schema_version=1, consent_day=date(2026, 3, 1), criteria={}
            )
            takes = [study.take(tx, n) for n in (0, 1)]
            items = [ReleasedTake(t.session.subject_id, t.id, photographs, photographs) for t in takes]
            complete_release(tx, release, "a" * 64, items)

    def marked() -> list[bool]:
        with reading(study.engine) as tx:
            return [when is not None for when in tx.scalars(select(ReleaseItem.withdrawn_at).order_by(ReleaseItem.id))]

    with transaction(study.engine) as tx:
        done = withdraw_consent(tx, get_subject(tx, study.codes[0]), [PUBLICATION])
    assert (done.released, marked()) == (("faces1 1",), [True, False, False, False])
    with transaction(study.engine) as tx:
        done = withdraw_consent(tx, get_subject(tx, study.codes[0]))
    assert (done.released, marked()) == (("faces1 1", "faces0 1"), [True, False, True, False])
    with reading(study.engine) as tx:
        event = events_about(tx, "subject", study.codes[0])[-1]
    assert (event.action, event.detail["in_releases"]) == ("subject.withdraw", ["faces1 1", "faces0 1"])


def test_a_narrowed_consent_marks_what_shows_the_eyes(study: Study, tmp_path: Path) -> None:
    form = tmp_path / "form.pdf"
    form.write_text("signed")
    with transaction(study.engine) as tx:
        for name, mosaicked in (("open", False), ("covered", True)):
            release = begin_release(tx, name, schema_version=3, consent_day=date(2026, 3, 1), criteria={})
            take = study.take(tx, 0)
            item = ReleasedTake(take.session.subject_id, take.id, True, True, mosaicked, "1_neutral")
            complete_release(tx, release, "a" * 64, [item])
    url = study.engine.url.render_as_string(hide_password=False)
    signed = ("--consent-date", "2026-04-01", "--consent-document", str(form), "--consent-version", "2026-01")
    where = ("--home", str(tmp_path), "--database", url)
    _, said = run("consent", study.codes[0], "--consent", "eyes_mosaicked", *signed, *where)
    assert "Its eyes are to be seen in open 1: build the next version" in said
    with reading(study.engine) as tx:
        marked = tx.scalars(select(ReleaseItem.withdrawn_at).order_by(ReleaseItem.id)).all()
        assert [when is not None for when in marked] == [True, False]
        event = events_about(tx, "subject", study.codes[0])[-1]
        assert (event.action, event.detail) == ("subject.narrow", {"in_releases": ["open 1"]})


def test_a_withdrawal_never_shows_more_than_before(study: Study) -> None:
    """The condition goes with publication, and the eyes stay covered until publication is allowed without it."""
    today = date(2026, 6, 1)
    with transaction(study.engine) as tx:
        subject = get_subject(tx, study.codes[0])
        assert masked_subjects(tx, today) == set()
        give_consent(tx, subject, MOSAIC, date(2026, 1, 2))
        assert masked_subjects(tx, today) == {subject.id}
        withdraw_consent(tx, subject, [PUBLICATION])
        assert masked_subjects(tx, today) == {subject.id}
        give_consent(tx, subject, PUBLICATION, date(2026, 7, 1))
        assert masked_subjects(tx, today) == {subject.id}
        assert masked_subjects(tx, date(2026, 7, 1)) == set()


def test_mosaicked_eyes_are_a_condition_and_never_loosened(study: Study) -> None:
    with transaction(study.engine) as tx:
        subject = get_subject(tx, study.codes[0])
        give_consent(tx, subject, MOSAIC, date(2026, 1, 2), form_version="2026-01")
        with pytest.raises(ConsentError, match="show more"):
            withdraw_consent(tx, subject, [MOSAIC])
        assert withdraw_consent(tx, subject, [PUBLICATION]).closed == (PUBLICATION, MOSAIC)
        with pytest.raises(ConsentError, match="needs an open consent for publication"):
            give_consent(tx, subject, MOSAIC, date(2026, 1, 2))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"given_on": None}, "lacks the day"),
        ({"given_on": "2026-01-01"}, "lacks the day"),
        ({"document_sha256": "ABC"}, "not a SHA-256"),
        ({"form_version": "  "}, "1 to 32 characters"),
        ({"form_version": "x" * 33}, "1 to 32 characters"),
    ],
)
def test_a_consent_that_says_too_little_is_refused(study: Study, given: dict[str, Any], reason: str) -> None:
    with transaction(study.engine) as tx:
        subject = get_subject(tx, study.codes[0])
        withdraw_consent(tx, subject)
        with pytest.raises(ConsentError, match=reason):
            give_consent(tx, subject, RELEASE, **{"given_on": date(2026, 1, 1), **given})
        assert not any(consent.withdrawn_at is None for consent in subject.consents)


def test_erasure_removes_all_of_one_and_nothing_of_another(engine: Engine, store: Store, studio_rows: Any) -> None:
    study = Study(engine, store, studio_rows)
    study.ask(0)
    study.ask(1)
    study.work()
    mine, others = study.files_of(0), study.files_of(1)
    shared = mine & others
    assert (len(mine), len(others), len(shared)) == (8, 8, 1)
    for sha256 in mine:
        store.local_path(sha256)  # a remote store's copies on this machine go as well
    study.withdraw(0)
    report = erase_subject(engine, store, study.codes[0])
    assert (report.files, report.shared, report.waiting) == (7, 1, 0)
    for sha256 in mine - shared:
        assert not store.exists(sha256)
        with pytest.raises(MissingObject):
            store.local_path(sha256)
    for sha256 in others:
        store.verify(sha256)
    with reading(engine) as tx:
        gone = get_subject(tx, study.codes[0])
        assert (gone.age, gone.gender, gone.job, gone.erased_at is None) == (None, None, None, False)
        assert study.take(tx, 0).problem is None
        for table, count in ((Frame, 3), (RawFile, 1), (Job, 3), (Artefact, 3), (ErasureFile, 0), (TakeReview, 1)):
            assert tx.scalar(select(func.count()).select_from(table)) == count
        assert tx.scalar(select(func.count()).select_from(ArtefactParent)) == 3 + 1 + 1
        assert get_subject(tx, study.codes[1]).job == "welder"
    assert erase_subject(engine, store, study.codes[0]) == report  # again: nothing to do, the same account


def test_an_erasure_leaves_an_audit_entry_without_personal_data(study: Study) -> None:
    mine = study.files_of(0)
    assert all(everything(study.engine).count(trace) for trace in mine)
    study.withdraw(0)
    erase_subject(study.engine, study.store, study.codes[0])
    with reading(study.engine) as tx:
        events = events_about(tx, "subject", study.codes[0])
        assert [e.action for e in events][-2:] == ["subject.erase.begin", "subject.erase"]
        assert set(events[-1].detail) == {"files", "bytes", "shared"}
        assert audit_log.verify_chain(tx).broken is None
    left = everything(study.engine)
    for trace in ("welder", "sore cheek", *mine):
        assert left.count(trace) == everything_of_others(trace)


def everything(engine: Engine) -> str:
    with reading(engine) as tx:
        return json.dumps(
            [list(map(str, row)) for table in Base.metadata.sorted_tables for row in tx.execute(select(table))]
        )


def everything_of_others(trace: str) -> int:
    return 1 if trace in ("welder", "sore cheek") else 0  # the other subject is one, and has one


def test_an_interrupted_erasure_goes_on(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    study.ask(0)
    study.work()
    mine = study.files_of(0)
    study.withdraw(0)
    removed: list[str] = []
    real = Store.remove

    def dying(self: Store, sha256: str, **given: Any) -> int | None:
        if len(removed) == 3:
            raise StoreError("the store does not answer")
        removed.append(sha256)
        return real(self, sha256, **given)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "remove", dying)
        with pytest.raises(StoreError):
            erase_subject(study.engine, study.store, study.codes[0])
    with reading(study.engine) as tx:
        assert unfinished_erasures(tx) == [study.codes[0]]
        assert study.files_of(0) == set()  # the rows went first
        assert tx.scalar(select(func.count()).select_from(ErasureFile)) == len(mine) - 3
        assert "subject.erase" not in tx.scalars(select(AuditEvent.action)).all()
    report = erase_subject(study.engine, study.store, study.codes[0])
    assert (report.files, report.waiting) == (len(mine), 0)
    assert not any(study.store.exists(sha256) for sha256 in mine)
    with reading(study.engine) as tx:
        assert unfinished_erasures(tx) == []
        assert len(tx.scalars(select(Erasure)).all()) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_dead_rows_are_rewritten_away_on_postgresql(study: Study) -> None:
    """Not only out of sight: the tables' files hold none of the hashes any more."""
    traces = [sha256.encode() for sha256 in study.files_of(0)]
    tables = ("frame", "erasure_file", "raw_file", "take_review", "subject")

    def files() -> bytes:
        with study.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("CHECKPOINT")
            folder = connection.exec_driver_sql("SHOW data_directory").scalar()
            paths = [connection.exec_driver_sql(f"SELECT pg_relation_filepath('{t}')").scalar() for t in tables]
        return b"".join((Path(str(folder)) / str(path)).read_bytes() for path in paths)

    assert all(trace in files() for trace in traces)
    study.withdraw(0)
    assert erase_subject(study.engine, study.store, study.codes[0]).finished
    left = files()
    assert not any(trace in left for trace in traces)


def test_while_a_session_is_open_the_pages_wait(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.erasure.secure_delete.LARGE_BYTES", 0)
    with transaction(study.engine) as tx:
        rig, other = rig_records.get_rig(tx, "booth"), get_subject(tx, study.codes[1])
        open_one = study.rows.session(tx, other, rig).code
    study.withdraw(0)
    report = erase_subject(study.engine, study.store, study.codes[0])
    assert (report.waiting, report.finished, open_one in report.pages) == (0, False, True)
    with reading(study.engine) as tx:
        assert unfinished_erasures(tx) == [study.codes[0]]
    with transaction(study.engine) as tx:
        captures.close_session(tx, captures.get_session(tx, open_one), incomplete=True)
    assert erase_subject(study.engine, study.store, study.codes[0]).finished


def test_a_file_that_is_put_again_meanwhile_waits_for_its_row(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another subject's run makes equal bytes just now: its row is not there yet, and its file must not go."""
    mine = sorted(study.files_of(0))
    study.withdraw(0)
    real = Store.remove

    def raced(self: Store, sha256: str, **given: Any) -> int | None:
        if sha256 == mine[0]:
            self.put_file(self.local_path(sha256))
        return real(self, sha256, **given)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "remove", raced)
        report = erase_subject(study.engine, study.store, study.codes[0])
    assert (report.waiting, study.store.exists(mine[0])) == (1, True)
    study.store.verify(mine[0])
    assert erase_subject(study.engine, study.store, study.codes[0]).waiting == 0
    assert not study.store.exists(mine[0])


def test_shared_runs_become_the_others(study: Study) -> None:
    """Equal photographs give equal keys; the run stays for the one who stays, with its lineage."""
    with transaction(study.engine) as tx:
        rig = rig_records.get_rig(tx, "booth")
        other = get_subject(tx, study.codes[1])
        session = study.rows.session(tx, other, rig)
        frames = tx.scalars(select(Frame).where(Frame.take_id == study.take(tx, 0).id).order_by(Frame.camera_id)).all()
        twin = study.rows.accepted(tx, session, rig, 1, [(f.sha256, f.bytes) for f in frames])
        captures.close_session(tx, session, incomplete=True)
        twin_id, hashes = twin.id, {f.sha256 for f in frames}
    keys = study.ask(0, shared=True)
    assert study.ask(2, shared=True) == keys
    study.work()
    study.withdraw(0)
    report = erase_subject(study.engine, study.store, study.codes[0])
    assert report.shared == len(hashes)
    with reading(study.engine) as tx:
        jobs = tx.scalars(select(Job)).all()
        assert {(job.take_id, job.state) for job in jobs} == {(twin_id, JobState.DONE)}
        assert {job.subject_id for job in jobs} == {get_subject(tx, study.codes[1]).id}
        lineage = select(Frame).join(ArtefactParent, ArtefactParent.frame_id == Frame.id)
        assert {(f.take_id, f.sha256) for f in tx.scalars(lineage)} == {(twin_id, sha) for sha in hashes}


def test_what_was_made_from_several_goes_with_one_of_them(study: Study) -> None:
    study.ask(0)
    study.ask(1)
    model = study.rows.sha("model of both")
    with transaction(study.engine) as tx:
        scans = [InputMade(f"scan{n}", study.rows.sha(f"scan {n}"), "scan") for n in range(2)]
        enqueue_all(tx, [JobSpec(model, "preview", 1, {}, scans, take_id=study.take(tx, 1).id)])
    study.work()
    assert study.states()[model] is JobState.DONE
    study.withdraw(0)
    erase_subject(study.engine, study.store, study.codes[0])
    assert model not in study.states()
    assert len(study.states()) == 3


def test_nobody_is_erased_by_mistake_and_nobody_comes_back(study: Study) -> None:
    with pytest.raises(ConsentError, match="still consents"):
        erase_subject(study.engine, study.store, study.codes[0])
    with transaction(study.engine) as tx:
        subject = get_subject(tx, study.codes[0])
        captures.start_session(tx, subject, study.take(tx, 0).session.protocol, rig_records.get_rig(tx, "booth"))
    study.withdraw(0)
    with pytest.raises(ConsentError, match="not closed"):
        erase_subject(study.engine, study.store, study.codes[0])
    with transaction(study.engine) as tx:
        captures.close_session(tx, captures.get_session(tx, f"{study.codes[0]}-2"), incomplete=True)
    erase_subject(study.engine, study.store, study.codes[0])
    with transaction(study.engine) as tx:
        subject, take, rig = get_subject(tx, study.codes[0]), study.take(tx, 0), rig_records.get_rig(tx, "booth")
        with pytest.raises(ConsentError, match="was erased"):
            give_consent(tx, subject, RELEASE, date(2026, 3, 1))
        with pytest.raises(StateConflict, match="was erased"):
            captures.start_session(tx, subject, take.session.protocol, rig)
        with pytest.raises(StateConflict, match="was erased"):
            study.rows.frames(tx, take, rig)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(subject_command.app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_mien_subject_withdraw_erase(study: Study, tmp_path: Path) -> None:
    url = study.engine.url.render_as_string(hide_password=False)
    where = ("--home", str(tmp_path), "--database", url)
    study.ask(0)
    with pytest.raises(ConsentError, match="leave --consent out"):
        run("withdraw", study.codes[0], "--erase", "--consent", "publication", *where)
    code, _ = run("withdraw", study.codes[0], "--erase", *where)  # nobody answers the question
    assert (code, len(study.files_of(0))) == (1, 5)
    code, said = run("withdraw", study.codes[0], "--erase", "--yes", *where)
    assert (code, "3 stage runs were stopped" in said, "5 files of S001 are gone for good" in said) == (0, True, True)
    code, said = run("withdraw", study.codes[0], "--erase", "--yes", "--json", *where)
    assert (code, json.loads(said)["erased"]["waiting"]) == (0, 0)
    shown = json.loads(run("show", study.codes[0], "--json", *where)[1])
    assert (shown["age"], shown["job"], shown["valid_today"]) == (None, None, [])
    assert shown["erased_at"]
