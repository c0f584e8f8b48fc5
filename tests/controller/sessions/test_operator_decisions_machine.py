"""Whatever an operator does, in any order: what was named last is kept; without consent nothing is handed off."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import event

from controller.api.session_data import session_data
from controller.errors import ControllerError, DecisionNeeded
from controller.firing.fire_timing import Skew
from controller.rig.cameras_aside import CamerasAside
from controller.rig_file import CameraEntry, Rig
from controller.sessions.farm_handoff import hand_over
from controller.sessions.operator_decisions import Decisions
from controller.sessions.session_state import SessionStateMachine
from controller.sessions.session_store import SessionStore
from controller.takes.incomplete_takes import accept_take
from db import captures
from db.engine import open_database, reading, transaction
from db.errors import ConsentError, RecordError
from db.models import ActKind, ConsentScope, SessionState, TakeState
from db.protocols import FACESCAPE, ProtocolData, install_protocol
from db.rigs import rig_records
from db.stage_runs import job_queue
from db.stage_runs.job_queue import JobSpec
from db.stage_runs.ready_takes import session_marks
from db.store import Store
from db.subjects import add_subject, get_subject, give_consent, withdraw_consent

RIG = Rig("booth", tuple(CameraEntry(f"cam-{view:02d}", view) for view in range(6)))
POSITIONS = st.integers(1, 3)
ANY = st.integers(0, 50)
PHASES = (Phase.explicit, Phase.generate, Phase.shrink)
CALM = settings(deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
RARE = st.sampled_from([False, False, False, True])
REFUSED = (ControllerError, RecordError)


@dataclass
class Model:
    """What a person would have noted on paper. Takes by their row's number."""

    chosen: dict[int, int] = field(default_factory=dict)  # by position
    of: dict[int, int] = field(default_factory=dict)  # take -> position
    whole: set[int] = field(default_factory=set)
    dropped: set[int] = field(default_factory=set)
    begun: set[int] = field(default_factory=set)
    closed: bool = False
    acts: list[tuple[ActKind, int | None, dict[str, Any]]] = field(default_factory=list)


def open_now(machine: "Operators") -> bool:
    return not machine.model.closed


def has_takes(machine: "Operators") -> bool:
    return bool(machine.model.of) and not machine.model.closed


class Operators(RuleBasedStateMachine):
    """One rig of six cameras whose photographs are rows; acts go the way that the studio's own go."""

    template: Path
    folder: Path
    runs = 0

    @initialize(
        consent=st.sampled_from(["given", "later"]), calibrated=st.booleans(), fired=st.lists(POSITIONS, max_size=6)
    )
    def begin(self, consent: str, calibrated: bool, fired: list[int]) -> None:
        type(self).runs += 1
        path = self.folder / f"{self.runs}.sqlite"
        shutil.copyfile(self.template, path)
        self.path = path
        self.engine = open_database(f"sqlite:///{path}")
        event.listen(self.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
        self.records, self.decisions = SessionStore(self.engine, RIG), Decisions(self.engine, RIG)
        self.asides = CamerasAside(self.engine, RIG)
        self.store = Store(str(self.folder / "store"))
        self.photograph = self.store.put_bytes(b"a photograph")
        self.codes: dict[str, int] = {}
        self.consent, self.keys, self.calibrated = "none", 0, calibrated
        with transaction(self.engine) as tx:
            install_protocol(tx, ProtocolData("short", 1, tuple(FACESCAPE.expressions[:3])))
            self.subject = add_subject(tx).code
        if calibrated:
            self.records.add_calibration("board", {"0_K": 1})
        with pytest.raises(ConsentError, match="--consent-later"):
            self.records.start_session(self.subject, "short", None)
        if consent == "given":
            self.give()
        self.session = self.records.start_session(self.subject, "short", None, consent_later=consent == "later")
        self.model = Model()
        for position in fired:
            self.shoot(position, True, True)

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.engine.dispose()
            self.path.unlink()

    # --- consent and calibration ---

    def give(self) -> None:
        with transaction(self.engine) as tx:
            give_consent(tx, get_subject(tx, self.subject), ConsentScope.RESEARCH_RELEASE, date(2026, 1, 2))
        self.consent = "given"

    @precondition(lambda self: self.consent != "given")
    @rule()
    def consent_is_recorded(self) -> None:
        self.give()

    @precondition(lambda self: self.consent == "given")
    @rule(sure=RARE)
    def everything_is_withdrawn(self, sure: bool) -> None:
        if not sure:
            return
        with transaction(self.engine) as tx:
            withdraw_consent(tx, get_subject(tx, self.subject))
        self.consent = "withdrawn"

    @rule()
    def a_calibration_is_added(self) -> None:
        self.keys += 1
        self.records.add_calibration("board", {"0_K": self.keys})
        self.decisions.calibrate()
        self.calibrated = True

    # --- takes ---

    @precondition(open_now)
    @rule(named=st.none() | POSITIONS, whole=st.sampled_from([True, True, True, False]), again=st.booleans())
    def fire(self, named: int | None, whole: bool, again: bool) -> None:
        self.shoot(named, whole, again)

    @precondition(open_now)
    @rule(named=st.none() | POSITIONS)
    def fire_again(self, named: int | None) -> None:
        self.shoot(named, True, True)

    def shoot(self, named: int | None, whole: bool, again: bool) -> None:
        script = self.script()
        shown = session_data(script)["next"]

        def act() -> str:
            line = script.find(str(named)) if named is not None else script.check_next(shown)
            script.check_fire(line.position, again and bool(script.takes_of(line.position)))
            return self.records.plan(self.session, line.position)

        code = self.refusable(act, consent=True)
        if code is None:
            return
        line = self.records.take(code)
        if named is None:
            assert script.expressions[line.position - 1].name == shown
        number = self.number(code)
        assert number not in self.model.of
        self.model.of[number] = line.position
        self.model.acts.append((ActKind.FIRE, number, {}))
        self.records.fired(code)
        with transaction(self.engine) as tx:
            row = captures.get_take(tx, code)
            rig = rig_records.get_rig(tx, RIG.name)
            frames = [captures.FrameData(camera.id, self.photograph, 12, 8, 12) for camera in rig.cameras]
            captures.add_frames(tx, row, frames if whole else frames[1:])
        if whole:
            self.records.captured(code, Skew(), [], {})
            self.model.whole.add(number)
        else:
            self.records.failed(code, "cam-00 is silent", Skew())

    @precondition(has_takes)
    @rule(which=ANY)
    def accept_a_take(self, which: int) -> None:
        code = self.some_code(which)
        if code is not None:
            self.chose(code, lambda script: accept_take(self.records, self.asides, script, code, (), "")[0])

    @precondition(has_takes)
    @rule(position=POSITIONS)
    def accept_an_expression(self, position: int) -> None:
        shown = session_data(self.script())["expressions"][position - 1]["shown"]
        self.chose(shown, lambda script: accept_take(self.records, self.asides, script, f"E{position:02d}", (), "")[0])

    @precondition(has_takes)
    @rule(which=ANY)
    def choose(self, which: int) -> None:
        code = self.some_code(which)
        if code is not None:
            self.chose(code, lambda _script: (self.records.accept(code, choose=True), code)[1])

    def chose(self, named: str | None, act: Callable[[SessionStateMachine], str]) -> None:
        script = self.script()
        before = self.states()
        done = self.refusable(lambda: act(script), consent=True)
        if done is None:
            return
        assert done == named  # exactly this one
        number = self.number(done)
        position = self.model.of[number]
        if self.states() != before:
            self.model.acts.append((ActKind.ACCEPT, number, {"chosen": self.model.chosen.get(position),
                                                             "dropped": number in self.model.dropped}))  # fmt: skip
        self.model.chosen[position] = number
        self.model.dropped.discard(number)

    @precondition(has_takes)
    @rule(which=ANY)
    def drop(self, which: int) -> None:
        code = self.some_code(which)
        if code is not None and self.refusable(lambda: (self.decisions.drop(code), code)[1]) is not None:
            self.model.dropped.add(self.number(code))
            self.model.acts.append((ActKind.DROP, self.number(code), {}))

    @precondition(has_takes)
    @rule(which=ANY, position=POSITIONS)
    def reassign(self, which: int, position: int) -> None:
        code = self.some_code(which)
        if code is None:
            return
        number = self.number(code)
        given = self.refusable(lambda: self.decisions.reassign(self.script(), code, str(position)), consent=True)
        if given is None:
            return
        assert number not in self.model.begun
        was = self.model.of[number]
        chosen = self.model.chosen.get(was) == number
        self.model.acts.append((ActKind.REASSIGN, number, {"was": was, "chosen": chosen}))
        self.model.of[number] = position
        if chosen:
            del self.model.chosen[was]
            self.model.chosen.setdefault(position, number)
        assert given.was == code
        assert self.number(given.take) == number

    @precondition(open_now)
    @rule(position=POSITIONS)
    def skip(self, position: int) -> None:
        def act() -> bool:
            self.records.skip(self.script(), str(position), "sore")
            return True

        if self.refusable(act):
            self.model.acts.append((ActKind.SKIP, None, {}))

    @precondition(open_now)
    @rule(position=POSITIONS)
    def ask_again(self, position: int) -> None:
        if self.refusable(lambda: self.records.unskip(self.script(), str(position))):
            self.model.acts.append((ActKind.UNSKIP, None, {}))

    # --- taking back ---

    @precondition(lambda self: bool(self.model.acts))
    @rule()
    def undo(self) -> None:
        left = [a for a in self.model.acts if a[0] is not ActKind.FIRE or
                (a[1] in self.model.whole and a[1] not in self.model.dropped)]  # fmt: skip
        closed = self.script().state is SessionState.CLOSED
        undone = self.refusable(lambda: self.decisions.undo(self.session), consent=True)
        if undone is None:
            return
        act = left[-1]
        kind, number, before = act
        assert undone.kind is kind
        assert not closed or kind is ActKind.CLOSE
        assert undone.take is None or self.number(undone.take) == number
        del self.model.acts[max(at for at, one in enumerate(self.model.acts) if one is act)]  # equal ones came before
        if kind is ActKind.CLOSE:
            self.model.closed = False
        if number is None:
            return
        position = self.model.of[number]
        if kind is ActKind.FIRE:
            self.model.dropped.add(number)
        elif kind is ActKind.DROP:
            self.model.dropped.discard(number)
        elif kind is ActKind.ACCEPT:
            self.restore(position, before["chosen"])
            if before["dropped"]:
                self.model.dropped.add(number)
        elif kind is ActKind.REASSIGN:
            if self.model.chosen.get(position) == number:
                del self.model.chosen[position]
            self.model.of[number] = before["was"]
            if before["chosen"]:
                self.model.chosen.setdefault(before["was"], number)

    def restore(self, position: int, number: int | None) -> None:
        self.model.chosen.pop(position, None)
        if number is not None:
            self.model.chosen[position] = number

    # --- the end of it ---

    @precondition(open_now)
    @rule(
        incomplete=st.sampled_from([True, True, False]),
        choices=st.lists(st.sampled_from(["keep", "drop"]), min_size=1, max_size=6),
    )
    def close(self, incomplete: bool, choices: list[str]) -> None:
        script = self.script()
        waiting = [take.code for take in script.undecided()]
        keep = [code for code, choice in zip(waiting, choices, strict=False) if choice == "keep"]
        drop = [code for code, choice in zip(waiting, choices, strict=False) if choice == "drop"]
        accepted = {position: self.model.chosen.get(position) for position in (1, 2, 3)}
        refused = ""
        try:
            handed = hand_over(self.records, self.decisions, self.store, self.session, incomplete, keep, drop)
        except DecisionNeeded as refusal:
            refused = str(refusal)
            said = {self.model.of[self.number(code)] for code in keep}  # of these the others are put beside
            left = [c for c in waiting if c not in keep + drop and self.model.of[self.number(c)] not in said]
            assert left
        except REFUSED:
            refused, left = "refused", []
        if refused:
            assert all(code in refused for code in left)
            assert self.script() == script
            return
        said = {self.model.of[self.number(code)] for code in keep}
        unsaid = [code for code in waiting if code not in keep + drop]
        assert self.consent == "withdrawn" or all(self.model.of[self.number(code)] in said for code in unsaid)
        for code in drop:
            self.model.dropped.add(self.number(code))
            self.model.acts.append((ActKind.DROP, self.number(code), {}))
        for code in keep:
            number = self.number(code)
            position = self.model.of[number]
            self.model.acts.append((ActKind.ACCEPT, number, {"chosen": accepted[position], "dropped": False}))
            self.model.chosen[position] = number
        self.model.acts.append((ActKind.CLOSE, None, {}))
        self.model.closed = True
        if not self.calibrated or self.consent != "given":
            assert handed.ready == ()
        held = {code for reason in handed.held for code in reason.takes}
        assert set(handed.ready) | held == set(handed.takes)
        assert not set(handed.ready) & held
        assert all(reason.why and reason.do for reason in handed.held)

    @precondition(lambda self: self.model.closed)
    @rule()
    def reopen(self) -> None:
        state = self.refusable(lambda: self.decisions.reopen(self.session), consent=True)
        if state is not None:
            assert not self.model.begun
            self.model.closed = False
            self.model.acts = [act for act in self.model.acts if act[0] is not ActKind.CLOSE]

    @precondition(lambda self: bool(self.model.chosen))
    @rule(begins=st.sampled_from([False, False, False, True]))
    def the_farm_asks(self, begins: bool) -> None:
        """It asks for a run of each accepted take of what it sees, and of each that it remembers."""
        with reading(self.engine) as tx:
            seen = [mark.code for mark in session_marks(tx, unclosed=True)]
        assert (self.session in seen) == (bool(self.model.chosen) and self.consent == "given")
        with transaction(self.engine) as tx:
            subject = get_subject(tx, self.subject).id
            for number in self.model.chosen.values():
                self.keys += 1
                key = hashlib.sha256(str(self.keys).encode()).hexdigest()
                spec = JobSpec(key, "reconstruct", 1, {}, subject_id=subject, take_id=number)
                assert job_queue.enqueue(tx, spec) == (self.consent == "given")
            if begins and (lease := job_queue.claim(tx, "worker")) is not None:
                assert self.consent == "given"
                assert lease.take_id is not None
                self.model.begun.add(lease.take_id)

    # --- always ---

    @invariant()
    def what_was_named_last_stands(self) -> None:
        script = self.script()
        stands = {take.position: self.number(take.code) for take in script.takes if take.state is TakeState.ACCEPTED}
        assert stands == self.model.chosen

    @invariant()
    def no_whole_take_vanishes(self) -> None:
        takes = {self.number(take.code): take for take in self.script().takes}
        for number in self.model.whole:
            assert takes[number].state in (TakeState.CAPTURED, TakeState.ACCEPTED, TakeState.SUPERSEDED)
            assert takes[number].frames == len(RIG.cameras)
            assert takes[number].position == self.model.of[number]
            assert takes[number].dropped == (number in self.model.dropped)
        for code, number in self.codes.items():  # every code ever shown still finds its take, and no other
            assert self.number(code) == number

    @invariant()
    def what_is_skipped_has_no_take_that_stands(self) -> None:
        script = self.script()
        assert all(script.accepted(position) is None for position in script.skipped)

    @invariant()
    def nothing_is_handed_off_without_consent(self) -> None:
        if self.consent != "given":
            assert self.decisions.hand_off(self.session).ready == ()
            with reading(self.engine) as tx:
                assert session_marks(tx, unclosed=True) == []

    # --- means ---

    @invariant()
    def it_is_open_or_closed_as_it_was_left(self) -> None:
        assert (self.script().state is SessionState.CLOSED) == self.model.closed

    def script(self) -> SessionStateMachine:
        return self.records.state_of(self.session)

    def states(self) -> dict[str, tuple[TakeState, bool]]:
        return {take.code: (take.state, take.dropped) for take in self.script().takes}

    def number(self, code: str) -> int:
        with reading(self.engine) as tx:
            number = captures.get_take(tx, code).id
        assert self.codes.setdefault(code, number) == number
        return number

    def some_code(self, which: int) -> str | None:
        takes = self.script().takes
        return takes[which % len(takes)].code if takes else None

    def refusable(self, act: Callable[[], Any], consent: bool = False) -> Any:
        """What an act gives; None when it was refused, which changes nothing. consent: it needs one."""
        before = self.script()
        try:
            given = act()
        except REFUSED:
            assert self.script() == before
            return None
        assert not consent or self.consent != "withdrawn"
        return given


def run(template: Path, folder: Path, examples: int, steps: int) -> None:
    class Here(Operators):
        pass

    Here.template, Here.folder = template, folder
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=PHASES,
        ),
    )


def test_operators_decisions_are_kept(sqlite_template: Path, tmp_path: Path) -> None:
    run(sqlite_template, tmp_path, examples=8, steps=25)


@pytest.mark.slow
def test_operators_decisions_are_kept_for_long(sqlite_template: Path, tmp_path: Path) -> None:
    run(sqlite_template, tmp_path, examples=400, steps=60)
