"""One thread for what takes long with a camera, so that the loop never waits for it."""

from collections import deque
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread

JobOutcome = Callable[[], None]


class WorkerThread:
    """One thread that does slow things in order and posts what came of them back to the loop."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._jobs: SimpleQueue[Callable[[], JobOutcome] | None] = SimpleQueue()
        self._done: deque[JobOutcome] = deque()
        self._wake = wake
        self._thread = Thread(target=self._work, name="camera", daemon=True)
        self._thread.start()

    def do(self, job: Callable[[], JobOutcome]) -> None:
        """Run `job` in the thread; what it returns is run by the loop."""
        self._jobs.put(job)

    def post(self, outcome: JobOutcome) -> None:
        """From within a job: have the loop run this now, before the job is done."""
        self._done.append(outcome)
        self._wake()

    def finish(self, timeout_s: float) -> None:
        """Stop after the jobs at hand."""
        self._jobs.put(None)
        self._thread.join(timeout_s)

    def deliver(self) -> None:
        """Run, in the loop, what the jobs returned."""
        while self._done:
            self._done.popleft()()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                outcome = job()
            except Exception as error:  # a mistake in the program: let it end the loop, not this thread alone
                outcome = partial(_raise, error)
            self.post(outcome)


def _raise(error: Exception) -> None:
    raise error
