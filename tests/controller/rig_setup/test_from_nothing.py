"""A studio from nothing: nodes run, the studio is served for setting up, the rig file is begun from what answers."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import until
from typer.testing import CliRunner

from controller.commands import rig as commands
from controller.errors import ConfigurationError, RigNotReady, SessionError
from controller.rig_file import Rig, parse_rig, read_rig
from controller.rig_setup.rig_check import check_rig
from controller.rig_setup.rig_draft import AnnouncedCamera, draft_rig
from controller.studio import Studio
from controller.studio_settings import load_settings, set_up_settings


def mien(*words: str) -> str:
    told = CliRunner().invoke(commands.app, list(words))
    if told.exception is not None and not isinstance(told.exception, SystemExit):
        raise told.exception
    return told.output


def test_nodes_that_answer_become_a_rig_that_is_ready(
    home: Any, fleet: Any, sim_url: Callable[..., str], photos: Path, serve: Callable[[Studio], str], tmp_path: Path
) -> None:
    loopback = {"control": "tcp://127.0.0.1:*", "bulk": "tcp://127.0.0.1:*"}
    with pytest.raises(ConfigurationError, match=r"no rig file.*--setup.*mien rig init"):
        load_settings(home.folder)
    setup = home.stack.enter_context(
        Studio(replace(set_up_settings(tmp_path / "thrown-away", home.folder), **loopback))
    )
    serve(setup)
    out = home.folder / "rig.toml"
    words = ("init", "--out", str(out), "--name", "studio-a", "--home", str(home.folder))
    with pytest.raises(RigNotReady, match="No node has announced a camera"):
        mien(*words)
    bodies = {0: "6100", 1: "6101", 2: "6102"}
    urls = {view: sim_url(view, photos, serial=bodies[view], battery=60 + view) for view in bodies}
    fleet.start(setup, {f"cam-{view:02d}": url for view, url in urls.items()})

    def all_told() -> bool:
        found = setup.announced()
        whole = [one for one in found if one.status and one.status.battery_percent and one.present.serial]
        return len(found) == len(whole) == 3

    until(all_told, seconds=90)
    with pytest.raises(SessionError, match="being set up"):
        setup.start_session("S001")
    assert "3 cameras" in mien(*words)
    assert check_rig(out).errors == ()
    text = out.read_text()
    assert "Simulated camera, battery 61 %" in text
    with pytest.raises(ConfigurationError, match="is there already; --force"):
        mien(*words)
    assert out.read_text() == text
    mien(*words, "--force")
    written = read_rig(out)
    assert [(c.name, c.view, c.serial) for c in written.cameras] == [(f"cam-{v:02d}", v, s) for v, s in bodies.items()]
    ends = {"control": setup.control_endpoint, "bulk": setup.bulk_endpoint}
    home.stack.pop_all().close()
    assert not (home.folder / "studio.sqlite").exists()

    settings = load_settings(home.folder)
    patient = replace(settings.rig.sync, max_clock_uncertainty_ms=5.0, silence_s=20)
    studio = home.stack.enter_context(Studio(replace(settings, rig=replace(settings.rig, sync=patient), **ends)))
    assert studio.wait_for_cameras(90).ready == ("cam-00", "cam-01", "cam-02")


def test_who_is_turned_away_is_announced_too(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, sim_url: Callable[..., str], photos: Path
) -> None:
    studio = home.open(rig_of(1))
    fleet.start(studio, {"cam-07": sim_url(7, photos, serial="6107")})
    (found,) = until(studio.announced, seconds=90)
    assert (found.present.name, found.present.serial, found.status, found.in_rig) == ("cam-07", "6107", None, False)


texts = st.text(max_size=40)
cameras = st.builds(
    AnnouncedCamera,
    camera=st.one_of(st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True), texts),
    node=texts, serial=texts, model=texts, url=texts, fault=st.one_of(st.just(""), texts),
    battery_percent=st.none() | st.integers(0, 100),
)  # fmt: skip


@given(st.text(min_size=1, max_size=30), st.lists(cameras, max_size=12))
def test_whatever_nodes_announce_the_draft_is_a_rig_file(name: str, announced: Sequence[AnnouncedCamera]) -> None:
    import tomllib

    document = tomllib.loads(draft_rig(name, announced))
    names = {entry["name"] for entry in document.get("camera", ())}
    assert names <= {one.camera for one in announced}
    if names:
        rig = parse_rig(document, "draft")
        assert sorted(camera.view for camera in rig.cameras) == list(range(len(names)))
