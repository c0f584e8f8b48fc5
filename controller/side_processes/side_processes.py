"""Side processes: after each whole take the farm's commands look at it, one at a time, the newest take first.

They run at the lowest priority, stand still while a fire is near, and end with the studio. Their inputs lie in a
private folder for as long as they run. Nothing is begun for a subject who has withdrawn; what runs for it is ended, and
what was made of it is forgotten.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import Engine

from common.view_counts import FEWEST_VIEWS
from controller.rig_file import Rig
from controller.side_processes.camera_places import CameraPlaces
from controller.side_processes.preview_scan import PreviewScan, PreviewScans
from controller.side_processes.side_command import SideCommand
from controller.side_processes.side_task import Scratch, SideTask, write_take_folder
from db.engine import reading
from db.errors import RecordError
from db.store import Store
from db.takes.side_inputs import seen_takes, side_inputs

log = logging.getLogger(__name__)

PACKAGES = ("processing", "scipy", "open3d", "cv2", "dask")  # without which the farm's commands do not start
FOLDER = "side"  # in the studio's home
MOST = 40  # looks that wait; the oldest are left undone
CONSENT_S = 1.0  # between two looks for a withdrawal
_WITHDRAWN = "withdrawn"
_STOPPED = "the studio stops"
_UNCALIBRATED = f"fewer than {FEWEST_VIEWS} of its views have a calibration: mien rig calibration FILE"


def missing_packages() -> str:
    """Why the farm's commands cannot run on this computer; "" when they can."""
    lacking = [name for name in PACKAGES if find_spec(name) is None]
    if not lacking:
        return ""
    return f"the farm's packages are not on this computer ({', '.join(lacking)}): pip install 'mien[farm]'"


class SideProcesses:
    """A thread that starts with the first whole take; stop() ends it and what runs. Methods return at once.

    changed: told when a scan stands otherwise.
    """

    def __init__(
        self,
        engine: Engine,
        store: Store,
        rig: Rig,
        home: Path,
        changed: Callable[[], None] = lambda: None,
        missing: Callable[[], str] = missing_packages,
    ) -> None:
        self._engine, self._store, self._limits = engine, store, rig.side
        self._scratch = Scratch(home / FOLDER)
        self.scans = PreviewScans(changed)
        self.missing = missing() if rig.side.bumped or rig.side.preview else ""
        self._tasks: Sequence[SideTask] = (
            *((CameraPlaces(engine),) if rig.side.bumped and not self.missing else ()),
            *((self.scans,) if rig.side.preview and not self.missing else ()),
        )
        self._queue: list[tuple[str, SideTask]] = []  # what is next comes last
        self._wake = threading.Condition()
        self._held = self._stopped = False
        self._running: SideCommand | None = None
        self._busy = False
        self._thread: threading.Thread | None = None

    # --- called by the studio

    def start(self) -> None:
        """Remove what an earlier studio that was killed has left."""
        self._scratch.clear()
        if self.missing:
            log.info("bumped cameras and preview scans are left out: %s", self.missing)

    def whole(self, take: str) -> None:
        """A take is whole, and its review is written: look at it before all that waits."""
        with self._wake:
            if self._stopped:
                return
            if self.missing and self._limits.preview:
                self.scans.wanted(take)
                self.scans.not_done(take, self.missing)
            if not self._tasks:
                return
            if any(task is self.scans for task in self._tasks):
                self.scans.wanted(take)
            self._queue = [one for one in self._queue if one[0] != take]
            self._queue += [(take, task) for task in reversed(self._tasks)]
            left, self._queue = self._queue[:-MOST], self._queue[-MOST:]
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="mien-side", daemon=True)
                self._thread.start()
            self._wake.notify_all()
        for old, task in left:
            task.not_done(old, "")

    def hold(self) -> None:
        """A fire is near: what runs stands still, and nothing is begun until go_on()."""
        with self._wake:
            self._held = True
            if self._running is not None:
                self._running.pause()

    def go_on(self) -> None:
        with self._wake:
            self._held = False
            if self._running is not None:
                self._running.go_on()
            self._wake.notify_all()

    def stop(self) -> None:
        """End what runs, and the thread; what waited is left undone."""
        with self._wake:
            self._stopped = True
            self._queue.clear()
            if self._running is not None:
                self._running.end(_STOPPED)
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join(30)
        self.scans.forget(self.scans.takes())
        self._scratch.clear()

    @property
    def waiting(self) -> int:
        """Looks that wait or are under way."""
        with self._wake:
            return len(self._queue) + self._busy

    def scan(self, take: str | None = None) -> PreviewScan | None:
        """How the scan of a take stands, by default of the one that was whole last; None without one."""
        return self.scans.newest() if take is None else self.scans.of(take)

    def mesh(self, sha256: str) -> bytes | None:
        """The GLB of this hash, while its subject consents; None when it is unknown or gone."""
        found = self.scans.mesh(sha256)
        if found is None or not self._may_be_seen([found[0]]):
            return None
        return found[1]

    # --- the thread

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopped or (self._queue and not self._held), CONSENT_S)
                if self._stopped:
                    return
                take, task = self._queue.pop() if self._queue and not self._held else ("", None)
                self._busy = task is not None
            if task is not None:
                try:
                    self._do(take, task)
                except Exception:
                    log.exception("%s: %s went wrong", take, task.name, extra={"take": take})
                    task.not_done(take, "it went wrong here; see the studio's log")
                with self._wake:
                    self._busy = False
                    self._wake.notify_all()
            if not self._held:
                self._forget_withdrawn()

    def _do(self, take: str, task: SideTask) -> None:
        with reading(self._engine) as tx:
            inputs = side_inputs(tx, take)
        if inputs is None:
            task.not_done(take, "")
            return
        placed = [view for view in inputs.photographs if f"{view}_Rt" in (inputs.calibration or {})]
        if len(placed) < FEWEST_VIEWS:
            task.not_done(take, _UNCALIBRATED if task is self.scans else "")
            return
        task.begun(take)
        with self._scratch.folder() as private:
            folder = private / "take"
            try:
                write_take_folder(inputs, task.views(inputs), self._store, folder)
            except (RecordError, OSError) as error:
                task.not_done(take, str(error))
                return
            command = SideCommand(task.words(inputs, folder), private, self._limits.memory_gb, self._limits.timeout_s)
            with self._wake:
                if self._stopped:
                    return
                self._running = command
                if self._held:
                    command.pause()
            try:
                result = command.run(self._withdrawal_of(take))
            finally:
                with self._wake:
                    self._running = None
            if result.trouble in (_WITHDRAWN, _STOPPED):
                task.not_done(take, "")
            else:
                task.ended(inputs, folder, result)

    def _withdrawal_of(self, take: str) -> Callable[[], str]:
        """What a running command is asked: now and then whether the subject has withdrawn, and not near a fire."""
        asked = time.monotonic()

        def unwanted() -> str:
            nonlocal asked
            if self._held or time.monotonic() - asked < CONSENT_S:
                return ""
            asked = time.monotonic()
            return "" if self._may_be_seen([take]) else _WITHDRAWN

        return unwanted

    def _forget_withdrawn(self) -> None:
        takes = self.scans.takes()
        if takes:
            try:
                with reading(self._engine) as tx:
                    self.scans.forget(set(takes) - seen_takes(tx, takes))
            except RecordError as error:
                log.warning("whether somebody has withdrawn cannot be asked now: %s", error)

    def _may_be_seen(self, takes: Sequence[str]) -> bool:
        """False also when nobody can say."""
        try:
            with reading(self._engine) as tx:
                return seen_takes(tx, takes) == set(takes)
        except RecordError:
            return False
