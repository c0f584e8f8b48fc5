"""A person finds a camera by its signs, and moves its lens, from the studio; what takes a while says how far it is."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from patience import until

from camera_nodes import wire
from controller.cameras import body_actions
from controller.console.state.rig_sections import jobs_section
from controller.errors import RigNotReady, SessionError
from controller.rig_file import Rig
from db.engine import reading
from db.rigs.camera_events import events_of

WAIT_S = 60.0


def test_a_camera_gives_signs_and_moves_its_lens_and_that_is_written_down(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, sim_url: Callable[..., str], photos: Path
) -> None:
    studio = home.open(rig_of(2))
    fleet.start(studio, {"cam-00": sim_url(0, photos, defocus=4)})
    until(lambda: "cam-00" in studio.roster().ready)
    assert "listen for the mirror" in studio.identify("cam-00")

    def seen() -> float | None:
        return studio.ask_live_view(["cam-00"], 100)[0].focus

    soft = until(seen)
    assert studio.focus("cam-00") == "autofocus has found its focus"
    until(lambda: (now := seen()) and now > 2 * soft)
    assert studio.focus("cam-00", "farther", 3) == "farther by 3"
    studio.maintenance.writer.settle()
    with reading(studio.engine) as tx:
        written = events_of(tx, studio.rig.name, "camera.focus")
    assert [(event.camera, event.detail["drive"], event.detail["step"]) for event in written] == [
        ("cam-00", "auto", 1), ("cam-00", "farther", 3),
    ]  # fmt: skip
    with pytest.raises(SessionError, match="cam-09 is not in the rig file"):
        studio.identify("cam-09")
    with pytest.raises(RigNotReady, match="cam-01: "):
        studio.focus("cam-01")


def test_a_node_that_cannot_or_does_not_answer_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def answering(**answer: Any) -> Callable[..., dict[str, str]]:
        def tell(cameras: Any, message: Any) -> dict[str, str]:
            actions.acted(wire.BodyActed(request_id=message.request_id, camera=cameras[0], **answer))
            return {}

        return tell

    monkeypatch.setattr(body_actions, "ANSWER_S", 0.05)
    actions = body_actions.BodyActions(["cam-07"], answering(outcome="impossible", text="it has no live view"))
    with pytest.raises(RigNotReady, match="cam-07: it has no live view"):
        actions.identify("cam-07")
    actions = body_actions.BodyActions(["cam-07"], lambda *_: {})
    with pytest.raises(RigNotReady, match="cam-07: its node has not answered within"):
        actions.focus("cam-07", "auto", 1)
    actions.acted(wire.BodyActed(request_id="late", camera="cam-07", outcome="done"))  # nobody waits any more


def test_a_lag_measurement_and_a_recovery_say_how_far_they_are(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, sim_url: Callable[..., str], photos: Path
) -> None:
    studio = home.open(rig_of(2))
    fleet.start(studio, {"cam-00": sim_url(0, photos), "cam-01": sim_url(1, photos, stuck_until="usb_reset")})
    until(lambda: "cam-00" in studio.roster().ready and set(studio.link.nodes()) == {"cam-00", "cam-01"})
    assert jobs_section(studio) == {}
    studio.recover("cam-01", ["usb_reset"])
    until(lambda: studio.jobs_now()["recovery-cam-01"].state == "done")
    told = jobs_section(studio)["recovery-cam-01"]
    assert told["text"] == "recovery of cam-01"
    assert "it answers: Simulated camera" in told["told"]
    studio.wait_for_cameras(WAIT_S)
    counts, rung = set(), threading.Event()

    def watch() -> None:
        while not rung.wait(0.002):
            if job := studio.jobs_now().get("lag"):
                counts.add((job.state, job.done))

    watcher = threading.Thread(target=watch)
    watcher.start()
    studio.measure_lags(5)
    rung.set()
    watcher.join()
    assert {("running", number) for number in range(5)} <= counts
    job = studio.jobs_now()["lag"]
    assert (job.state, job.done, job.total) == ("done", 5, 5)
    assert job.told
    with pytest.raises(RigNotReady, match="no light"), studio.jobs.run("preflight", "preflight", 1):
        raise RigNotReady("no light")
    job = studio.jobs_now()["preflight"]
    assert (job.state, job.done, job.told) == ("failed", 0, "no light")
