"""Recovery of camera bodies from the studio, step by step, and how often each one needed it.

Each recovery is written into the audit log, so a camera that needs it again and again is named after a restart too.
"""

import threading
import time
import uuid
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine

from camera_nodes import wire
from common.guarding.safe_text import plain
from controller.background_writer import BackgroundWriter
from controller.errors import RigNotReady, SessionError
from controller.rig_file import Rig
from db.audit.acting_person import acting_as, acting_person
from db.engine import reading, utc_now
from db.rigs.camera_events import events_of, record_event

RUNGS: tuple[wire.Rung, ...] = ("reopen", "usb_reset", "power_cycle")
WORDS = {"reopen": "reopening it", "usb_reset": "USB reset", "power_cycle": "power cycle", "": ""}
SILENCE_S = 120.0  # longer than any rung takes: then its node is given up
OFTEN = 2  # recoveries after which a camera is named
LATELY = timedelta(hours=12)  # what counts while no session is open
REMEMBERED = 64

Tell = Callable[[Sequence[str], wire.Message], Mapping[str, str]]


@dataclass(frozen=True)
class RecoveryStep:
    """One thing that the node told of a recovery."""

    at: datetime  # UTC
    rung: str  # the step of the ladder, as in wire.Rung; "" for none
    outcome: str  # as in wire.RecoverStep, or "silent" when it told no more
    text: str  # the node's words; may be empty

    def line(self) -> str:
        """For the operator."""
        words = WORDS.get(self.rung, self.rung)
        told = {
            "begun": words or "begun",
            "failed": f"{words} did not help",
            "impossible": f"{words} is not possible here",
            "answers": "it answers",
            "refused": "refused",
            "given_up": "given up",
            "silent": "no word",
        }[self.outcome]
        return f"{told}: {self.text}" if self.text else f"{told} ..."


@dataclass(frozen=True)
class RecoveryProgress:
    """How a recovery stands."""

    recovery: str  # its name
    camera: str  # its name
    session: str  # the session that was open when it began; "" without one
    steps: tuple[RecoveryStep, ...] = ()  # in the order in which they were told
    done: bool = False  # whether no more steps come
    answers: bool = False  # whether the body answers; known once it is done
    often: str = ""  # that this camera was recovered before, once it is done; "" when not


@dataclass
class _UnderWay:
    progress: RecoveryProgress  # as far as it is
    heard: float = field(default_factory=time.monotonic)  # monotonic s, when its node told something last
    person: str | None = field(default_factory=acting_person)  # who asked for it


class BodyRecoveries:
    """The recoveries of one rig. Any thread may call anything; step() returns at once.

    session: the code of the session that is open, empty when none is.
    """

    def __init__(
        self, engine: Engine, rig: Rig, writer: BackgroundWriter, tell: Tell, session: Callable[[], str]
    ) -> None:
        self._engine = engine
        self._rig = rig
        self._writer = writer
        self._tell = tell
        self._session = session
        self._changed = threading.Condition()
        self._all: OrderedDict[str, _UnderWay] = OrderedDict()
        self._past: list[tuple[str, str, datetime]] = []  # camera, session, when

    def recall(self) -> None:
        """What an earlier studio has written down."""
        with reading(self._engine) as tx:
            events = events_of(tx, self._rig.name, "camera.recover")
        self._past = [(event.camera, str(event.detail.get("session") or ""), event.at) for event in events]

    # --- asked by other threads

    def begin(self, camera: str, rungs: Sequence[wire.Rung] = RUNGS) -> RecoveryProgress:
        """Ask the camera's node to recover it by these rungs, in the order of RUNGS; see progress().

        Call it while nothing can be fired. Raises SessionError for an unknown camera or one that is being recovered,
        RigNotReady when its node is not there.
        """
        if camera not in {entry.name for entry in self._rig.cameras}:
            raise SessionError(f"{camera} is not in the rig file; mien rig status lists the cameras")
        if camera in self.under_way():
            raise SessionError(f"{camera} is being recovered already")
        wanted = tuple(rung for rung in RUNGS if rung in rungs)
        begun = RecoveryProgress(uuid.uuid4().hex, camera, self._session())
        with self._changed:
            self._all[begun.recovery] = _UnderWay(begun)
            while len(self._all) > REMEMBERED:
                self._all.popitem(last=False)
        failed = self._tell([camera], wire.Recover(recovery_id=begun.recovery, rungs=wanted))
        if camera in failed:
            with self._changed:
                del self._all[begun.recovery]
            raise RigNotReady(
                f"{camera} cannot be recovered: {failed[camera]}. Start its node on the camera's computer:"
                "  systemctl restart mien-nodes"
            )
        return begun

    def progress(self, recovery: str, after: int = 0, wait_s: float = 0.0) -> RecoveryProgress:
        """How it stands; waits for a step beyond the first `after` ones, or for its end. Raises SessionError."""
        end = time.monotonic() + wait_s
        with self._changed:
            while True:
                found = self._find(recovery)
                left = end - time.monotonic()
                if found.done or len(found.steps) > after or left <= 0:
                    return found
                self._changed.wait(min(left, 1.0))

    def newest(self) -> list[RecoveryProgress]:
        """Each camera's newest recovery since the studio was started."""
        with self._changed:
            found = [self._find(recovery) for recovery in list(self._all)]
        return list({one.camera: one for one in found}.values())

    def under_way(self) -> dict[str, str]:
        """What is being done now, by camera."""
        with self._changed:
            found = [self._find(recovery) for recovery in list(self._all)]
        return {one.camera: (WORDS.get(one.steps[-1].rung, "") if one.steps else "") for one in found if not one.done}

    def require_none(self) -> None:
        """Raises RigNotReady while any camera is being recovered: sockets are reset and powered beside the others."""
        for camera, rung in self.under_way().items():
            raise RigNotReady(
                f"Nothing was fired. {camera} is being recovered{f' ({rung})' if rung else ''}: wait until that is over"
            )

    def often(self) -> dict[str, str]:
        """The cameras that were recovered twice or more in this session, or lately while none is open, in words."""
        with self._changed:
            past = list(self._past)
        if not past:
            return {}
        session = self._session()
        oldest = utc_now() - LATELY
        counts = Counter(camera for camera, code, at in past if (code == session if session else at >= oldest))
        where = "in this session" if session else f"in the last {LATELY.total_seconds() / 3600:.0f} hours"
        return {camera: advice(camera, count, where) for camera, count in counts.items() if count >= OFTEN}

    # --- told by the link

    def step(self, message: wire.RecoverStep) -> None:
        """What a node has told. Called in the control thread."""
        with self._changed:
            state = self._all.get(message.recovery_id)
            if state is None or state.progress.done or state.progress.camera != message.camera:
                return
            step = RecoveryStep(utc_now(), message.rung, message.outcome, plain(message.text))
            told = [(one.rung, one.outcome, one.text) for one in state.progress.steps]
            state.heard = time.monotonic()
            if (step.rung, step.outcome, step.text) not in told[-1:]:  # else it was told again after a reconnection
                state.progress = replace(state.progress, steps=(*state.progress.steps, step))
            if message.last:
                self._end(state, answers=message.outcome == "answers")
            self._changed.notify_all()

    def _find(self, recovery: str) -> RecoveryProgress:
        state = self._all.get(recovery)
        if state is None:
            raise SessionError(f"no recovery {recovery} is known here")
        if not state.progress.done and time.monotonic() - state.heard > SILENCE_S:
            text = f"its node has said nothing for {SILENCE_S:.0f} s: pkill -x {state.progress.camera}"
            step = RecoveryStep(utc_now(), "", "silent", text)
            state.progress = replace(state.progress, steps=(*state.progress.steps, step))
            self._end(state, answers=False)
        return state.progress

    def _end(self, state: _UnderWay, answers: bool) -> None:
        done = replace(state.progress, done=True, answers=answers)
        if not any(step.rung for step in state.progress.steps):
            state.progress = done
            return  # nothing was done with the body
        self._past.append((done.camera, done.session, utc_now()))
        state.progress = replace(done, often=self._often_of(done))  # at once: whoever waits for the end reads all of it
        steps: list[Any] = [{"rung": step.rung, "outcome": step.outcome} for step in done.steps if step.rung]
        detail = {"session": done.session or None, "steps": steps, "answers": answers}
        with acting_as(state.person):
            self._writer.write(lambda tx: record_event(tx, self._rig.name, done.camera, "camera.recover", detail))

    def _often_of(self, done: RecoveryProgress) -> str:
        oldest = utc_now() - LATELY
        count = sum(
            camera == done.camera and (code == done.session if done.session else at >= oldest)
            for camera, code, at in self._past
        )
        where = "in this session" if done.session else f"in the last {LATELY.total_seconds() / 3600:.0f} hours"
        return advice(done.camera, count, where) if count >= OFTEN else ""


def advice(camera: str, count: int, where: str) -> str:
    """ "cam-07 was recovered twice in this session: change its cable or set it aside" """
    times = "twice" if count == 2 else f"{count} times"
    return f"{camera} was recovered {times} {where}: change its cable or set it aside"
