"""Whatever a body, a node and a studio do, in whatever order: an exposure's file is filed under its own take, or is in
the tray, or is on the card and named; and the camera can be armed again.

What no evidence can decide is left out in one place, `_may_press`: there it says what is missing.
"""

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from camera_nodes.photo_collection import exposure_journal
from camera_nodes.photo_collection.exposure_matching import ARMED_S

sys.path.insert(0, str(Path(__file__).parent))
from collector_bench import Bench
from quirky_body import FILE_S, Fault, Habits, Plan, Shot

sys.path.pop(0)

APART_S = 5.0  # between a release and a photograph by hand, where capture times tell: SAME_MOMENT_S, their whole
# seconds, the shutter's lag and the reading of the body's clock
PLANS = (
    (Plan("JPG", 0.3),),
    (Plan("CR2", 0.2), Plan("JPG", 1.0)),
    (Plan("JPG", 0.2), Plan("CR2", 1.0)),
    (Plan("JPG", 0.2), Plan("CR2", 8.0)),
    (Plan("JPG", 0.2), Plan("JPG", 0.9, slot=2, copy="same")),
    (Plan("JPG", 0.9), Plan("JPG", 0.2, slot=2, copy="same")),
    (Plan("JPG", 0.2), Plan("JPG", 6.0, slot=2, copy="other")),
    (Plan("CR2", 0.2), Plan("JPG", 0.4, slot=2)),
    (Plan("XMP", 0.1), Plan("JPG", 0.5)),
    (Plan("JPG", 0.5), Plan("XMP", 4.0)),
    (Plan("JPG", 2.5),),
)
HABITS = st.builds(
    Habits,
    plans=st.sampled_from(PLANS),
    times=st.booleans(),
    clock_off_s=st.sampled_from((0.0, -0.4, 7.0, 3600.0, -7200.5, 400_000.0)),
    clock_told_s=st.sampled_from((0.0, None, 3600.0, -19_800.0)),
    ram=st.sampled_from((False, False, False, True)),
    deletes=st.sampled_from((True, True, False)),
    first_number=st.sampled_from((1, 1234, 9997)),
    before=st.sampled_from((0, 3)),
)
SHOTS = st.builds(
    Shot,
    late_s=st.sampled_from((0.0, 0.0, 0.0, 2.0, 12.0, FILE_S + 5.0, 70.0)),
    none=st.sampled_from((False, False, False, True)),
    silent=st.sampled_from((False, False, True)),
    twice=st.booleans(),
)
RELEASES = st.sampled_from(("good",) * 6 + ("refused", "failed and did not", "failed and did", "disarmed"))
DEATHS = st.none() | st.none() | st.integers(0, 60)


class Machine(RuleBasedStateMachine):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(prefix="mien-machine-"))
        self.fires = self.presses = 0
        self.pressed: list[float] = []

    @initialize(habits=HABITS)
    def begin(self, habits: Habits) -> None:
        self.bench = Bench(self._folder, habits)
        self.bench.open()

    def _may_press(self) -> bool:
        """Whether somebody may press the body's own button now, so that evidence can tell whose a file is.

        A body that writes no capture time leaves the counter alone, and the counter does not tell whether the
        photograph that is missing is the one before or the one after: there nobody presses while an exposure's
        photograph is outstanding, and its own file comes at once.  The same holds for a body that does not tell its
        clock before it has given its first photograph.  With capture times nobody
        presses within APART_S of a release or of an arming, nor within ARMED_S of an arming of which the node, killed,
        has not written down whether it was fired.
        """
        bench = self.bench
        if not self._times_tell():
            return bench.body.quiet and not bench.outstanding
        unknown = any(one.released_s is None for one in bench.outstanding)
        return bench.clock.time() - max(bench.released, default=0.0) > APART_S + (ARMED_S if unknown else 0.0)

    def _times_tell(self) -> bool:
        """Whether the body's clock is known, but for the time zone."""
        clock_ms, habits = self.bench.collector.clock_error_ms, self.bench.habits
        return habits.times and clock_ms is not None

    @rule(shot=SHOTS, release=RELEASES, death=DEATHS, wait_s=st.sampled_from((0.2, 3.0, 20.0)))
    def take(self, shot: Shot, release: str, death: int | None, wait_s: float) -> None:
        bench = self.bench
        self.fires += 1
        fire = f"f{self.fires}"
        if release == "failed and did" and not self._times_tell():
            # Whether a release that failed has exposed is seen by its file, which comes within seconds; one that comes
            # later still and tells no time could as well be the next one's.
            shot = replace(shot, late_s=0.0)

        def act() -> None:
            bench.body.kill_in = death
            if not bench.arm(fire):
                return
            bench.clock.sleep(wait_s)
            bench.collector.firing(fire)
            bench.released.append(bench.clock.time())
            if release in ("refused", "disarmed"):
                bench.rest(fire)
            elif release == "failed and did not":
                bench.rest(fire, bench.clock.time())
            elif release == "failed and did":
                bench.body.expose(fire, self._within_patience(shot))
                bench.rest(fire, bench.clock.time())
            else:
                bench.camera.shutter(fire, shot)
                at_s = bench.clock.time()
                bench.body.step("exposed")
                bench.fetch(fire, at_s)

        self._settle_clock()
        bench.live(act)

    def _within_patience(self, shot: Shot) -> Shot:
        """Where capture times do not tell, a release that failed may be told from one that was by waiting alone."""
        return replace(shot, late_s=min(shot.late_s, FILE_S - 8.0)) if not self._times_tell() else shot

    def _may_be_a_stray(self) -> bool:
        """Whether an exposure given up may have the same number, on a body whose capture times do not tell."""
        given_up = [one for one in exposure_journal.load(self.bench.folder).exposures if one.state == "written_off"]
        return bool(given_up) and not self._times_tell()

    def _settle_clock(self) -> None:
        """A release is not closer to a photograph by hand than that to a release."""
        if self.pressed:
            self.bench.clock.sleep(max(0.0, self.pressed[-1] + APART_S - self.bench.clock.time()))

    @rule(shot=SHOTS)
    def press(self, shot: Shot) -> None:
        """Somebody takes a photograph by hand."""
        if not self._may_press():
            return
        bench = self.bench
        self.presses += 1
        self.pressed.append(bench.clock.time())
        times_tell = self._times_tell()
        if not times_tell:
            shot = Shot(twice=shot.twice)
        bench.body.expose(f"hand {self.presses}", shot)
        if not times_tell:
            bench.clock.sleep(max(plan.after_s for plan in bench.habits.plans) + 0.1)
            bench.live(lambda: bench.idle(4))

    @rule(turns=st.sampled_from((1, 3, 10, 60)), death=DEATHS)
    def idle(self, turns: int, death: int | None) -> None:
        self.bench.body.kill_in = death
        self.bench.live(lambda: self.bench.idle(turns))

    @rule(
        call=st.sampled_from(("open", "listen", "search", "read", "read", "read", "delete", "arm", "check", "clock")),
        how=st.sampled_from(("fault", "busy", "missing", "cut", "short")),
        times=st.sampled_from((1, 2, 3, 6)),
    )
    def fail(self, call: str, how: str, times: int) -> None:
        """The next calls of that name fail."""
        if how in ("cut", "short"):
            call = "read"
        self.bench.body.faults = [Fault(call, how, times)]

    @rule()
    def kill(self) -> None:
        self.bench.body.kill_in = 0
        self.bench.live(lambda: self.bench.body.step("anything"))

    @rule()
    def cable(self) -> None:
        """Pulled and put back."""
        self.bench.camera.close()
        self.bench.live(self.bench.open)

    @rule()
    def hiccup(self) -> None:
        """The connection is made anew within a call."""
        self.bench.camera.reconnect()

    @rule(
        answer=st.sampled_from(("stored", "stored", "removed first", "unheard", "rejected")),
        which=st.integers(0, 3),
        death=st.none() | st.integers(0, 3),
    )
    def studio(self, answer: str, which: int, death: int | None) -> None:
        bench = self.bench
        entries = bench.spool.entries()
        if not entries:
            return
        entry = entries[which % len(entries)]
        bench.body.kill_in = death
        if answer == "rejected":
            bench.live(lambda: bench.reject(entry))
        else:
            first = answer == "removed first"
            bench.live(lambda: bench.store(entry, told=answer != "unheard", first_removed=first))

    @rule()
    def write_off(self) -> None:
        """The operator gives up what is outstanding; where nothing could tell its file later, when none is to come."""
        if not self._times_tell() and not self.bench.body.quiet:
            return
        self.bench.live(lambda: self.bench.tell(self.bench.collector.write_off("", "given up")))

    @invariant()
    def nothing_is_misfiled_or_lost(self) -> None:
        """Misfiled and Lost are raised at the deed; the collector lets neither pass."""

    def teardown(self) -> None:
        if not hasattr(self, "bench"):
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        try:
            if not self.bench.wrong:
                self._end()
        finally:
            self.bench.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self) -> None:
        """The body is quiet and well again: where is everything, and does the next take work?"""
        bench = self.bench
        bench.body.faults = []
        bench.idle(20)
        bench.idle(50, every_s=5.0)
        bench.live(self.cable)  # what no event told, and no exposure misses, is found at the next connection
        bench.idle(20)
        assert bench.body.quiet
        assert bench.unaccounted() == []
        for entry in bench.spool.entries():
            bench.store(entry, told=True, first_removed=False)
        bench.idle(3)
        if not bench.arm("last"):
            bench.tell(bench.collector.write_off("", "given up"))
            bench.clock.sleep(FILE_S)
            assert bench.arm("last"), bench.said[-3:]
        may_be_a_stray = self._may_be_a_stray()
        bench.released.append(bench.clock.time())
        bench.camera.shutter("last", Shot())
        bench.fetch("last", bench.clock.time())
        bench.idle(30)
        assert bench.unaccounted() == []
        if not bench.habits.ram and not may_be_a_stray:
            kinds = {plan.ending for plan in bench.habits.plans} & {"JPG", "CR2"}
            filed = [entry for entry in bench.spool.entries() if entry.fire_id == "last"]
            assert len(filed) == len(kinds), bench.said[-4:]


def run(examples: int) -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=12, deadline=None, print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


def test_every_exposure_is_filed_under_its_own_take_or_accounted_for() -> None:
    run(200)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_exposure_is_filed_under_its_own_take_or_accounted_for_2000_times() -> None:
    run(2000)


# What the machine has found, as it found it: begin's habits, then (shot, release, death, wait_s) of each take, or the
# name of another rule with its arguments.
TWO_SLOTS = (Plan("JPG", 0.2), Plan("JPG", 0.9, slot=2, copy="same"))
OTHER_SLOT = (Plan("JPG", 0.2), Plan("JPG", 6.0, slot=2, copy="other"))
RAW_FIRST = (Plan("CR2", 0.2), Plan("JPG", 1.0))
SIDECAR_FIRST = (Plan("XMP", 0.1), Plan("JPG", 0.5))
SIDECAR_LAST = (Plan("JPG", 0.5), Plan("XMP", 4.0))
NONE, LATE, LATER = Shot(none=True), Shot(late_s=FILE_S + 5.0), Shot(late_s=70.0)
STORIES: dict[str, tuple[Habits, list[tuple[object, ...]]]] = {
    "an announcement is lost and the file late": (Habits(), [(Shot(70.0, silent=True), "good", 22, 3.0)]),
    "both slots' files are found at once": (
        Habits(TWO_SLOTS, times=False),
        [(NONE, "good", None, 0.2), (LATER, "good", None, 0.2), (Shot(silent=True), "good", None, 3.0)],
    ),
    "one that was given up comes after the counter began again": (
        Habits(TWO_SLOTS, times=False, first_number=9997, clock_told_s=-19_800.0),
        [(NONE, "good", None, 20.0), (LATER, "good", None, 0.2), (Shot(silent=True), "good", None, 3.0),
         (Shot(silent=True), "good", 54, 20.0)],
    ),
    "killed between the photograph and the journal": (
        Habits(SIDECAR_LAST, clock_off_s=7.0, clock_told_s=None),
        [(Shot(twice=True), "good", None, 3.0), (Shot(12.0, silent=True), "good", None, 3.0),
         (Shot(), "failed and did", None, 0.2), (Shot(2.0), "failed and did", 15, 20.0),
         (Shot(2.0), "good", None, 0.2)],
    ),
    "the zone of the body's clock is open": (
        Habits(RAW_FIRST, clock_off_s=7.0, clock_told_s=3600.0, before=3),
        [(LATER, "good", None, 20.0), ("write_off",), (LATE, "good", None, 0.2)],
    ),
    "a sidecar comes before a photograph that was given up": (
        Habits(SIDECAR_FIRST, times=False, clock_told_s=None, first_number=1234, before=3),
        [(Shot(silent=True), "good", 60, 3.0), (NONE, "good", None, 3.0), (Shot(silent=True), "good", None, 0.2),
         (Shot(12.0), "failed and did", None, 20.0), (LATE, "good", None, 0.2), (Shot(), "disarmed", None, 0.2),
         (LATER, "good", 43, 3.0)],
    ),
    "a release that failed comes late, and the node dies before the next is written down": (
        Habits(TWO_SLOTS, clock_told_s=3600.0),
        [(Shot(25.0, silent=True), "failed and did", 44, 20.0), ("press", Shot(25.0, twice=True)),
         (Shot(twice=True), "good", 42, 20.0), (NONE, "good", None, 20.0)],
    ),
    "files of another body on the card": (
        Habits(OTHER_SLOT, clock_off_s=-7200.5, clock_told_s=None, first_number=9997, before=3),
        [(LATE, "good", None, 3.0), (Shot(silent=True), "good", None, 3.0)],
    ),
    "exposures without photographs put the counter's expectation wrong": (
        Habits(OTHER_SLOT, times=False, clock_told_s=3600.0, before=3),
        [(NONE, "good", None, 0.2), (Shot(2.0), "good", 59, 3.0), (Shot(12.0, silent=True), "good", None, 0.2),
         (LATER, "failed and did", None, 20.0), (NONE, "good", None, 0.2), (LATER, "good", None, 20.0)],
    ),
    "a photograph by hand leaves a raw file that nobody has": (
        Habits((Plan("JPG", 0.2), Plan("CR2", 8.0)), clock_off_s=-7200.5),
        [("press", Shot(silent=True)), ("fail", "listen", "fault", 2), ("cable",), ("idle", 10, None),
         ("fail", "read", "missing", 3), (NONE, "good", None, 20.0)],
    ),
    "one that gave no file and one whose file is late, both given up": (
        Habits((Plan("JPG", 0.3),), times=False, clock_off_s=0.0, clock_told_s=0.0, deletes=True, first_number=1),
        [(Shot(), "good", None, 0.2), ("write_off",), (NONE, "failed and did", None, 0.2), (LATE, "good", None, 0.2),
         (Shot(silent=True), "good", None, 0.2)],
    ),
    "two releases that failed at once, one given up": (
        Habits(),
        [(Shot(), "failed and did not", None, 0.2), ("write_off",), (LATE, "failed and did", None, 0.2),
         (Shot(), "good", None, 20.0)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STORIES)
def test_what_was_found_once(name: str) -> None:
    habits, steps = STORIES[name]
    machine = Machine()
    try:
        machine.begin(habits)
        for step in steps:
            if isinstance(step[0], str):
                getattr(machine, step[0])(*step[1:])
            else:
                machine.take(*step)
    finally:
        machine.teardown()
