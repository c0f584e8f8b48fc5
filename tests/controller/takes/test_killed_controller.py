"""A controller killed (SIGKILL) at any instant: the next one goes on at the same expression, and nothing is lost.

Each round is a controller in a process of its own over the same home and the same nodes. It settles what the one before
left, does what an operator would do next, and is killed at the round's moment.
"""

import multiprocessing
import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from patience import Patience

from controller.rig_file import Rig
from controller.studio import Studio
from db.models import TakeState

WAIT_S = 120.0
CAMERAS = 2

# The step of the studio at which it is killed, before or after it was done.
MOMENTS: dict[str, tuple[str, str, str]] = {
    "planned": ("records", "plan", "after"),
    "arming": ("link", "arm", "before"),
    "armed": ("link", "arm", "after"),
    "before the journal": ("records", "fired", "before"),
    "journalled": ("records", "fired", "after"),
    "fired": ("link", "release", "after"),
    "one photograph filed": ("events", "commit", "after"),
    "whole": ("records", "captured", "before"),
    "captured": ("records", "captured", "after"),
    "accepting": ("records", "accept", "before"),
    "accepted": ("records", "accept", "after"),
}
NOT_FIRED = {"planned", "arming", "armed", "before the journal", "journalled"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(step: Callable[..., Any], when: str) -> Callable[..., Any]:
    def act(*arguments: Any, **named: Any) -> Any:
        if when == "after":
            step(*arguments, **named)
        die()

    return act


def go_on(studio: Studio, session: str) -> None:
    """What an operator does next: accept what is whole, take again what failed, fire what is not taken yet."""
    script = studio.state_of(session)
    if waiting := script.undecided():
        studio.accept(session, waiting[0].code)
        return
    line = script.next_expression()
    assert line is not None
    result = studio.fire(session, line.name, retake=bool(script.takes_of(line.position)))
    assert result.kept, result.message
    studio.accept(session, result.take)


def settle(studio: Studio) -> str:
    """Wait until nothing is under way; the session that is open."""
    patience = Patience(WAIT_S)
    while studio.records.unsettled() and patience.sleep():
        pass
    assert not studio.records.unsettled()
    studio.wait_for_cameras(WAIT_S)
    session = studio.records.open_session()
    assert session is not None
    return session


def doomed(settings: Any, moment: "str | float") -> None:
    with Studio(settings) as studio:
        session = settle(studio)
        script = studio.state_of(session)
        line = script.next_expression()
        if script.undecided() or (line is not None and script.takes_of(line.position)):
            go_on(studio, session)  # what the controller before left
        if isinstance(moment, float):
            threading.Timer(moment, die).start()
        else:
            part, step, when = MOMENTS[moment]
            owner = getattr(studio, part)
            setattr(owner, step, deadly(getattr(owner, step), when))
        go_on(studio, session)
        time.sleep(WAIT_S)  # a moment by the clock may come later than the work


Kill = Callable[[Sequence["str | float"]], "tuple[Studio, str, list[str]]"]


@pytest.fixture
def kill(home: Any, rig_of: Callable[..., Rig], fleet: Any, photos: Path, sim_url: Callable[..., str]) -> Kill:
    """kill(moments): the studio after one controller was killed at each, its session, and the take of each round."""

    def happen(moments: "Sequence[str | float]") -> "tuple[Studio, str, list[str]]":
        rig = rig_of(CAMERAS, frame_timeout_s=60.0)
        places = {"control": f"tcp://127.0.0.1:{free_port()}", "bulk": f"tcp://127.0.0.1:{free_port()}"}
        first = home.open(rig, **places)
        fleet.start(first, {camera.name: sim_url(camera.view, photos) for camera in rig.cameras})
        first.start_session(home.subject)
        first.__exit__(None, None, None)
        home.stack.pop_all()
        settings = replace(home.settings(rig), **places)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["camera_nodes.agent", "camera_nodes.sim_camera", "controller.studio"])
        takes = []
        for moment in moments:
            victim = context.Process(target=doomed, args=(settings, moment))
            victim.start()
            victim.join(2 * WAIT_S)
            assert victim.exitcode == -signal.SIGKILL, f"killed at {moment!r}: exit code {victim.exitcode}"
            takes.append(newest_take(settings))
        studio = home.open(rig, **places)
        session = settle(studio)
        if studio.state_of(session).takes:
            go_on(studio, session)
        return studio, session, takes

    return happen


def newest_take(settings: Any) -> str:
    from sqlalchemy import select

    from db.engine import open_database, reading
    from db.models import Take

    engine = open_database(settings.records.database)
    try:
        with reading(engine) as tx:
            return tx.scalars(select(Take.code).order_by(Take.id.desc()).limit(1)).one()
    finally:
        engine.dispose()


def check_everything(studio: Studio, session: str, fleet: Any) -> None:
    """No expression was left out or done twice, no attempt is missing, every photograph is filed and none waits."""
    script = studio.state_of(session)
    accepted = [line.position for line in script.expressions if script.accepted(line.position)]
    assert accepted == list(range(1, len(accepted) + 1))
    assert script.next_expression().position == len(accepted) + 1
    for line in script.expressions:
        assert [take.attempt for take in script.takes_of(line.position)] == list(
            range(1, len(script.takes_of(line.position)) + 1)
        )
    for take in script.takes:
        assert take.state in (TakeState.ACCEPTED, TakeState.FAILED)
        photographs = studio.records.photographs(take.code)
        assert len(photographs) == (CAMERAS if take.state is TakeState.ACCEPTED else 0)
        assert all(studio.store.exists(sha256) for sha256 in photographs.values())
    for camera in studio.rig.cameras:
        assert fleet.spooled(camera.name) == []
        for aside in ("rejected", "damaged"):
            folder = fleet.folder / "spool" / camera.name / aside
            assert not folder.exists() or not list(folder.iterdir())


def run(kill: Kill, fleet: Any, moments: Sequence[str]) -> None:
    studio, session, takes = kill(moments)
    check_everything(studio, session, fleet)
    for moment, take in zip(moments, takes, strict=True):
        wanted = TakeState.FAILED if moment in NOT_FIRED else TakeState.ACCEPTED
        assert (moment, studio.records.take(take).state) == (moment, wanted)


def test_killed_before_the_fire_and_between_photographs(kill: Kill, fleet: Any) -> None:
    run(kill, fleet, ["before the journal", "journalled", "one photograph filed"])


@pytest.mark.slow
def test_killed_at_every_step(kill: Kill, fleet: Any) -> None:
    run(kill, fleet, list(MOMENTS))


@pytest.mark.slow
def test_killed_at_random_instants(kill: Kill, fleet: Any) -> None:
    draw = random.Random(7)
    studio, session, _ = kill([draw.uniform(0.0, 1.0) for _ in range(18)])
    check_everything(studio, session, fleet)
