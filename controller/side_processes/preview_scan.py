"""Preview scans: a coarse mesh of each take, held in memory while its subject consents, and nowhere else."""

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from controller.side_processes.side_command import SideResult
from db.takes.side_inputs import SideInputs

SCAN = "scan"
HELD = 12  # takes whose scans are held
LARGEST = 16_000_000  # bytes of a mesh
_FILE = "scan.glb"


class ScanState(StrEnum):
    """How far a scan is."""

    WAITING = "waiting"
    MAKING = "making"
    MADE = "made"
    FAILED = "failed"


@dataclass(frozen=True)
class PreviewScan:
    """How the scan of one take stands."""

    take: str  # its code
    state: ScanState
    mesh: str | None = None  # SHA-256 of the GLB, when it is made
    text: str = ""  # why it failed
    seconds: float | None = None  # that the reconstruction took


class PreviewScans:
    """The side task, and what it has made. Thread-safe."""

    name = SCAN

    def __init__(self, changed: Callable[[], None] = lambda: None) -> None:
        """changed: told when a scan stands otherwise."""
        self._changed = changed
        self._lock = threading.Lock()
        self._scans: OrderedDict[str, PreviewScan] = OrderedDict()
        self._meshes: dict[str, bytes] = {}

    # --- for whoever shows them

    def of(self, take: str) -> PreviewScan | None:
        with self._lock:
            return self._scans.get(take)

    def newest(self) -> PreviewScan | None:
        """Of the take that was whole last."""
        with self._lock:
            return next(reversed(self._scans.values()), None)

    def takes(self) -> list[str]:
        with self._lock:
            return list(self._scans)

    def mesh(self, sha256: str) -> tuple[str, bytes] | None:
        """The take and the GLB of this hash."""
        with self._lock:
            take = next((scan.take for scan in self._scans.values() if scan.mesh == sha256), None)
            return None if take is None else (take, self._meshes[take])

    def forget(self, takes: Collection[str]) -> None:
        """Nothing of these takes may be shown any more."""
        with self._lock:
            gone = [take for take in takes if self._scans.pop(take, None) is not None]
            for take in gone:
                self._meshes.pop(take, None)
        if gone:
            self._changed()

    # --- the side task

    def wanted(self, take: str) -> None:
        """A take is whole."""
        self._put(PreviewScan(take, ScanState.WAITING), newest=True)

    def begun(self, take: str) -> None:
        self._put(PreviewScan(take, ScanState.MAKING))

    def words(self, inputs: SideInputs, folder: Path) -> list[str]:
        del inputs
        return ["reconstruct", str(folder), "--preview", "--out", str(folder.parent / _FILE), "--json"]

    def views(self, inputs: SideInputs) -> Collection[int]:
        return inputs.frontal or inputs.cameras.keys()

    def ended(self, inputs: SideInputs, folder: Path, result: SideResult) -> None:
        made = folder.parent / _FILE
        if not result.well or not made.is_file():
            self.not_done(inputs.take, result.trouble.splitlines()[-1] if result.trouble else "nothing was made")
            return
        if made.stat().st_size > LARGEST:
            self.not_done(inputs.take, "it is too large to be shown")
            return
        data = made.read_bytes()
        seconds = sum(json.loads(result.printed)["seconds"].values())
        scan = PreviewScan(inputs.take, ScanState.MADE, hashlib.sha256(data).hexdigest(), seconds=seconds)
        with self._lock:
            if inputs.take in self._scans:
                self._meshes[inputs.take] = data
        self._put(scan)

    def not_done(self, take: str, why: str) -> None:
        if why:
            self._put(PreviewScan(take, ScanState.FAILED, text=why))
        else:
            self.forget([take])

    def _put(self, scan: PreviewScan, newest: bool = False) -> None:
        with self._lock:
            if not newest and scan.take not in self._scans:
                return  # it was forgotten meanwhile
            self._scans[scan.take] = scan
            if scan.state != ScanState.MADE:
                self._meshes.pop(scan.take, None)
            if newest:
                self._scans.move_to_end(scan.take)
            while len(self._scans) > HELD:
                self._meshes.pop(self._scans.popitem(last=False)[0], None)
        self._changed()
