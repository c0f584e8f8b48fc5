"""What takes a while on the rig beside the takes, and how far it is: lag measurements, recoveries, preflights."""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from controller.cameras.body_recovery import RUNGS, RecoveryProgress
from controller.change_bell import ChangeBell

Kind = Literal["lag", "recovery", "preflight"]


@dataclass(frozen=True)
class RigJob:
    """One of them, as the page shows it."""

    kind: Kind
    text: str  # what it is about
    done: int  # of total
    total: int
    state: Literal["running", "done", "failed"]
    told: str = ""  # what came of it, or what it is doing now


class RigJobs:
    """The newest job of each kind. Any thread may call anything."""

    def __init__(self, bell: ChangeBell) -> None:
        self._bell = bell
        self._jobs: dict[str, RigJob] = {}
        self._lock = threading.Lock()

    @contextmanager
    def run(self, kind: Kind, text: str, total: int) -> Iterator[None]:
        """A job of this kind for as long as this lasts; failed, with the error's words, when it raises."""
        self._put(RigJob(kind, text, 0, total, "running"))
        try:
            yield
        except Exception as error:
            self._put(replace(self._of(kind), state="failed", told=str(error)))
            raise
        found = self._of(kind)
        self._put(replace(found, done=total, state="done"))

    def step(self, kind: Kind, done: int) -> None:
        """The job of this kind has come so far."""
        self._put(replace(self._of(kind), done=done))

    def tell(self, kind: Kind, told: str) -> None:
        """What has come of it."""
        self._put(replace(self._of(kind), told=told))

    def all(self, recoveries: Iterable[RecoveryProgress]) -> Mapping[str, RigJob]:
        """By name: "lag", "preflight", and "recovery-CAMERA" for each camera's newest of these."""
        with self._lock:
            found = dict(self._jobs)
        for one in recoveries:
            found[f"recovery-{one.camera}"] = _recovery_job(one)
        return found

    def _of(self, kind: Kind) -> RigJob:
        with self._lock:
            return self._jobs[kind]

    def _put(self, job: RigJob) -> None:
        with self._lock:
            self._jobs[job.kind] = job
        self._bell.ring("jobs")


def _recovery_job(found: RecoveryProgress) -> RigJob:
    tried = len({step.rung for step in found.steps if step.rung})
    state: Literal["running", "done", "failed"] = "running"
    if found.done:
        state = "done" if found.answers else "failed"
    told = found.steps[-1].line() if found.steps else "asked"
    return RigJob("recovery", f"recovery of {found.camera}", tried, len(RUNGS), state, told)
