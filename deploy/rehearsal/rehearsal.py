"""A rehearsal beside a served studio: faults come as planned, what the operator does about them is seen and scored."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from controller.errors import ControllerError
from controller.sessions.session_state import SessionStateMachine
from controller.studio import Studio
from controller.takes.take_firing import TakeFiring
from controller.takes.take_under_way import TakeUnderWay
from db.engine import transaction
from db.errors import RecordError
from db.models import SessionState, TakeState
from db.subjects import get_subject, withdraw_consent
from deploy.rehearsal.fault_plan import OF_A_TAKE, SPOILS, TOLD, Fault
from deploy.rehearsal.rehearsal_score import FaultStory, RehearsalScore
from deploy.rehearsal.rehearsed_scene import RehearsedScene
from deploy.rehearsal.simulated_rig import SimulatedRig

LOOK_S = 0.25
BY_ITSELF_S = 60.0  # after which somebody else puts right what nobody can walk to
_SETTLED = (TakeState.CAPTURED, TakeState.ACCEPTED, TakeState.SUPERSEDED, TakeState.FAILED)


Told = Callable[[TakeUnderWay], None]


class RehearsedFiring(TakeFiring):
    """Fires as the studio does; the rehearsal is told right before, and when the shutters were released."""

    def __init__(self, plain: TakeFiring, before: Told, after: Told) -> None:
        self.__dict__.update(plain.__dict__)
        self._before, self._after = before, after

    def fire(self, take: TakeUnderWay) -> bool:
        self._before(take)
        fired = super().fire(take)
        if fired:
            self._after(take)
        return fired


class CommandCounter:
    """ASGI middleware that counts what changes something."""

    def __init__(self, app: ASGIApp, count: Callable[[str], None]) -> None:
        self._app = app
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].startswith("/api/"):
            self._count(scope["path"])
        await self._app(scope, receive, send)


class Rehearsal:
    """beside() is entered while the studio is served; fix() is what the operator does with hands."""

    def __init__(
        self, rig: SimulatedRig, scene: RehearsedScene, plan: Sequence[Fault], *, alone: bool = False,
        told: Callable[[str], None] = lambda _: None, over: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """alone: nobody can walk; faults pass by themselves. told: lines for who watches. over: the session is closed.

        plan: in the order of their fires.
        """
        self._rig = rig
        self._scene = scene
        self._alone = alone
        self._told = told
        self._over = over
        self._stories = [FaultStory(fault) for fault in plan]
        self._lock = threading.RLock()
        self._began = time.monotonic()
        self._fires = 0
        self._of_it: FaultStory | None = None  # what goes wrong with the take that is being fired
        self._spoilt: dict[str, str] = {}  # take -> what spoilt it
        self._commands = self._walks = self._needless = 0
        self._session = ""
        self._state: SessionStateMachine | None = None
        self._stopping = threading.Event()
        self._studio: Studio

    @contextmanager
    def beside(self, studio: Studio, app: FastAPI) -> Iterator[None]:
        """Nodes run and faults come until it is left."""
        self._studio = studio
        studio.take_firing = RehearsedFiring(studio.take_firing, self._before, self._after)
        app.add_middleware(CommandCounter, count=self._count)
        thread = threading.Thread(target=self._run, name="mien-rehearsal", daemon=True)
        try:
            self._rig.start(studio)
            self._began = time.monotonic()
            thread.start()
            yield
        finally:
            self._stopping.set()
            if thread.is_alive():
                thread.join(30)
            self._look()
            self._rig.stop()

    def fix(self, place: str) -> str:
        """Walk to a camera, a computer or the chair and put right what is wrong there; what was found."""
        with self._lock:
            self._walks += 1
            wrong = [story for story in self._open() if place in (story.fault.place, *story.fault.cameras)]
            if not wrong:
                self._needless += 1
                return f"Nothing is wrong at {place}."
            for story in wrong:
                self._notice(story)
                self._end(story)
            return f"{place}: {'; '.join(TOLD[story.fault.kind] for story in wrong)}. It is put right."

    def score(self) -> RehearsalScore:
        with self._lock:
            state = self._state
            takes = state.takes if state is not None else ()
            accepted = [take.code for take in takes if take.state is TakeState.ACCEPTED]
            return RehearsalScore(
                seconds=self._now(),
                expressions=len(state.expressions) if state is not None else 0,
                kept=len(accepted),
                fired=self._fires,
                stories=tuple(self._stories),
                false_accepts=tuple(code for code in accepted if code in self._spoilt),
                false_retakes=tuple(self._false_retakes(state)) if state is not None else (),
                commands=self._commands,
                walks=self._walks,
                needless_walks=self._needless,
            )

    # --- the studio's threads ---

    def _before(self, take: TakeUnderWay) -> None:
        """A take is about to be fired: the subject makes its face, and what goes wrong with it is there."""
        with self._lock:
            due = [story for story in self._stories if story.began_s is None and story.fault.fire <= self._fires + 1]
            for story in due:
                if story.fault.kind == "late":
                    self._begin(story)
            self._of_it = next((story for story in due if story.fault.kind in OF_A_TAKE), None)
            fault = self._of_it.fault if self._of_it is not None else None
            view = self._studio.rig.camera(fault.cameras[0]).view if fault is not None and fault.cameras else None
            self._scene.perform(take.expression.name, fault, view)

    def _after(self, take: TakeUnderWay) -> None:
        """The shutters were released."""
        with self._lock:
            self._fires += 1
            if self._of_it is not None:
                self._of_it.began_s = self._now()
            for story in self._open():
                if story is self._of_it or (story.fault.kind in SPOILS and story.fault.kind not in OF_A_TAKE):
                    story.take = story.take or take.code
                    if story.fault.kind in SPOILS:
                        self._spoilt[take.code] = story.fault.kind

    def _count(self, path: str) -> None:
        with self._lock:
            self._commands += 1
            for story in self._open():
                if any(path == f"/api/rig/cameras/{camera}/recover" for camera in story.fault.cameras):
                    self._notice(story)

    # --- the rehearsal's own thread ---

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                self._look()
                self._let_come()
            except (ControllerError, RecordError) as error:
                self._told(f"rehearsal: {error}")

    def _look(self) -> None:
        """What the operator has done by now."""
        studio = self._studio
        with self._lock:
            self._session = studio.open_session() or self._session
            if not self._session:
                return
            before, state = self._state, studio.state_of(self._session)
            self._state = state
            aside = studio.cameras_aside()
            ready = {report.camera for report in studio.cameras() if report.ready}
            for story in self._open():
                cameras = story.fault.cameras
                if cameras and all(camera in aside for camera in cameras):
                    self._notice(story)
                if story.fault.kind == "asleep" and story.noticed_s is not None and set(cameras) <= ready:
                    self._end(story)  # a reset has woken it
                if story.fault.kind == "consent" and state.state is not SessionState.OPEN:
                    self._notice(story)
                    self._end(story)
                if self._alone and self._now() - (story.began_s or 0.0) > BY_ITSELF_S:
                    self._end(story)
            self._look_at_takes(state)
            if state.state is SessionState.CLOSED and before is not None and before.state is not SessionState.CLOSED:
                self._over()

    def _look_at_takes(self, state: SessionStateMachine) -> None:
        """A fault that shows in a take is noticed when its expression is taken again, or skipped."""
        for story in self._stories:
            take = next((one for one in state.takes if one.code == story.take), None)
            if take is None or story.noticed_s is not None:
                continue
            again = any(other.attempt > take.attempt for other in state.takes_of(take.position))
            if again or take.position in state.skipped:
                self._notice(story)
                if story.fault.kind in OF_A_TAKE:
                    self._end(story)

    def _let_come(self) -> None:
        """What is due now comes, once the takes before it are settled."""
        with self._lock:
            state = self._state
            if state is None or self._studio.firing.held or any(take.state not in _SETTLED for take in state.takes):
                return
            for story in self._stories:
                due = story.began_s is None and story.fault.fire <= self._fires + 1
                if due and story.fault.kind not in (*OF_A_TAKE, "late"):
                    self._begin(story)

    def _begin(self, story: FaultStory) -> None:
        fault = story.fault
        story.began_s = self._now()
        match fault.kind:
            case "computer":
                self._rig.switch_off(fault.place)
            case "swapped":
                self._rig.swap(*fault.cameras)
            case "disk":
                self._rig.fill_disk(fault.cameras[0])
            case "consent":
                self._withdraw()
            case _:
                self._rig.befall(fault.cameras[0], **_SIM[fault.kind])

    def _end(self, story: FaultStory) -> None:
        """It is as it was. With the lock held."""
        if story.over_s is not None:
            return
        story.over_s = self._now()
        fault = story.fault
        if fault.kind == "computer":
            self._rig.switch_on(fault.place)
        elif fault.kind not in (*OF_A_TAKE, "consent"):
            for camera in fault.cameras:
                self._rig.put_right(camera)

    def _withdraw(self) -> None:
        assert self._state is not None
        with transaction(self._studio.engine) as tx:
            withdraw_consent(tx, get_subject(tx, self._state.subject))

    def _open(self) -> list[FaultStory]:
        return [story for story in self._stories if story.began_s is not None and story.over_s is None]

    def _notice(self, story: FaultStory) -> None:
        if story.noticed_s is None:
            story.noticed_s = self._now()

    def _false_retakes(self, state: SessionStateMachine) -> Iterator[str]:
        for take in state.takes:
            again = any(other.attempt > take.attempt for other in state.takes_of(take.position))
            well = take.state is not TakeState.FAILED and not take.flagged and take.code not in self._spoilt
            if again and well:
                yield take.code

    def _now(self) -> float:
        return time.monotonic() - self._began


_SIM: Mapping[str, Mapping[str, Any]] = {
    "late": {"late": 1.0, "late_ms": 60.0},
    "asleep": {"away": 1.0},
    "card": {"card": 1},
    "battery": {"battery": 3.0},
}
