"""Recovery of takes that an earlier controller left under way: settled as soon as the nodes are back.

The journal says how far each take was: planned (nothing was fired) or fired (photographs may exist). A fired take is
settled like any other once every camera's photograph is in or its node says that it holds none.
"""

import logging
import threading
import time
from collections.abc import Callable

from controller.node_links.control_channel import ControlLink
from controller.rig_file import Rig
from controller.sessions.session_store import SessionStore
from controller.takes.take_events import TakeEvents
from controller.takes.take_progress import TakeProgress
from db.models import TakeState

log = logging.getLogger(__name__)

LOOK_S = 0.25


class TakeRecovery:
    """begin() before the sockets open, so that no photograph comes in before its take is known; join() at the end.

    settle(progress) writes what became of a take and returns what to tell the operator.
    """

    def __init__(
        self,
        records: SessionStore,
        events: TakeEvents,
        link: ControlLink,
        rig: Rig,
        settle: Callable[[TakeProgress], str],
    ) -> None:
        self._records = records
        self._events = events
        self._link = link
        self._rig = rig
        self._settle_take = settle
        self._threads: list[threading.Thread] = []

    def begin(self) -> None:
        for left in self._records.unsettled():
            if left.state is TakeState.PLANNED:
                self._records.failed(left.take, "The controller stopped before the fire; nothing was photographed.")
                continue
            progress = TakeProgress(left.take, (camera.name for camera in self._rig.cameras), left.filed, left.aside)
            self._events.open(progress)
            name = f"mien-recover-{left.take}"
            thread = threading.Thread(target=self._settle, args=(progress,), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def join(self, timeout_s: float) -> None:
        for thread in self._threads:
            thread.join(timeout_s)

    def _settle(self, progress: TakeProgress) -> None:
        try:
            self._wait(progress)
            if self._events.stopped:
                return  # stopped once more: it stays as it is for the next start
            log.info("settled after the restart: %s", self._settle_take(progress))
        except Exception:
            log.exception("take %s could not be settled", progress.take)

    def _wait(self, progress: TakeProgress) -> None:
        """Until every camera is settled, or nothing has come in for the frame time-out."""
        quiet_s = self._rig.transfer.frame_timeout_s
        end, seen = time.monotonic() + quiet_s, -1
        while not progress.wait(LOOK_S) and not self._events.stopped:
            came = len(progress.frames) + len(progress.faults) + len(progress.stamps)
            if came != seen:
                end, seen = time.monotonic() + quiet_s, came
            if time.monotonic() >= end:
                return
            for camera in progress.missing():
                if self._empty_handed(camera):
                    progress.add_fault(camera, "its node holds no photograph of this take: the fire did not reach it")

    def _empty_handed(self, camera: str) -> bool:
        """The node has said since it connected that it is at rest and that nothing waits in its spool.

        What was photographed is spooled before the node is at rest, and leaves the spool once it is committed.
        """
        node = self._link.nodes().get(camera)
        status = node.status if node is not None else None
        return status is not None and status.state in ("idle", "armed") and status.spooled == 0
