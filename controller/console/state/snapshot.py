"""The whole snapshot. Each section says what it depends on, and is composed again when that has changed."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from controller.console.state.camera_section import CameraSection
from controller.console.state.known_values import without_none
from controller.console.state.record_facts import RecordFacts, look_for_others, read_facts
from controller.console.state.rig_sections import (
    jobs_section,
    live_section,
    preflight_section,
    rig_section,
    server_section,
)
from controller.console.state.scan_section import scan_section
from controller.console.state.session_sections import neutral_section, paused_section, session_section
from controller.console.state.take_sections import SeenTake, see_take, take_section
from controller.readiness.look import records_view
from controller.readiness.watch import watch_of
from controller.studio import Studio
from controller.trigger.trigger import Trigger
from db.engine import utc_now
from db.errors import RecordError

log = logging.getLogger(__name__)

RECORDS_S = 0.2  # between two readings of the records: photographs that come in are a transaction each
OTHERS_S = 1.0  # between two looks for what other processes have decided
OLDEST_S = 10.0  # a reading of the records is not older: a consent may count from today
ROSTER_S = 2.0  # a node that says nothing changes nothing, so who is silent is looked at by the clock
JUDGED_S = 0.5  # so often at least
JUDGED = ("take", "trigger", "lights", "preflight", "roster", "jobs")  # topics that are judged at once
FACTS = "facts"  # the topic of sections that depend on the records


@dataclass
class _Section:
    """One top-level key of the snapshot."""

    name: str
    topics: tuple[str, ...]  # of the bell, and FACTS
    compose: Callable[[], Any]  # None leaves the key out
    every_s: float = math.inf  # composed so often at least
    light: bool = False  # from memory in no time: also while a fire is near
    seen: int = -1  # what the bell had counted when it was composed
    at: float = -math.inf  # monotonic s, likewise


class Snapshot:
    """Composes what the page shows of one studio. For one thread at a time."""

    def __init__(self, studio: Studio, trigger: Trigger) -> None:
        self._studio = studio
        self._bell = studio.bell
        self._cameras = CameraSection(studio)
        self._started = utc_now().isoformat()
        self._facts = RecordFacts()
        self._read_at = self._looked_at = -math.inf
        self._read_seen = -1
        self._trouble = ""
        self._seen = SeenTake()
        self._cameras_at, self._cameras_seen = -math.inf, -1
        self._judged_at, self._judged_seen = -math.inf, -1
        self._watch, self._trigger = watch_of(studio), trigger
        self._state: dict[str, Any] = {}
        self._sections = [
            _Section("rig", ("lights",), lambda: rig_section(studio), every_s=10.0),
            _Section("session", (FACTS, "trigger"), lambda: session_section(self._facts, trigger.automatic.on)),
            _Section("take", (FACTS, "take"), lambda: take_section(self._seen), light=True),
            _Section("neutral", (FACTS,), lambda: neutral_section(self._facts)),
            _Section("preflight", ("preflight",), lambda: preflight_section(studio), every_s=60.0),
            _Section("trigger", ("trigger", "listeners"), trigger.holder.section, every_s=2.0),
            _Section("countdown", ("trigger", "listeners"), trigger.countdown.section, light=True),
            _Section("last_refusal", ("trigger",), lambda: trigger.countdown.last_refusal),
            _Section("scan", ("scan",), lambda: scan_section(studio), light=True),
            _Section("paused", (FACTS,), lambda: paused_section(self._facts)),
            _Section("jobs", ("jobs", "records"), lambda: jobs_section(studio), every_s=1.0),
            _Section("live", ("live",), lambda: live_section(studio), every_s=2.0),
            _Section("server", (), lambda: server_section(studio, self._started)),
        ]

    @property
    def pending(self) -> bool:
        """Whether the records have changed since they were read last, or seconds are counted."""
        return self._bell.any_since(("records",), self._read_seen) or self._trigger.countdown.section() is not None

    def compose(self) -> dict[str, Any]:
        """Everything, as it is now; sections that did not change are the same objects as before."""
        count, now, quiet = self._bell.count, time.monotonic(), self._bell.quiet
        facts_changed = not quiet and self._read(count, now)
        state = dict(self._state)
        take_changed = facts_changed or self._changed(("take",), self._cameras_seen)
        if take_changed or not self._state:
            self._seen = see_take(self._studio, self._facts)
        for section in self._sections:
            due = (facts_changed and FACTS in section.topics) or self._changed(section.topics, section.seen)
            if (due or now - section.at >= section.every_s or section.at == -math.inf) and (section.light or not quiet):
                section.seen, section.at = count, now
                _put(state, section.name, section.compose())
        self._compose_cameras(state, count, now, facts_changed)
        self._judge(state, count, now, facts_changed)
        self._state = state
        return state

    def _changed(self, topics: tuple[str, ...], seen: int) -> bool:
        return self._bell.any_since(topics, seen)

    def _read(self, count: int, now: float) -> bool:
        """Read the records again where they may have changed; whether they did."""
        rung = self._bell.any_since(("records",), self._read_seen) and now - self._read_at >= RECORDS_S
        try:
            if not rung and now - self._looked_at >= OTHERS_S:
                self._looked_at = now
                rung = look_for_others(self._studio) != self._facts.head
            if not rung and now - self._read_at < OLDEST_S:
                return False
            self._read_at, self._read_seen, before = now, count, self._facts
            self._facts = read_facts(self._studio)
            self._trouble = ""
        except RecordError as error:
            if not self._trouble:
                log.warning("the page shows the records as they were: %s", error)
            self._trouble = f"the records cannot be read: {error}"
            return False
        return self._facts != before

    def _judge(self, state: dict[str, Any], count: int, now: float, facts_changed: bool) -> None:
        """The bar and the faults; figures of cameras are judged by the clock, all else at once."""
        countdown = self._trigger.countdown
        firing, counting = countdown.firing, countdown.section()  # in this order: one becomes the other
        urgent = facts_changed or counting or firing or self._trouble or self._bell.any_since(JUDGED, self._judged_seen)
        if not urgent and now - self._judged_at < JUDGED_S:
            return
        self._judged_at, self._judged_seen = now, count
        seconds = math.ceil(counting["ends_in_ms"] / 1e3) if counting is not None else 0 if firing else None
        facts = self._facts
        paused = [line.session for line in facts.paused]
        records = records_view(self._studio, facts.state, facts.review, paused, facts.calibration, self._trouble)
        found = self._watch.look(records, seconds).data()
        _put(state, "bar", found["bar"])
        _put(state, "faults", found["faults"])

    def _compose_cameras(self, state: dict[str, Any], count: int, now: float, facts_changed: bool) -> None:
        whole = facts_changed or now - self._cameras_at >= ROSTER_S or self._changed(("roster",), self._cameras_seen)
        changed = {*self._bell.since("cameras", self._cameras_seen), *self._bell.since("take", self._cameras_seen)}
        if "" in changed:
            changed = {camera.name for camera in self._studio.rig.cameras}
        self._cameras_seen = count
        if whole:
            self._cameras_at = now
            state["cameras"] = self._cameras.compose(self._seen, self._facts, None)
        elif changed:
            state["cameras"] = self._cameras.compose(self._seen, self._facts, changed)


def _put(state: dict[str, Any], name: str, value: Any) -> None:
    """The same object as before where nothing changed."""
    if value is None:
        state.pop(name, None)
    elif (plain := without_none(value)) != state.get(name):
        state[name] = plain
