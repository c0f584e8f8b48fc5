"""Runs that go take with them what was made from them; runs that others share stay, and are the others'."""

from typing import Any

from sqlalchemy import Engine, select

from db.engine import transaction
from db.models import Job, JobTake
from db.stage_runs import job_queue
from db.stage_runs.artefacts import OutputFile, lineage
from db.stage_runs.job_queue import InputMade, JobSpec
from db.stage_runs.run_removal import delete_runs, hand_over_runs, with_descendants


def test_descendants_near_and_far_go_with_a_run(engine: Engine, studio_rows: Any) -> None:
    sha = studio_rows.sha
    with transaction(engine) as tx:
        scan = JobSpec(sha("scan"), "reconstruct", 1, {})
        mesh = JobSpec(sha("mesh"), "register", 1, {}, [InputMade("scan", scan.key, "scan")])
        bake = JobSpec(sha("bake"), "bake", 1, {}, [InputMade("mesh", mesh.key, "mesh")])
        job_queue.enqueue_all(tx, [scan, mesh, bake, JobSpec(sha("other"), "reconstruct", 1, {})])
        ids = {key: job for job, key in tx.execute(select(Job.id, Job.key))}
        doomed = with_descendants(tx, [ids[scan.key]])
        assert doomed == {ids[scan.key], ids[mesh.key], ids[bake.key]}
        assert with_descendants(tx, [ids[bake.key]]) == {ids[bake.key]}
        delete_runs(tx, doomed)
        assert list(tx.scalars(select(Job.key))) == [sha("other")]


def test_a_shared_run_is_the_other_takes_with_its_lineage(engine: Engine, studio_rows: Any) -> None:
    sha = studio_rows.sha
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        session = studio_rows.session(tx, studio_rows.subject(tx), rig)
        same = [(sha(f"view {view}"), 10) for view in range(3)]
        first, second = (studio_rows.accepted(tx, session, rig, name, same) for name in ("neutral", "smile"))
        for take in (first, second):
            job_queue.enqueue(tx, JobSpec(sha("run"), "reconstruct", 1, {}, take_id=take.id))
        lease = job_queue.claim(tx, "w")
        assert lease is not None
        outputs, frames = [OutputFile("scan", sha("scan"), 10, "model/ply")], [frame.id for frame in first.frames]
        scan = job_queue.finish(tx, lease, outputs, frame_ids=frames)[0]
        hand_over_runs(tx, [first.id], Job.take_id == first.id)
        assert list(tx.scalars(select(JobTake.take_id))) == [second.id]
        assert list(tx.scalars(select(Job.take_id))) == [second.id]
        assert {frame.take_id for frame in lineage(tx, scan.id).frames} == {second.id}
