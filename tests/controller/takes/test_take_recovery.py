"""A controller killed between FIRE and commit: the journal knows the take, and the nodes still hold the photographs."""

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from patience import Patience

from controller.rig_file import Rig
from controller.studio import Studio
from db.models import TakeState

WAIT_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def doomed(settings: Any, subject: str, moment: str) -> None:
    """A controller that is killed just before FIRE goes out, or when the stamps are in and no photograph is."""
    with Studio(settings) as studio:
        studio.wait_for_cameras(WAIT_S)
        release = studio.link.release

        def kill(order: Any) -> Any:
            if moment == "after":
                release(order)
            os.kill(os.getpid(), signal.SIGKILL)

        studio.link.release = kill  # type: ignore[method-assign]
        studio.fire(studio.start_session(subject, "short"))


@pytest.fixture
def crash(
    home: Any, rig_of: Callable[..., Rig], fleet: Any, photos: Path, sim_url: Callable[..., str]
) -> Callable[[str], Studio]:
    """crash("before" or "after"): the studio that comes up after a controller was killed at that moment."""

    def happen(moment: str) -> Studio:
        rig = rig_of(3, frame_timeout_s=15.0 if moment == "after" else 5.0)
        places = {"control": f"tcp://127.0.0.1:{free_port()}", "bulk": f"tcp://127.0.0.1:{free_port()}"}
        first = home.open(rig, **places)
        fleet.start(first, {camera.name: sim_url(camera.view, photos) for camera in rig.cameras})
        first.__exit__(None, None, None)
        home.stack.pop_all()
        context = multiprocessing.get_context("spawn")
        settings = replace(home.settings(rig), **places)
        victim = context.Process(target=doomed, args=(settings, home.subject, moment))
        victim.start()
        victim.join(2 * WAIT_S)
        assert victim.exitcode == -signal.SIGKILL
        return home.open(rig, **places)

    return happen


def settled(studio: Studio, take: str) -> TakeState:
    patience = Patience(WAIT_S)
    while studio.records.take(take).state is TakeState.FIRED and patience.sleep():
        pass
    return studio.records.take(take).state


def test_photographs_of_a_take_that_was_fired_still_come_in(crash: Callable[[str], Studio]) -> None:
    studio = crash("after")
    session = studio.records.open_session()
    assert session is not None
    take = f"{session}-E01-1"
    assert settled(studio, take) is TakeState.CAPTURED
    line = studio.records.take(take)
    assert line.frames == 3
    assert line.command_skew_ms is not None  # the nodes said once more what they had done
    assert [take.code for take in studio.state_of(session).undecided()] == [take]
    studio.accept(session, "neutral")
    assert studio.state_of(session).next_expression().name == "smile"


def test_a_take_journalled_as_fired_whose_fire_never_went_out_is_a_named_failure(
    crash: Callable[[str], Studio],
) -> None:
    studio = crash("before")
    session = studio.records.open_session()
    take = f"{session}-E01-1"
    assert settled(studio, take) is TakeState.FAILED
    assert "3 of 3 cameras failed" in (studio.records.take(take).problem or "")
    studio.wait_for_cameras(WAIT_S)
    result = studio.retake(session, "neutral")
    assert result.kept, result.message
    assert result.attempt == 2


def test_a_take_that_was_only_planned_is_closed_as_failed(home: Any, rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(1)
    first = home.open(rig)
    session = first.start_session(home.subject, "short")
    take = first.records.plan(session, 1)
    home.stack.close()
    studio = home.open(rig)
    assert studio.records.take(take).state is TakeState.FAILED
    assert "before the fire" in (studio.records.take(take).problem or "")
    assert studio.state_of(session).take_code(1) == f"{session}-E01-2"
