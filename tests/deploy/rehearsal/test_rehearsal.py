"""A rehearsal with an operator who is a script: what came, what was noticed and what was not, stands in the score."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from patience import until
from PIL import Image, ImageDraw

from controller.client import StudioClient
from controller.errors import RigNotReady, StudioUnreachable
from controller.studio import Studio
from controller.studio_settings import StudioSettings
from db.engine import transaction
from db.models import ConsentScope
from db.protocols import ProtocolData, install_protocol
from db.settings import Settings
from db.subjects import add_subject, give_consent
from deploy.demo.local_studio import SimulatedBody, write_rig
from deploy.rehearsal.fault_plan import KINDS, Fault, draw_faults
from deploy.rehearsal.rehearsal import Rehearsal
from deploy.rehearsal.rehearsed_scene import RehearsedScene
from deploy.rehearsal.simulated_rig import SimulatedRig, computers_of

NAMES = ("neutral", "smile", "anger")
COMPUTERS = computers_of([f"cam-{view:02d}" for view in range(12)])


@given(st.integers(0, 12), st.integers(1, 25), st.integers(0, 10**6))
def test_the_same_seed_draws_the_same_faults(count: int, fires: int, seed: int) -> None:
    plan = draw_faults(count, fires, COMPUTERS, ["cam-00", "cam-05"], seed)
    assert plan == draw_faults(count, fires, COMPUTERS, ["cam-00", "cam-05"], seed)
    assert len(plan) == count
    assert [fault.fire for fault in plan] == sorted({fault.fire for fault in plan})
    assert all(fault.fire >= 2 for fault in plan)
    assert sum(fault.kind == "consent" for fault in plan) <= 1
    assert not [fault for fault in plan[:-1] if fault.kind == "consent"]
    for fault in plan:
        assert fault.place in ("chair", *COMPUTERS, *(c for own in COMPUTERS.values() for c in own))


def test_every_kind_comes_before_one_comes_twice() -> None:
    assert {fault.kind for fault in draw_faults(len(KINDS), 20, COMPUTERS, [], 7)} == set(KINDS)


def draw_face(folder: Path, expression: str) -> None:
    for view in range(4):
        picture = Image.new("RGB", (120, 160), (90, 90, 90))
        pen = ImageDraw.Draw(picture)
        pen.ellipse((30, 30, 90, 120), fill=(200, 160, 140))
        pen.text((40, 60 + view), f"{expression} {view}", fill=(0, 0, 0))
        picture.save(folder / f"{view}.jpg")


class Stage:
    """A studio with four bodies in a rehearsal with this plan."""

    def __init__(self, folder: Path, plan: list[Fault], stack: ExitStack) -> None:
        bodies = [SimulatedBody(f"cam-{v:02d}", v, f"S{v}", v < 2, 20.0, 0.05) for v in range(4)]
        records = Settings(folder / "home", f"sqlite:///{folder / 'home' / 'studio.sqlite'}", str(folder / "store"))
        records.make_home()
        rig = write_rig(records.home / "rig.toml", "rehearsal", bodies)
        # What is tested here must not depend on how busy the machine is.
        rig = replace(rig, sync=replace(rig.sync, max_clock_uncertainty_ms=5.0, max_skew_ms=2000.0))
        scene = RehearsedScene(folder / "scene", 4, draw_face)
        scene.prepare(NAMES, lambda _: None)
        self.closed = False
        self.rehearsal = Rehearsal(
            SimulatedRig(folder / "nodes", scene.now, bodies, max_late_ms=2000.0),
            scene,
            plan,
            over=lambda: setattr(self, "closed", True),
        )
        loopback = "tcp://127.0.0.1:*"
        self.studio = stack.enter_context(Studio(StudioSettings(records, rig, loopback, loopback)))
        with transaction(self.studio.engine) as tx:
            install_protocol(tx, ProtocolData("short", 1, tuple((name, name) for name in NAMES)))
            subject = add_subject(tx)
            give_consent(tx, subject, ConsentScope.RESEARCH_RELEASE, date(2026, 1, 2))
            self.subject = subject.code
        stack.enter_context(self.rehearsal.beside(self.studio, FastAPI()))
        self.studio.wait_for_cameras(90)
        self.session = self.studio.start_session(self.subject, "short")

    def fire(self, expression: str, retake: bool = False) -> Any:
        self.studio.wait_for_cameras(90)
        return self.studio.fire(self.session, expression, retake=retake)

    def story(self, number: int) -> Any:
        return self.rehearsal.score().stories[number]


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    with ExitStack() as stack:
        yield lambda *plan: Stage(tmp_path, list(plan), stack)


def test_what_the_operator_notices_and_misses_is_scored(stage: Callable[..., Stage]) -> None:
    on = stage(
        Fault("defocus", 2, ("cam-00",), "cam-00"), Fault("asleep", 4, ("cam-03",), "cam-03"),
        Fault("moved", 5, (), "chair"),
    )  # fmt: skip
    assert on.fire("neutral").kept
    on.studio.accept(on.session)
    assert on.fire("smile").kept  # out of focus, and taken again
    assert on.fire("smile", retake=True).kept
    on.studio.accept(on.session)
    until(lambda: on.story(1).began_s is not None, seconds=60)
    until(lambda: not all(report.ready for report in on.studio.cameras()), "the body never slept", seconds=60)
    assert "Nothing is wrong" in on.rehearsal.fix("cam-01")
    assert "a body falls asleep" in on.rehearsal.fix("cam-03")
    assert on.fire("anger").kept
    assert on.fire("anger", retake=True).kept  # there was nothing wrong; but in this one the subject has moved
    on.studio.accept(on.session)
    on.studio.close(on.session)
    until(lambda: on.closed, "the end was not told", seconds=60)
    score = on.rehearsal.score()
    assert (score.kept, score.expressions, score.fired) == (3, 3, 5)
    assert [story.noticed_s is not None for story in score.stories] == [True, True, False]
    assert score.false_accepts == (f"{on.session}-E03-2",)
    assert score.false_retakes == (f"{on.session}-E03-1",)
    assert (score.walks, score.needless_walks) == (2, 1)
    assert "Faults noticed   2 of 3" in "\n".join(score.lines())
    assert json.loads(json.dumps(score.data()))["faults"][0]["take"] == f"{on.session}-E02-1"


@pytest.mark.slow  # nodes start anew for most of them
def test_each_fault_at_a_place_is_there_until_somebody_walks(stage: Callable[..., Stage]) -> None:
    plan = [
        Fault("late", 2, ("cam-01",), "cam-01"), Fault("card", 3, ("cam-02",), "cam-02"),
        Fault("battery", 4, ("cam-00",), "cam-00"), Fault("disk", 5, ("cam-03",), "cam-03"),
        Fault("computer", 6, tuple(f"cam-{v:02d}" for v in range(4)), "pi-01"),
        Fault("swapped", 7, ("cam-00", "cam-02"), "cam-00"), Fault("drop", 8, ("cam-01",), "cam-01"),
        Fault("consent", 9, (), "chair"),
    ]  # fmt: skip
    on = stage(*plan)
    assert on.fire("neutral").kept
    late = on.fire("smile")
    assert late.skew.exposure_skew_ms > 50
    on.rehearsal.fix("cam-01")
    for number, told in ((1, "card"), (2, "battery 3"), (3, "disk")):
        until(lambda number=number: on.story(number).began_s is not None, seconds=60)
        until(lambda told=told: told_by(on, told), f"nothing is refused for its {told}", seconds=90)
        on.rehearsal.fix(plan[number].place)
        until(lambda: all(report.ready for report in on.studio.cameras()), seconds=90)
        assert on.studio.fire(on.session, "smile", retake=True).kept
    for number in (4, 5):
        until(lambda number=number: on.story(number).began_s is not None, seconds=60)
        until(lambda: not all(report.ready for report in on.studio.cameras()), seconds=90)
        on.rehearsal.fix(plan[number].place)
        assert on.fire("smile", retake=True).kept
    assert not on.fire("anger").kept  # dropped
    until(lambda: on.story(7).began_s is not None, seconds=60)
    on.studio.pause_session(on.session)
    until(lambda: on.story(7).noticed_s is not None, seconds=60)
    assert [story.noticed_s is not None for story in on.rehearsal.score().stories] == [True] * 6 + [False, True]


def told_by(on: Stage, text: str) -> bool:
    """Whether a fire is refused for that, which uses no photograph up."""
    try:
        result = on.studio.fire(on.session, "smile", retake=True)
    except RigNotReady:  # its node starts anew
        return False
    return not result.kept and text in result.message


@pytest.mark.slow  # two rendered faces and six cameras, from the command line to its end
def test_the_command_serves_a_console_and_ends_with_a_score(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mien", "studio", "rehearse", "--cameras", "6", "--faults", "2", "--seed", "4",
               "--expressions", "neutral,smile", "--out", str(tmp_path), "--port", "5797", "--json"]  # fmt: skip
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:

        def ready() -> bool:
            try:
                return bool(StudioClient(tmp_path / "studio").get("/api/rig")["ready"] == 6)
            except StudioUnreachable:
                return False

        until(ready, "no console", seconds=180, poll_s=0.5)
        assert httpx.get("http://127.0.0.1:5797/sign-in").status_code == 200
    finally:
        os.kill(process.pid, signal.SIGINT)
        out, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    score = json.loads(out)
    assert (score["kept"], score["fired"], len(score["faults"])) == (0, 0, 2)
    assert "/link#" in errors  # how the first person gets in
