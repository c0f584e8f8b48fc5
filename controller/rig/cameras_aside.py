"""Cameras that are aside: set aside by the operator for a while, back by themselves or when they are brought back.

The records are the truth, and are read when the studio starts; in between they are changed through CamerasAside alone,
so that asking it costs nothing while a rig is watched.
"""

import logging
import re
import threading
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from common.guarding.safe_text import plain
from common.terminal.phrases import grouped
from controller.errors import AsideRefused
from controller.rig.missing_camera_limits import Neighbours, broken_rules, neighbours_of
from controller.rig_file import Rig
from db import captures
from db.engine import reading, transaction, utc_now
from db.errors import RecordError
from db.rigs import cameras_aside, rig_records
from db.rigs.cameras_aside import CameraAsideRecord

log = logging.getLogger(__name__)

UNTIL_BACK, UNTIL_SESSION, UNTIL_TODAY = "back", "session", "today"
DURATION = re.compile(r"(\d{1,4})\s*(min|m|h|d)")
UNITS = {"min": timedelta(minutes=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
LONGEST = timedelta(days=60)
LONGEST_REASON = 300


class CamerasAside:
    """The cameras of one rig that are aside. Thread-safe."""

    def __init__(self, engine: Engine, rig: Rig) -> None:
        self._engine = engine
        self._rig = rig
        self._lock = threading.RLock()
        self._known: dict[str, CameraAsideRecord] = {}
        self._neighbours: tuple[int | None, Neighbours] = (None, {})
        self.lift_over()

    def current(self) -> dict[str, CameraAsideRecord]:
        """By camera in order of view, who is aside now. Those whose time is over are lifted in the records."""
        with self._lock:
            now = utc_now()
            if any(aside.until is not None and aside.until <= now for aside in self._known.values()):
                try:
                    self.lift_over()
                except RecordError as error:  # they are back all the same; it is written down the next time
                    log.warning("cannot be written down now: %s", error)
            return {n: a for n, a in self._known.items() if a.until is None or a.until > now}

    def reasons(self) -> dict[str, str]:
        """By camera, why it is aside."""
        return {name: aside.reason for name, aside in self.current().items()}

    def put(self, cameras: Collection[str], reason: str, until: str) -> dict[str, CameraAsideRecord]:
        """Set cameras aside; until: "back", "session" (the open one is closed), "today", or a duration as in "2h".

        Raises AsideRefused naming each rule that stands against it, or what is wrong with reason or duration;
        NotFound for a camera that the rig does not have.
        """
        reason = plain(reason.strip())
        if not cameras:
            raise AsideRefused("Say which camera:  mien rig aside cam-07 --reason 'shutter stuck'")
        if not reason or len(reason) > LONGEST_REASON:
            raise AsideRefused(
                f"Say why, in at most {LONGEST_REASON} characters:  mien rig aside {' '.join(cameras)} --reason '...'"
            )
        end = until_when(until, utc_now())
        with self._lock:
            there = self.current()
            self._refuse_broken({*there, *cameras}, there, cameras)
            with transaction(self._engine) as tx:
                rig = rig_records.get_rig(tx, self._rig.name)
                session = captures.open_session_of(tx, rig) if until == UNTIL_SESSION else None
                if until == UNTIL_SESSION and session is None:
                    raise AsideRefused(
                        "No session is open, so none can end: say --until today, --until back, or a duration as in 2h"
                    )
                cameras_aside.put_aside(tx, rig, cameras, reason, until=end, session=session)
            self._read()
            return self.current()

    def back(self, cameras: Collection[str]) -> dict[str, CameraAsideRecord]:
        """Bring cameras back; who is aside still. Raises NotFound for one that is not aside."""
        with self._lock:
            self.current()
            with transaction(self._engine) as tx:
                cameras_aside.bring_back(tx, rig_records.get_rig(tx, self._rig.name), cameras)
            self._read()
            return self.current()

    def lift_over(self) -> list[str]:
        """Lift those whose time is over or whose session is closed; the cameras that are back."""
        with self._lock:
            with transaction(self._engine) as tx:
                back = cameras_aside.lift_over(tx, rig_records.get_rig(tx, self._rig.name))
            self._read()
        if back:
            log.info("no longer aside: %s", ", ".join(back))
        return back

    def neighbours(self) -> Neighbours:
        """The cameras beside each, by the rig's newest calibration, by view numbers without one."""
        if self._rig.aside.allow_neighbours:
            return {}
        with self._lock:
            with reading(self._engine) as tx:
                found = rig_records.newest_calibration(tx, rig_records.get_rig(tx, self._rig.name))
                version, data = (None, None) if found is None else (found.version, found.data)
            if not self._neighbours[1] or self._neighbours[0] != version:
                self._neighbours = version, neighbours_of(self._rig, data)
            return self._neighbours[1]

    def broken(self, out: Collection[str]) -> list[str]:
        """The rules that a take without these cameras would break."""
        return broken_rules(self._rig, out, self.neighbours() if len(out) > 1 else {})

    def _refuse_broken(
        self, out: Collection[str], there: Mapping[str, CameraAsideRecord], wanted: Collection[str]
    ) -> None:
        known = {camera.name for camera in self._rig.cameras}
        broken = self.broken([name for name in out if name in known])
        if broken:
            aside = f"\nAside now: {', '.join(there)}. To bring one back:  mien rig back {next(iter(there))}"
            raise AsideRefused(
                f"{', '.join(dict.fromkeys(wanted))} cannot be set aside:\n  "
                + "\n  ".join(broken)
                + (aside if there else "")
            )

    def _read(self) -> None:
        with reading(self._engine) as tx:
            self._known = cameras_aside.asides_of(tx, rig_records.get_rig(tx, self._rig.name))


def until_when(until: str, now: datetime) -> datetime | None:
    """The moment that "today" (midnight at this server) or a duration ("90m", "2h", "3d") means; None for the rest.

    Raises AsideRefused for anything else.
    """
    if until in (UNTIL_BACK, UNTIL_SESSION):
        return None
    if until == UNTIL_TODAY:
        tomorrow = now.astimezone().date() + timedelta(days=1)
        return datetime(tomorrow.year, tomorrow.month, tomorrow.day).astimezone().astimezone(UTC)
    found = DURATION.fullmatch(until)
    length = int(found.group(1)) * UNITS[found.group(2)] if found else timedelta()
    if not timedelta() < length <= LONGEST:
        raise AsideRefused(
            f"{plain(until)!r} is no time to be aside: use session, today, back, or a duration of at most"
            f" {LONGEST.days} days as in 90m, 2h, 3d"
        )
    return now + length


def aside_text(aside: CameraAsideRecord) -> str:
    """Why and for how long, for the operator: "shutter stuck (since 10:20 UTC, until it is brought back)"."""
    if aside.session is not None:
        end = f"until {aside.session} is closed"
    else:
        end = f"until {aside.until:%d %b %H:%M} UTC" if aside.until is not None else "until it is brought back"
    return f"{aside.reason} (since {aside.since:%d %b %H:%M} UTC, {end})"


def aside_summary(reasons: Mapping[str, str]) -> str:
    """For a sentence: "cam-07 is aside: shutter stuck"; several with one reason together. Empty for none."""
    return "; ".join(
        f"{', '.join(cameras)} {'is' if len(cameras) == 1 else 'are'} aside: {reason}"
        for reason, cameras in grouped(reasons.items()).items()
    )
