"""Nothing is sent where there is no room for it, and a worker at fault gets nothing more."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from processing.farm.execution.dask_cluster import _others
from processing.farm.scheduling.tasks import UNDER_WAY
from processing.farm.scheduling.worker_capacity import CapacityTracker, WorkerCapacity
from processing.stages.base import Resources


def stages(**resources: Resources) -> Mapping[str, Any]:
    return {name: SimpleNamespace(version=1, resources=needs) for name, needs in resources.items()}


STAGES = stages(large=Resources(6), small=Resources(1), drawn=Resources(2, gpu=True))


def fitting(rooms: CapacityTracker) -> tuple[str, set[str]] | None:
    choice = rooms.choice()
    return None if choice is None else (choice[0].name, set(choice[1]))


def test_memory_slots_and_gpus_are_counted_by_room() -> None:
    rooms = CapacityTracker(STAGES, "cuda")
    plain, gpu = WorkerCapacity("plain", 3, 8.0), WorkerCapacity("gpu", 1, 16.0, gpus=1)
    rooms.update([plain, gpu])
    assert fitting(rooms) == ("plain", {"large", "small"})
    rooms.take("1", "large", plain)
    rooms.take("2", "small", plain)
    assert fitting(rooms) == ("plain", {"small"})  # 7 of 8 GB are taken
    rooms.take("3", "small", plain)
    assert fitting(rooms) == ("gpu", {"large", "small", "drawn"})
    rooms.take("4", "drawn", gpu)
    assert fitting(rooms) is None
    assert rooms.leave("1") == "plain"
    assert fitting(rooms) == ("plain", {"large", "small"})
    assert rooms.leave("1") is None


def test_one_gpu_serves_one_run_and_the_others_go_on_without() -> None:
    rooms = CapacityTracker(STAGES, "cuda")
    room = WorkerCapacity("", 3, 100.0, gpus=1)
    rooms.update([room])
    rooms.take("1", "drawn", room)
    assert fitting(rooms) == ("", {"large", "small"})
    on_cpu = CapacityTracker(STAGES, "cpu")
    on_cpu.update([WorkerCapacity("", 3, 100.0)])
    assert fitting(on_cpu) == ("", {"large", "small", "drawn"})


def test_a_stage_that_is_larger_than_the_room_runs_there_alone() -> None:
    rooms = CapacityTracker(STAGES, "cpu")
    tight = WorkerCapacity("tight", 2, 4.0)
    rooms.update([tight])
    assert fitting(rooms) == ("tight", {"large", "small", "drawn"})
    assert rooms.needs("large", tight).ram_gb == 4.0
    rooms.take("1", "small", tight)
    assert fitting(rooms) == ("tight", {"small", "drawn"})


def test_rooms_without_work_that_is_to_be_had_are_passed_over() -> None:
    rooms = CapacityTracker(STAGES, "cuda")
    rooms.update([WorkerCapacity("plain", 2, 8.0), WorkerCapacity("gpu", 1, 8.0, gpus=1)])
    choice = rooms.choice([frozenset({"large", "small"})])
    assert choice is not None
    assert choice[0].name == "gpu"
    assert rooms.choice([frozenset({"large", "small"}), frozenset(STAGES)]) is None


def test_a_room_at_fault_gets_nothing_until_it_is_a_new_one() -> None:
    rooms = CapacityTracker(STAGES, "cpu")
    bad, good = WorkerCapacity("bad", 2, 8.0), WorkerCapacity("good", 1, 8.0)
    rooms.update([bad, good])
    rooms.refuse("bad", "large")
    assert fitting(rooms) == ("bad", {"small", "drawn"})
    rooms.shut("bad", 60)
    assert fitting(rooms) == ("good", set(STAGES))
    assert not rooms.all_shut
    rooms.shut("good", 60)
    assert fitting(rooms) is None
    assert rooms.all_shut
    rooms.update([good])
    rooms.update([bad])  # it came back under its old address
    assert fitting(rooms) == ("bad", set(STAGES))


def test_a_worker_that_still_computes_for_another_daemon_has_no_place_for_more() -> None:
    """Runs that this daemon sent, or that it heard the end of a moment ago, are counted by itself."""
    worker = {"metrics": {UNDER_WAY: [["mine", 1], ["of a dead daemon", 1], ["mine", 2]]}}
    assert _others(worker, {("mine", 1)}) == 2
    assert _others({"metrics": {}}, set()) == 0
    rooms = CapacityTracker(STAGES, "cpu")
    rooms.update(
        [WorkerCapacity("one", 1 - _others(worker, {("mine", 1), ("mine", 2)}), 8.0), WorkerCapacity("two", 1, 8.0)]
    )
    assert (fitting(rooms) or ("", ()))[0] == "two"
