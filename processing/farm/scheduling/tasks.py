"""A claimed job as a worker takes it, and how an attempt at it ended: what daemon, Dask and workers hand each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypedDict

from db.stage_runs.artefacts import OutputFile

TOPIC = "mien-progress"  # Dask's, of a running stage's progress
UNDER_WAY = "mien-runs"  # a worker's metric: what it runs now
THREADS = "MIEN_RUN_THREADS"  # environment: how many processors one run may keep busy on this machine
AttemptId = tuple[str, int]  # a job's key and attempt


class ProgressEvent(TypedDict):
    """What a worker tells the daemon of a run under way."""

    label: str  # subject and take
    stage: str
    done: float  # the share finished, in [0, 1]
    message: str  # what is being done


class TaskOutcome(StrEnum):
    """How an attempt ended, and so what becomes of the job."""

    DONE = "done"
    INPUT = "input"  # the input is at fault: another attempt would end alike
    ATTEMPT = "attempt"  # another attempt may end better; this one counts
    DISK_FULL = "disk full"  # no room for a result there; counts only where it comes again and again
    MACHINE = "machine"  # the machine lacks memory, a right, a library; the same
    NO_STORE = "no store"  # this worker does not see the studio's store; does not count
    NO_ROOM = "no room"  # not begun, for this worker's disk is nearly full; does not count
    UNFIT = "unfit"  # not begun, for this worker has another version of the stage; does not count
    LOST = "lost"  # the scheduler was lost, and the run with it; does not count
    ELSEWHERE = "elsewhere"  # not begun, for another process computes it still; does not count


@dataclass(frozen=True)
class Task:
    """A claimed job, complete: what a worker needs to know."""

    key: str
    stage: str
    version: int  # of the stage, that the key is of
    params: Mapping[str, Any]  # the stage's, as the key has them
    label: str  # subject and take, the subject, or the study, for people
    stages: tuple[str, ...]  # folders of stage files; "" for Mien's own, wherever it is installed
    store: str  # its place
    studio: str  # whose store it must be there; empty where the records carry no identity yet
    files: Mapping[str, tuple[str, str]]  # input -> (SHA-256, file name)
    many: Mapping[str, Mapping[str, tuple[str, str]]] = field(default_factory=dict)  # those of each take or subject
    take_inputs: tuple[str, ...] = ()  # inputs that are the take's folder
    take_name: str = ""
    photographs: Mapping[str, str] = field(default_factory=dict)  # file name -> SHA-256
    take_params: bytes = b""  # params.json
    frames: tuple[int, ...] = ()  # the photographs' rows, for the lineage
    device: str = "cpu"
    threads: int | None = None  # None: what this worker's command says
    attempt: int = 1
    disk_floor_gb: float = 0.0  # so much of this worker's disk is left alone
    limit_s: float | None = None  # a run that takes longer hangs: its process is ended


@dataclass(frozen=True)
class TaskResult:
    """How an attempt at a task ended."""

    key: str
    attempt: int
    outcome: TaskOutcome
    outputs: tuple[OutputFile, ...] = ()
    error: str = ""  # with the end of the run's log; empty when it ended well
    missing: str = ""  # the SHA-256 of a file that the worker did not find in the store
    seconds: float = 0.0
    review: Mapping[str, Any] | None = None  # what the stage said of its result, where it makes an output of that name


# What is the machine's fault and no run's: it is given nothing for a while.
OF_MACHINE = (TaskOutcome.NO_STORE, TaskOutcome.MACHINE, TaskOutcome.DISK_FULL, TaskOutcome.NO_ROOM)
