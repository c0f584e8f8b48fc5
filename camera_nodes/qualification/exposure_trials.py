"""Exposures of a qualification: armed, released, waited for, read, deleted; everything unusual is counted."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from camera_nodes.camera import BodyFile, Camera, CameraState
from camera_nodes.camera_models.models import BodyModel
from camera_nodes.errors import (
    CameraBusy,
    CameraFault,
    CameraMissing,
    CardFull,
    EquipmentError,
    FileGone,
    FileNotDeleted,
    TooLate,
)
from camera_nodes.qualification.report import Deletion, Exposures, Fault, Lag, Times, order_of, spread
from camera_nodes.wire import Exposure

RAW_ENDINGS = (".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".raf", ".orf", ".rw2", ".pef", ".3fr", ".iiq", ".srw")
JPEG_ENDINGS = (".jpg", ".jpeg")
LEAD_NS = 40_000_000  # from the call to the moment of the exposure
_DAMAGED = "photo_damaged"  # of every error that says that a file does not come whole
_LISTEN_S = 0.5
_AGAIN_S = 0.05  # between tries of a busy body
_MB = 1e6


class ExposureTrials:
    """Makes exposures and counts.  `heard`: how many events the library has had, to count those around an exposure.

    Only files of its own exposures are ever deleted.  `keep`: not even these.  `delete_at_body`: deletes where the
    camera layer does not try, because the table of models says that it is of no use; raises FileNotDeleted.
    """

    def __init__(
        self,
        camera: Camera,
        known: BodyModel,
        *,
        keep: bool = False,
        heard: Callable[[], int] = lambda: 0,
        delete_at_body: Callable[[BodyFile], bool] | None = None,
    ) -> None:
        self.camera = camera
        self.counts: Counter[str] = Counter()
        self.busiest = 0
        self.in_vain = 0  # exposures in a row that gave no photograph
        self._known = known
        self._keep = keep
        self._heard = heard
        self._delete_at_body = delete_at_body
        self._faults: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], str] = {}
        self._seen: dict[str, int] = {}  # path, and the connection it was announced on
        self._unread: set[str] = set()
        self._deleted: set[str] = set()
        self._missing = 0  # exposures whose photograph did not come, and may yet
        self._firsts: list[str] = []
        self._kinds: set[str] = set()
        self._dry: list[bool] = []
        self._ms: dict[str, list[float]] = {name: [] for name in ("arm", "release", "file", "raw", "lag")}
        self._mb_s: list[float] = []
        self._lag_source = ""

    def begin(self) -> None:
        """Whatever is on the body now is none of ours.  Raises CameraFault."""
        self.camera.listen(self._known.quiet_s)
        self._seen.update((file.path, 0) for file in self.camera.search())

    def note(self, where: str, error: EquipmentError) -> None:
        """Count a fault."""
        key = where, getattr(error, "code", "too_late")
        self._faults[key] += 1
        self._examples[key] = str(error)

    def shoot(self, *, read: bool = True) -> bool:
        """One exposure; whether its photograph came whole (or was announced, when it is not to be read).

        Raises CameraMissing and CardFull, having counted them; other faults are counted, and the camera is idle again.
        """
        events = self._heard()
        where = "listening"
        try:
            self._before()
            where = "release"
            keeps_raw, released_ns = self._release()
            where = "waiting"
            came = self._wait(released_ns, keeps_raw)
            self.camera.finish()
            where = "reading"
            if read:
                good = self._read(came)
            else:
                good = "jpeg" in came
                self._unread = {file.path for file in came.values()}
        except (CameraMissing, CardFull) as error:
            self.note(where, error)
            raise
        except (CameraFault, TooLate) as error:
            self.note(where, error)
            self._idle()
            good = False
        self.busiest = max(self.busiest, self._heard() - events)
        return good

    # --- the steps

    def _before(self) -> None:
        for file in self.camera.listen(self._known.quiet_s).files:
            if self._known_already(file):
                self.counts["duplicates"] += 1
            elif self._missing and _kind(file) == "jpeg":
                self._missing -= 1
                self.counts["late"] += 1
            else:
                self.counts["strays"] += 1
            self._seen[file.path] = _epoch(file)

    def _release(self) -> tuple[bool, int]:
        """Whether a raw file is kept, and when the shutter was released; a busy body is asked again.

        Raises CameraBusy after as long as the table says that it may be busy.
        """
        until = time.monotonic() + self._known.busy_s
        while True:
            where = "arming"
            began = time.monotonic()
            try:
                condition = self.camera.arm(Exposure(), allow_ram=True)  # where it keeps its files is judged later
                self._ms["arm"].append((time.monotonic() - began) * 1e3)
                where = "release"
                return bool(getattr(condition, "keeps_raw", None)), self._expose()
            except CameraBusy as error:
                if time.monotonic() > until:
                    raise
                self.note(where, error)
                self.counts["busy"] += 1
                self._idle()
                self.camera.listen(self._known.quiet_s)
                time.sleep(_AGAIN_S)

    def _expose(self) -> int:
        clock = self.camera.clock
        release = self.camera.expose(clock.now_ns() + LEAD_NS).release
        self.counts["made"] += 1
        self._ms["release"].append((clock.now_ns() - release.released_at_ns) / 1e6)
        if release.exposed_at_ns is not None:
            self._ms["lag"].append((release.exposed_at_ns - release.released_at_ns) / 1e6)
            self._lag_source = str(release.source)
        return release.released_at_ns

    def _wait(self, released_ns: int, keeps_raw: bool) -> dict[str, BodyFile]:
        """The exposure's photograph, and raw file where there is one."""
        wanted = {"jpeg", "raw"} if keeps_raw else {"jpeg"}
        came: dict[str, BodyFile] = {}
        until = time.monotonic() + self._known.file_s
        self.counts["raw_wanted"] += keeps_raw
        while not wanted <= came.keys() and (left := until - time.monotonic()) > 0:
            heard = self.camera.listen(min(_LISTEN_S, left))
            files = list(heard.files)
            if heard.interrupted:
                paths = self._seen.keys() | {file.path for file in files}
                files += [file for file in self.camera.search() if file.path not in paths]
            elif not files:
                time.sleep(min(0.01, left))  # a body with nothing to say may answer at once
            for file in files:
                self._came(file, came, (self.camera.clock.now_ns() - released_ns) / 1e6)
        after = self.camera.listen(self._known.quiet_s)
        self._dry.append(after.quiet)
        for file in after.files:
            self._came(file, came, (self.camera.clock.now_ns() - released_ns) / 1e6)
        if keeps_raw and "raw" in came:
            self.counts["raw_came"] += 1
        if "jpeg" not in came:
            self._missing += 1
            self.in_vain += 1
            self.counts["without"] += 1
            return came
        self.in_vain = 0
        if "raw" in came:
            self._firsts.append(next(iter(came)))
            self.counts["unmatched_raw"] += _stem(came["raw"]) != _stem(came["jpeg"])
        return came

    def _came(self, file: BodyFile, came: dict[str, BodyFile], after_ms: float) -> None:
        kind = _kind(file)
        self._kinds.add(PurePosixPath(file.name).suffix.lower())
        if self._known_already(file):
            self.counts["duplicates"] += 1
            return
        self._seen[file.path] = _epoch(file)
        if kind not in came:
            came[kind] = file
            if kind in ("jpeg", "raw"):
                self._ms["file" if kind == "jpeg" else "raw"].append(after_ms)
        elif _stem(file) == _stem(came[kind]):
            self.counts["copies"] += 1
        else:
            self.counts["strays"] += 1

    def _known_already(self, file: BodyFile) -> bool:
        """Announced before.  Some bodies number anew on a new connection, so that equal names are other files."""
        before = self._seen.get(file.path)
        return before is not None and (before in (0, _epoch(file)) or _epoch(file) == 0)

    def _read(self, came: dict[str, BodyFile]) -> bool:
        whole = self.counts["whole"]
        for kind, file in came.items():
            if kind not in ("jpeg", "raw"):
                continue
            began = time.monotonic()
            try:
                data = self.camera.read(file)
            except (CardFull, CameraMissing):
                raise
            except CameraFault as error:
                if error.code != _DAMAGED:
                    raise
                self.note("reading", error)
                self.counts["cut"] += 1
                continue
            self._mb_s.append(len(data) / _MB / max(1e-6, time.monotonic() - began))
            if (file.bytes is not None and len(data) != file.bytes) or (kind == "jpeg" and not _whole_jpeg(data)):
                self.counts["cut"] += 1
                continue
            self.counts["whole"] += kind == "jpeg"
            self._delete(file)
        return self.counts["whole"] > whole

    def _delete(self, file: BodyFile) -> None:
        if self._keep:
            return
        self.counts["delete_tried"] += 1
        try:
            try:
                gone = self.camera.delete(file)
            except FileNotDeleted:
                if self._known.deletes or self._delete_at_body is None:
                    raise
                gone = self._delete_at_body(file)
            if gone:
                self.counts["deleted"] += 1
                self._deleted.add(file.path)
                self._seen.pop(file.path, None)
        except (FileNotDeleted, FileGone) as error:
            self.counts["delete_refused"] += 1
            self.note("deleting", error)

    def _idle(self) -> None:
        if self.camera.state not in (CameraState.CLOSED, CameraState.IDLE):
            self.camera.disarm()

    # --- after a cut

    def fetch_missed(self) -> bool:
        """Whether the exposure that shoot(read=False) made before the cut is on the card; it is then fetched."""
        found = {
            _kind(file): file
            for file in self.camera.search()
            if file.path in self._unread or file.path not in self._seen
        }
        self._unread.clear()
        self._seen.update((file.path, _epoch(file)) for file in found.values())
        whole = self.counts["whole"]
        self._read(found)
        return self.counts["whole"] > whole

    # --- what came of it

    def exposures(self, wanted: int) -> Exposures:
        """The counts."""
        names = ("made", "whole", "without", "late", "cut", "copies", "raw_wanted", "raw_came", "duplicates", "strays",
                 "unmatched_raw")  # fmt: skip
        counts = {name: self.counts[name] for name in names}
        return Exposures(wanted, order=order_of(self._firsts), kinds=tuple(sorted(self._kinds)), **counts)

    def times(self, open_s: Sequence[float], poll_ms: Sequence[float]) -> Times:
        """The times."""
        ms = {name: spread(values) for name, values in self._ms.items()}
        return Times(
            spread(open_s), ms["arm"], ms["release"], ms["file"], ms["raw"], spread(self._mb_s), spread(poll_ms)
        )

    def lag(self) -> Lag | None:
        """From command to exposure, where the release sees it."""
        found = spread(self._ms["lag"])
        return None if found is None else Lag(found, self._lag_source)

    def runs_dry(self) -> bool | None:
        """Whether the queue of events was empty after an exposure, mostly."""
        return sum(self._dry) * 2 > len(self._dry) if self._dry else None

    def faults(self) -> tuple[Fault, ...]:
        """The faults, the most frequent first."""
        return tuple(
            Fault(where, code, count, self._examples[where, code][:300])
            for (where, code), count in self._faults.most_common()
        )

    def deletion(self) -> Deletion:
        """What became of deletions; looks at the card for what should be gone."""
        still = 0
        if self._deleted and self.camera.state is CameraState.IDLE:
            still = len(self._deleted & {file.path for file in self.camera.search()})
        counts = self.counts
        return Deletion(counts["delete_tried"], counts["deleted"], counts["delete_refused"], still)


def _kind(file: BodyFile) -> str:
    ending = PurePosixPath(file.name).suffix.lower()
    return "jpeg" if ending in JPEG_ENDINGS else "raw" if ending in RAW_ENDINGS else ending


def _epoch(file: BodyFile) -> int:
    return int(getattr(file, "epoch", 0))


def _stem(file: BodyFile) -> str:
    return PurePosixPath(file.name).stem.lower()


def _whole_jpeg(data: bytes) -> bool:
    return data[:2] == b"\xff\xd8" and b"\xff\xd9" in data[2:]
