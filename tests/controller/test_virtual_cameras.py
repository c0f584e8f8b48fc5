"""Real PTP bodies as libgphoto2's virtual camera plays them: all alike, and no photograph in another's place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from patience import Patience

from controller.rig_file import Rig
from db.engine import reading
from db.models import Camera, Frame, Take

WAIT_S = 90.0


def test_names_never_collide_though_bodies_number_their_files_alike(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, jpeg: Callable[..., bytes], tmp_path: Path
) -> None:
    """Three bodies of serial 0.1, each with GPH_0099.JPG for its first photograph; two of them see the same."""
    pytest.importorskip("gphoto2", reason="the gphoto2 wheel is not installed")
    rig = rig_of(3, frame_timeout_s=60.0, arm_timeout_ms=30_000, stamps_timeout_ms=30_000)
    scenes = [jpeg(1), jpeg(1), jpeg(2)]
    urls = {}
    for camera, data in zip(rig.cameras, scenes, strict=True):
        folder = tmp_path / "scenes" / camera.name
        folder.mkdir(parents=True)
        (folder / "0.jpg").write_bytes(data)
        urls[camera.name] = f"gphoto2:virtual?photos={folder}"
    studio = home.open(rig)
    fleet.start(studio, urls)
    studio.wait_for_cameras(WAIT_S)
    assert {state.hello.serial for state in studio.link.nodes().values()} == {"0.1"}
    session = studio.start_session(home.subject, "short")
    fired = [studio.fire(session, expression) for expression in ("neutral", "smile")]
    assert all(result.kept for result in fired), [result.message for result in fired]
    takes = [result.take for result in fired]
    with reading(studio.engine) as tx:
        rows = tx.query(Take.code, Camera.name, Frame.name, Frame.sha256).select_from(Frame)
        rows = rows.join(Take, Take.id == Frame.take_id).join(Camera, Camera.id == Frame.camera_id)
        found = {(take, camera): (name, sha256) for take, camera, name, sha256 in rows}
    assert set(found) == {(take, camera.name) for take in takes for camera in rig.cameras}
    assert {found[takes[0], camera.name][0] for camera in rig.cameras} == {"GPH_0099.JPG"}
    for take in takes:
        for camera, data in zip(rig.cameras, scenes, strict=True):
            assert studio.store.open(found[take, camera.name][1]).read() == data
    assert len({sha256 for _, sha256 in found.values()}) == 2  # equal photographs are one file with rows of their own
    patience = Patience(WAIT_S)
    while any(fleet.spooled(camera.name) for camera in rig.cameras) and patience.sleep():
        pass
    assert [fleet.spooled(camera.name) for camera in rig.cameras] == [[], [], []]
