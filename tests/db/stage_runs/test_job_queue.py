"""One key, one run: whoever claims first works, whoever lost the lease is refused, and nothing is lost."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from db.captures import close_session
from db.engine import reading, transaction
from db.errors import LeaseLost, NotFound
from db.models import Artefact, ConsentScope, Job, JobState
from db.stage_runs import job_queue
from db.stage_runs.artefacts import OutputFile, artefacts_of_take, lineage
from db.stage_runs.farm_status import farm_status
from db.stage_runs.job_queue import InputFile, InputMade, JobSpec
from db.stage_runs.ready_takes import ready_takes

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def sha(studio_rows: Any) -> Any:
    return studio_rows.sha


def files_of(tx: Session, key: str) -> list[Artefact]:
    """What a run that is done has made."""
    return list(tx.scalars(select(Artefact).join(Job).where(Job.key == key, Job.state == JobState.DONE)))


def spec(key: str, stage: str = "reconstruct", inputs: Sequence[Any] = (), **more: Any) -> JobSpec:
    return JobSpec(key=key, stage=stage, version=1, params={"scale": 0.5}, inputs=inputs, **more)


def test_equal_keys_are_one_job(engine: Engine, sha: Any) -> None:
    for expected in (True, False):
        with transaction(engine) as tx:
            assert job_queue.enqueue(tx, spec(sha("a"), inputs=[InputFile("take", sha("photos"))])) is expected
    with transaction(engine) as tx:
        lease = job_queue.claim(tx, "w1")
        assert lease is not None
        assert lease.inputs == {"take": (sha("photos"), None)}
        assert job_queue.claim(tx, "w2") is None


def test_two_claimers_never_get_the_same_job(engine: Engine, sha: Any) -> None:
    with transaction(engine) as tx:
        job_queue.enqueue_all(tx, [spec(sha(str(n))) for n in range(40)])
    start = threading.Barrier(4)
    claimed: dict[int, list[str]] = {n: [] for n in range(4)}

    def work(n: int) -> None:
        start.wait()
        while True:
            with transaction(engine) as tx:
                lease = job_queue.claim(tx, f"w{n}")
            if lease is None:
                return
            claimed[n].append(lease.key)

    threads = [threading.Thread(target=work, args=(n,)) for n in claimed]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keys = [key for one in claimed.values() for key in one]
    assert sorted(keys) == sorted(sha(str(n)) for n in range(40))


def test_one_of_two_that_want_the_same_key_wins(engine: Engine, sha: Any) -> None:
    with transaction(engine) as tx:
        job_queue.enqueue(tx, spec(sha("a")))
    start, won = threading.Barrier(4), []

    def work(n: int) -> None:
        start.wait()
        with transaction(engine) as tx:
            lease = job_queue.claim(tx, f"w{n}")
        if lease is not None:
            won.append(lease.worker)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_urgent_ones_first_and_only_the_asked_stages(engine: Engine, sha: Any) -> None:
    with transaction(engine) as tx:
        job_queue.enqueue_all(tx, [spec(sha("a")), spec(sha("b"), "bake"), spec(sha("c"), priority=1)])
        order = [job_queue.claim(tx, "w", stages=stages) for stages in (["bake"], None, None, None)]
    assert [lease and lease.key for lease in order] == [sha("b"), sha("c"), sha("a"), None]


def test_a_job_waits_for_its_inputs_and_knows_its_lineage(engine: Engine, sha: Any) -> None:
    with transaction(engine) as tx:
        scan, mesh = spec(sha("scan")), spec(sha("mesh"), "register", [InputMade("scan", sha("scan"), "scan")])
        bake = spec(
            sha("bake"), "bake", [InputMade("mesh", sha("mesh"), "mesh"), InputMade("scan", sha("scan"), "scan")]
        )
        job_queue.enqueue_all(tx, [scan, mesh, bake])
    made = {}
    for stage, output in (("reconstruct", "scan"), ("register", "mesh"), ("bake", "displacement")):
        with transaction(engine) as tx:
            lease = job_queue.claim(tx, "w")
            assert lease is not None
            assert lease.stage == stage
            assert job_queue.claim(tx, "w") is None
            assert {name: given[0] for name, given in lease.inputs.items()} == {
                name: made[name].sha256 for name in lease.inputs
            }
            made[output] = job_queue.finish(tx, lease, [OutputFile(output, sha(output), 10, "model/ply")])[0]
    with reading(engine) as tx:
        ancestors = lineage(tx, made["displacement"].id)
        assert {artefact.output for artefact in ancestors.artefacts} == {"scan", "mesh"}
        assert [made.sha256 for made in files_of(tx, sha("scan"))] == [sha("scan")]
        assert job_queue.states_of(tx, [sha("scan"), sha("nothing")]) == {sha("scan"): JobState.DONE}


def test_an_input_nobody_makes_is_refused(engine: Engine, sha: Any) -> None:
    with pytest.raises(NotFound, match="never enqueued"), transaction(engine) as tx:
        job_queue.enqueue(tx, spec(sha("mesh"), inputs=[InputMade("scan", sha("scan"), "scan")]))
    with reading(engine) as tx:
        assert farm_status(tx).counts == {}


def test_a_lease_that_ran_out_is_given_to_another(engine: Engine, sha: Any) -> None:
    with transaction(engine) as tx:
        job_queue.enqueue(tx, spec(sha("a")))
        slow = job_queue.claim(tx, "slow", lease_s=60, now=NOON)
        assert slow is not None
    with transaction(engine) as tx:
        assert job_queue.heartbeat(tx, slow, lease_s=60, now=after(50)) == after(110)
        assert job_queue.reclaim_expired(tx, now=after(100)) == 0
        assert job_queue.reclaim_expired(tx, now=after(111)) == 1
        quick = job_queue.claim(tx, "quick", now=after(112))
        assert quick is not None
        assert quick.attempt == 2
    output = [OutputFile("scan", sha("scan"), 10, "model/ply")]
    for act in (
        lambda tx: job_queue.heartbeat(tx, slow),
        lambda tx: job_queue.finish(tx, slow, output),
        lambda tx: job_queue.fail(tx, slow, "too late", retry=True),
        lambda tx: job_queue.give_back(tx, slow),
    ):
        with pytest.raises(LeaseLost, match="slow"), transaction(engine) as tx:
            act(tx)
    with transaction(engine) as tx:
        job_queue.finish(tx, quick, output)
    with reading(engine) as tx:
        assert len(files_of(tx, sha("a"))) == 1


def test_the_same_worker_back_from_the_dead_is_refused_too(engine: Engine, sha: Any) -> None:
    with transaction(engine) as tx:
        job_queue.enqueue(tx, spec(sha("a")))
        first = job_queue.claim(tx, "w", lease_s=1, now=NOON)
        job_queue.reclaim_expired(tx, now=after(2))
        second = job_queue.claim(tx, "w", lease_s=60, now=after(3))
        assert first is not None
        assert second is not None
        with pytest.raises(LeaseLost):
            job_queue.finish(tx, first, [])
        job_queue.finish(tx, second, [])


def test_failures_back_off_and_then_park(engine: Engine, sha: Any) -> None:
    with transaction(engine) as tx:
        job_queue.enqueue(tx, spec(sha("a")))
        now = NOON
        for attempt, expected in ((1, JobState.QUEUED), (2, JobState.QUEUED), (3, JobState.PARKED)):
            lease = job_queue.claim(tx, "w", now=now)
            assert lease is not None
            assert lease.attempt == attempt
            assert job_queue.fail(tx, lease, f"trouble {attempt}", retry=True, backoff_s=10, now=now) is expected
            assert job_queue.claim(tx, "w", now=now) is None
            now += timedelta(seconds=10 * 2 ** (attempt - 1))
        assert job_queue.get_job(tx, sha("a")).error == "trouble 3"
        assert job_queue.retry(tx, [sha("b")]) == 0
        assert job_queue.retry(tx) == 1
        lease = job_queue.claim(tx, "w", now=now)
        assert lease is not None
        assert lease.attempt == 1
        assert job_queue.fail(tx, lease, "the photographs are black", retry=False) is JobState.FAILED


def test_a_bad_input_blocks_only_its_descendants(engine: Engine, sha: Any) -> None:
    with transaction(engine) as tx:
        bad, child = spec(sha("bad")), spec(sha("child"), "register", [InputMade("scan", sha("bad"), "scan")])
        job_queue.enqueue_all(tx, [bad, child, spec(sha("good"))])
        lease = job_queue.claim(tx, "w")
        assert lease is not None
        job_queue.fail(tx, lease, "bad", retry=False)
        other = job_queue.claim(tx, "w")
        assert other is not None
        assert other.key == sha("good")
        assert job_queue.claim(tx, "w") is None
        assert job_queue.claim(tx, "w", stages=["register"]) is None


def test_giving_back_does_not_count_and_parking_holds(engine: Engine, sha: Any) -> None:
    with transaction(engine) as tx:
        job_queue.enqueue(tx, spec(sha("a")))
        lease = job_queue.claim(tx, "w")
        assert lease is not None
        job_queue.give_back(tx, lease)
        assert job_queue.get_job(tx, sha("a")).attempts == 0
        again = job_queue.claim(tx, "w")
        assert again is not None
        assert job_queue.fail(tx, again, "held", retry=True, max_attempts=1) is JobState.PARKED
        assert job_queue.claim(tx, "w") is None
        assert farm_status(tx).total(JobState.PARKED) == 1


def test_a_postponed_run_waits_without_counting_an_attempt(engine: Engine, sha: Any) -> None:
    with transaction(engine) as tx:
        job_queue.enqueue(tx, spec(sha("a")))
        lease = job_queue.claim(tx, "w", now=NOON)
        assert lease is not None
        assert job_queue.postpone(tx, lease, "no room on w's disk", 30, now=NOON) is JobState.QUEUED
        assert job_queue.claim(tx, "w", now=after(29)) is None
        with pytest.raises(LeaseLost):
            job_queue.postpone(tx, lease, "again", 30, now=NOON)
        again = job_queue.claim(tx, "w", now=after(30))
        assert again is not None
        assert again.attempt == 1
        assert job_queue.get_job(tx, sha("a")).error == "no room on w's disk"


def test_only_the_version_that_the_claimer_can_run_is_claimed(engine: Engine, sha: Any) -> None:
    with transaction(engine) as tx:
        job_queue.enqueue_all(tx, [spec(sha("a")), spec(sha("b"), "bake")])
        assert job_queue.count_ready(tx, {"reconstruct": 2, "bake": 1}) == (1, 0)
        order = [
            job_queue.claim(tx, "w", stages=stages) for stages in ({"reconstruct": 2}, {}, {"bake": 1, "other": 7})
        ]
        assert [lease and lease.key for lease in order] == [None, None, sha("b")]
        assert job_queue.count_ready(tx) == (1, 0)


def test_the_subject_in_the_chair_goes_first_and_what_was_taken_again_last(engine: Engine, studio_rows: Any) -> None:
    sha = studio_rows.sha
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        subjects = [studio_rows.subject(tx, ConsentScope.RESEARCH_RELEASE) for _ in range(3)]
        takes = []
        for subject in subjects:
            session = studio_rows.session(tx, subject, rig)
            takes.append(studio_rows.accepted(tx, session, rig, "neutral"))
            close_session(tx, session, incomplete=True)
        for n, (subject, take) in enumerate(zip(subjects, takes, strict=True)):
            job_queue.enqueue(tx, spec(sha(str(n)), subject_id=subject.id, take_id=take.id))
        job_queue.enqueue(tx, spec(sha("nobody's")))
        assert job_queue.prioritise(tx, {subjects[2].id}) == 1
        assert job_queue.prioritise(tx, {subjects[2].id}) == 0
        assert job_queue.prioritise(tx, {subjects[1].id}) == 2  # one goes up, the other down
        assert job_queue.set_last(tx, takes[0].session_id, [sha("another")]) == 1
        order = [job_queue.claim(tx, "w") for _ in range(4)]
    assert [lease and lease.key for lease in order] == [sha("1"), sha("2"), sha("nobody's"), sha("0")]


def test_what_a_session_no_longer_wants_goes_last_and_comes_back_when_it_is_wanted(
    engine: Engine, studio_rows: Any
) -> None:
    sha = studio_rows.sha
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        session = studio_rows.session(tx, studio_rows.subject(tx), rig)
        take = studio_rows.accepted(tx, session, rig, "neutral").id
        job_queue.enqueue_all(tx, [spec(sha(name), take_id=take) for name in ("old", "new")])
        assert job_queue.set_last(tx, session.id, {sha("new")}) == 1
        assert job_queue.set_last(tx, session.id, {sha("new")}) == 0
        first = job_queue.claim(tx, "w")
        assert first is not None
        assert first.key == sha("new")
        assert job_queue.set_last(tx, session.id, {sha("old")}) == 1
        assert job_queue.get_job(tx, sha("old")).priority == job_queue.PRIORITY


def test_a_claim_whose_answer_was_lost_is_given_back(engine: Engine, sha: Any) -> None:
    with transaction(engine) as tx:
        job_queue.enqueue_all(tx, [spec(sha("known")), spec(sha("unknown"))])
        for _ in range(2):
            job_queue.claim(tx, "w")
        assert job_queue.give_back_others(tx, "w", {sha("known")}) == 1
        assert job_queue.give_back_others(tx, "another", []) == 0
        assert job_queue.states_of(tx, [sha("known"), sha("unknown")]) == {
            sha("known"): JobState.LEASED,
            sha("unknown"): JobState.QUEUED,
        }
        assert job_queue.get_job(tx, sha("unknown")).attempts == 0


def test_jobs_may_be_asked_for_in_any_order_and_again_with_new_ones(engine: Engine, sha: Any) -> None:
    mesh = spec(sha("mesh"), "register", [InputMade("scan", sha("scan"), "scan")])
    with transaction(engine) as tx:
        assert job_queue.enqueue_all(tx, [mesh, spec(sha("scan")), mesh]) == 2
        bake = spec(sha("bake"), "bake", [InputMade("mesh", sha("mesh"), "mesh")])
        assert job_queue.enqueue_all(tx, [mesh, bake]) == 1
        assert [lease and lease.stage for lease in (job_queue.claim(tx, "w"), job_queue.claim(tx, "w"))] == [
            "reconstruct",
            None,
        ]


def test_takes_of_equal_photographs_share_a_run(engine: Engine, studio_rows: Any) -> None:
    sha = studio_rows.sha
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        session = studio_rows.session(tx, studio_rows.subject(tx), rig)
        takes = [studio_rows.accepted(tx, session, rig, name) for name in ("neutral", "smile")]
        close_session(tx, session, incomplete=True)
        for take in takes:
            job_queue.enqueue(tx, spec(sha("same"), take_id=take.id))
        assert [artefacts_of_take(tx, take.take_id) for take in ready_takes(tx)] == [{}, {}]
        lease = job_queue.claim(tx, "w")
        assert lease is not None
        frames = [frame.id for frame in takes[0].frames]
        scan = job_queue.finish(tx, lease, [OutputFile("scan", sha("scan"), 10, "model/ply")], frame_ids=frames)[0]
        assert all(artefacts_of_take(tx, take.take_id) for take in ready_takes(tx))
        for take in takes:
            assert artefacts_of_take(tx, take.id)["reconstruct", "scan"].id == scan.id
        assert [frame.id for frame in lineage(tx, scan.id).frames] == frames


def test_a_newer_run_of_a_stage_replaces_the_older(engine: Engine, studio_rows: Any) -> None:
    sha = studio_rows.sha
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        take = studio_rows.accepted(tx, studio_rows.session(tx, studio_rows.subject(tx), rig), rig, 1)
        for version in ("1", "2"):
            job_queue.enqueue(tx, spec(sha(version), take_id=take.id))
            lease = job_queue.claim(tx, "w")
            assert lease is not None
            job_queue.finish(tx, lease, [OutputFile("scan", sha(f"scan {version}"), 10, "model/ply")])
        assert artefacts_of_take(tx, take.id)["reconstruct", "scan"].sha256 == sha("scan 2")


def test_status_counts(engine: Engine, sha: Any) -> None:
    with transaction(engine) as tx:
        job_queue.enqueue_all(tx, [spec(sha(str(n)), stage) for n, stage in enumerate(["bake", "bake", "texture"])])
        job_queue.claim(tx, "w7", stages=["texture"])
        status = farm_status(tx)
        assert status.counts == {"bake": {JobState.QUEUED: 2}, "texture": {JobState.LEASED: 1}}
        assert [(worker, stage) for worker, stage, _ in status.running] == [("w7", "texture")]
