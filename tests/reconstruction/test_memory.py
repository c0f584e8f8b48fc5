"""What a scan holds is bounded: photographs are decoded when they are asked for, large arrays lie in files."""

import gc
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from processing.files.photograph_sequence import LazyPhotographs, selected_photographs
from processing.reconstruction.bounded_map import bounded_map
from processing.reconstruction.multi_view_stereo import reconstruct
from processing.reconstruction.scratch_files import Scratch
from processing.reconstruction.settings import Scan


def test_beyond_its_limit_arrays_lie_in_files_and_dropped_ones_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    scratch = Scratch(4 * 100)
    first = scratch.full((10, 10), 7.0)
    assert scratch.filed_bytes == 0
    second = scratch.kept(np.arange(100, dtype=np.float32).reshape(10, 10))
    assert scratch.filed_bytes == 400
    assert second[9, 9] == 99
    assert list(tmp_path.iterdir()) == []  # it has no name, so nothing is left behind whatever happens
    del first
    gc.collect()
    scratch.empty((10, 10))
    assert scratch.filed_bytes == 400


@pytest.mark.slow
def test_a_scan_from_files_is_the_scan_from_memory(scene: Any, scan: Scan, tools: Any) -> None:
    filed = reconstruct(scene.images, scene.cameras, settings=replace(tools.quick, memory_gb=0.0))
    assert np.array_equal(filed.mesh.vertices_mm, scan.mesh.vertices_mm)
    assert np.array_equal(filed.mesh.triangles, scan.mesh.triangles)


def test_no_file_stays_open(scene: Any, tools: Any) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    reconstruct(scene.images[:6], scene.cameras[:6], settings=replace(tools.quick, memory_gb=0.0, wider_search=False))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2


def test_photographs_are_made_when_they_are_asked_for() -> None:
    made: list[int] = []

    def maker(at: int) -> Any:
        def image() -> np.ndarray:
            made.append(at)
            return np.full((2, 2, 3), at, np.uint8)

        return image

    images = LazyPhotographs(maker(k) for k in range(5))
    some = selected_photographs(images.changed(lambda at, image: image + np.uint8(10 * at)), [3, 1])
    assert made == []
    assert [int(image[0, 0, 0]) for image in some] == [33, 11]
    assert made == [3, 1]
    assert len(images[1:3]) == 2
    held = images.held(20)  # each has 12 bytes: two are begun within the limit
    assert made == [3, 1, 0, 1]
    assert held[0] is held[0]
    assert held[4] is not held[4]


def test_a_scan_of_photographs_on_demand_is_the_same(scene: Any, scan: Scan, tools: Any) -> None:
    def maker(image: np.ndarray) -> Any:
        return lambda: image.copy()

    again = reconstruct(LazyPhotographs(maker(i) for i in scene.images), scene.cameras, settings=tools.quick)
    assert np.array_equal(again.mesh.vertices_mm, scan.mesh.vertices_mm)
    assert again.mesh.colors is not None
    assert np.array_equal(again.mesh.colors, scan.mesh.colors)


@pytest.mark.parametrize("ahead", [1, 3, 50])
def test_work_goes_ahead_but_not_too_far(pool: Executor, ahead: int) -> None:
    begun: list[int] = []

    def work(job: int) -> int:
        begun.append(job)
        return 10 * job

    taken = []
    for result in bounded_map(pool, work, range(20), ahead):
        assert len(begun) <= len(taken) + ahead + 1
        taken.append(result)
    assert taken == [10 * job for job in range(20)]
    assert sorted(begun) == list(range(20))
