"""Review of takes: each is looked at as its photographs come in; soon after the last one it is said what was found.

Photographs are decoded and measured in processes of their own, as they are filed; once a take is whole its figures are
judged, the contact sheet is made, and all of it is written in one transaction. Nothing here can fail a take: what
cannot be checked is reported as not done.
"""

import logging
import multiprocessing
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from controller.errors import SessionError
from controller.rig_file import Rig
from controller.take_checks import check_process
from controller.take_checks.all_checks import MEASURES, judge
from controller.take_checks.check_context import CheckContext, PersonAnswer
from controller.take_checks.contact_sheet import contact_sheet
from controller.take_checks.expression_check import face_scores
from controller.take_checks.photograph_findings import PhotographFindings
from controller.take_checks.same_person import PERSON, PersonQuestion, answer_of, question_of
from controller.take_checks.thumbnail_shelf import ThumbnailShelf
from db.captures import get_take
from db.engine import reading, transaction
from db.errors import RecordError
from db.models import AbsenceKind
from db.protocols import recipe_of
from db.session_rules import WHOLE
from db.store import Store
from db.takes.missing_photographs import absences_of
from db.takes.take_reviews import (
    CheckResult,
    PhotographMeasure,
    TakeReviewData,
    baselines,
    get_review,
    neutral_scores,
    save_review,
    unreviewed,
)

log = logging.getLogger(__name__)

REMEMBERED = 6  # takes under examination; older ones are forgotten
LEFT_BEHIND = 10  # whole takes that an earlier controller had not looked at
SHEET_WORDS = {AbsenceKind.ASIDE: "aside", AbsenceKind.DECIDED: "missing"}


@dataclass
class _Case:
    """A take under examination."""

    take: str  # its code
    seen: dict[str, PhotographFindings] = field(default_factory=dict)  # camera -> what was found
    asked: dict[str, str] = field(default_factory=dict)  # camera -> hash of the photograph that is to be looked at
    again: set[str] = field(default_factory=set)  # cameras whose check process died once
    last_ns: int = field(default_factory=time.monotonic_ns)  # monotonic, when its latest photograph was filed
    whole: bool = False  # no more photographs come: it may be judged
    done: bool = False  # judged


class TakeReviewer:
    """Threads and processes start with the first photograph; stop() ends them. Methods return at once but result()."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        rig: Rig,
        photographs: Callable[[str], dict[str, str]],
        reviewed: Callable[[str], None] = lambda _take: None,
    ) -> None:
        """photographs: a take's hashes by camera in order of view, as the records have them.

        reviewed: told of a take whose review is written.
        """
        self._reviewed = reviewed
        self._engine, self._store, self._rig, self._photographs = engine, store, rig, photographs
        self._limits = rig.checks
        self._frontal = frozenset(camera.name for camera in rig.cameras if camera.tier == "frontal")
        self.thumbnails = ThumbnailShelf()
        self._cases: OrderedDict[str, _Case] = OrderedDict()
        self._queue: deque[tuple[_Case, str, str]] = deque()
        self._changed = threading.Condition()
        self._open = True
        self._under_way = 0
        self._stopped = False
        self._pool: ProcessPoolExecutor | None = None
        self._threads: list[threading.Thread] = []

    # --- called by the studio ---

    def warm_up(self) -> None:
        """Start the processes ahead of the first photograph: a session has begun."""
        with self._changed:
            if not self._stopped and self._frontal:
                self._start()
                pool = self._processes()
                for _ in range(self._limits.processes):
                    pool.submit(check_process.warm_up, True)

    def catch_up(self) -> None:
        """Look at what an earlier controller left without a look."""
        with reading(self._engine) as tx:
            takes = unreviewed(tx, self._rig.name, LEFT_BEHIND)
        for take in takes:
            self.finish(take)

    def add(self, take: str, camera: str, sha256: str) -> None:
        """A photograph is filed."""
        with self._changed:
            if not self._stopped:
                self._start()
                case = self._case(take)
                case.last_ns = time.monotonic_ns()
                self._ask(case, camera, sha256)

    def finish(self, take: str) -> None:
        """The take is whole: judge it as soon as every photograph has been looked at."""
        with self._changed:
            if not self._stopped:
                self._start()
                self._case(take).whole = True
                self._changed.notify_all()

    @property
    def pending(self) -> int:
        """Takes that are being looked at, or wait for it."""
        with self._changed:
            return sum(not case.done for case in self._cases.values())

    def again(self, take: str) -> None:
        """Look once more at a take that is whole. Raises NotFound; SessionError for a take that is not whole."""
        with reading(self._engine) as tx:
            state = get_take(tx, take).state
        if state not in WHOLE:
            raise SessionError(f"{take} is {state.value}; only a whole take is looked at")
        self.finish(take)

    def drop(self, take: str) -> None:
        """The take failed: nothing more is looked at."""
        with self._changed:
            self._cases.pop(take, None)
            self._queue = deque(item for item in self._queue if item[0].take != take)

    def hold(self) -> None:
        """Begin nothing new until go_on(): a fire is near."""
        with self._changed:
            self._open = False

    def go_on(self) -> None:
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def result(self, take: str, wait_s: float = 0.0) -> TakeReviewData | None:
        """The review of a take, waiting up to `wait_s` for one that is under way. Raises NotFound."""
        end = time.monotonic() + wait_s
        with self._changed:
            while (case := self._cases.get(take)) is not None and case.whole and not case.done and not self._stopped:
                left = end - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
        with reading(self._engine) as tx:
            return get_review(tx, take)

    def stop(self) -> None:
        """End the threads after the judgement in hand; what was not judged is at the next start."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(30)
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    # --- inside, with the lock held ---

    def _start(self) -> None:
        if not self._threads:
            for name, work in (("look", self._dispatch), ("judge", self._judge)):
                self._threads.append(threading.Thread(target=work, name=f"mien-checks-{name}", daemon=True))
                self._threads[-1].start()

    def _case(self, take: str) -> _Case:
        case = self._cases.get(take)
        if case is None or case.done:
            case = self._cases[take] = _Case(take)
            while len(self._cases) > REMEMBERED:
                waiting = next((old for old in self._cases.values() if not old.whole or old.done), None)
                if waiting is None or waiting is case:
                    break
                del self._cases[waiting.take]
        return case

    def _ask(self, case: _Case, camera: str, sha256: str) -> None:
        if case.asked.get(camera) != sha256:
            case.asked[camera] = sha256
            self._queue.append((case, camera, sha256))
            self._changed.notify_all()

    def _processes(self) -> ProcessPoolExecutor:
        if self._pool is None:
            # spawn: the studio has threads and sockets that no child may inherit.
            self._pool = ProcessPoolExecutor(
                self._limits.processes, multiprocessing.get_context("spawn"), initializer=check_process.begin
            )
        return self._pool

    # --- the thread that hands out photographs ---

    def _dispatch(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: (
                        self._stopped or (self._queue and self._open and self._under_way < self._limits.processes + 1)
                    )
                )
                if self._stopped:
                    return
                case, camera, sha256 = self._queue.popleft()
                self._under_way += 1
            try:
                path = str(self._store.local_path(sha256))
                pool = self._processes()
                future = pool.submit(check_process.look, path, camera in self._frontal, MEASURES)
            except BrokenProcessPool:
                self._broken(pool, case, camera, sha256)
            except (RecordError, OSError, RuntimeError) as error:
                self._seen(case, camera, PhotographFindings(problem=str(error)))
            else:
                future.add_done_callback(partial(self._looked, pool, case, camera, sha256))

    def _looked(
        self, pool: ProcessPoolExecutor, case: _Case, camera: str, sha256: str, future: "Future[PhotographFindings]"
    ) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            self._broken(pool, case, camera, sha256)
        elif error is not None:
            self._seen(case, camera, PhotographFindings(problem=str(error)))
        else:
            self._seen(case, camera, future.result())

    def _broken(self, pool: ProcessPoolExecutor, case: _Case, camera: str, sha256: str) -> None:
        """A process died (memory, a library's fault) and its fellows with it: new ones, and a second chance."""
        with self._changed:
            if self._pool is pool:
                self._pool = None
                log.error("a check process died; new ones are started")
                pool.shutdown(wait=False)
            if camera not in case.again and not self._stopped:
                case.again.add(camera)
                self._under_way -= 1
                self._queue.append((case, camera, sha256))
                self._changed.notify_all()
                return
        self._seen(case, camera, PhotographFindings(problem="the check process died while it was looked at, twice"))

    def _seen(self, case: _Case, camera: str, seen: PhotographFindings) -> None:
        if seen.thumbnail:
            self.thumbnails.put(case.asked[camera], seen.thumbnail)
        with self._changed:
            case.seen[camera] = seen
            self._under_way -= 1
            self._changed.notify_all()

    # --- the thread that judges ---

    def _judge(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._stopped or any(c.whole and not c.done for c in self._cases.values())
                )
                if self._stopped:
                    return
                case = next(c for c in self._cases.values() if c.whole and not c.done)
            try:
                self._conclude(case)
            except Exception:
                log.exception("take %s could not be reviewed", case.take, extra={"take": case.take})
            with self._changed:
                case.done = True
                case.seen.clear()
                self._changed.notify_all()

    def _conclude(self, case: _Case) -> None:
        filed = self._photographs(case.take)
        end = time.monotonic() + self._limits.timeout_s
        with self._changed:
            for camera, sha256 in filed.items():
                self._ask(case, camera, sha256)
            while not self._stopped and len(case.seen) < len(case.asked) and (left := end - time.monotonic()) > 0:
                self._changed.wait(left)
            if self._stopped:
                return
            late = PhotographFindings(problem=f"not looked at within {self._limits.timeout_s:g} s")
            seen = {camera: case.seen.get(camera, late) for camera in filed}
        review, measures = self._review(case, seen)
        with transaction(self._engine) as tx:
            save_review(tx, review, measures)
        self._reviewed(case.take)
        for check in review.advice:
            where = f"{check.camera}: " if check.camera else ""
            its = {"take": case.take, "camera": check.camera}
            reason = "see the review" if check.name == PERSON else check.reason  # who somebody is, no log says
            log.info("%s: %s%s", case.take, where, reason, extra=its)

    def _review(
        self, case: _Case, seen: dict[str, PhotographFindings]
    ) -> tuple[TakeReviewData, dict[str, PhotographMeasure]]:
        with reading(self._engine) as tx:
            row = get_take(tx, case.take)
            absent = {a.camera: SHEET_WORDS[a.kind] for a in absences_of(tx, row.id) if a.camera not in seen}
            expression, recipe = row.expression.name, recipe_of(row.expression)
            usual = baselines(tx, case.take, self._limits.baseline_takes)
            neutral = neutral_scores(tx, case.take)
            question = self._question(tx, case.take, seen)
        scores = face_scores(seen, self._limits)
        person = self._person(question) if question is not None else None
        checks = judge(
            CheckContext(seen, usual, self._frontal, self._limits, absent, expression, recipe, scores, neutral, person)
        )
        sheet = None
        with suppress(RecordError, OSError):  # no room for a picture of pictures: the results count more
            sheet = self._store.put_bytes(self._sheet(case.take, expression, seen, checks, absent))
        measures = {
            camera: PhotographMeasure(one.sharpness, one.brightness, one.clipped_percent, one.face)
            for camera, one in seen.items()
            if not one.problem
        }
        seconds = (time.monotonic_ns() - case.last_ns) / 1e9
        return TakeReviewData(case.take, seconds, tuple(checks), sheet, scores), measures

    def _question(self, tx: Session, take: str, seen: Mapping[str, PhotographFindings]) -> PersonQuestion | None:
        """Whether to ask who a neutral shows; by the frontal views that see the face best."""
        if not (self._limits.same_person and self._frontal):
            return None
        best = sorted((camera for camera, one in seen.items() if one.face), key=lambda name: -seen[name].frontal)
        return question_of(tx, take, best)

    def _person(self, question: PersonQuestion) -> PersonAnswer:
        """What a check process says, once no fire is near. Whatever goes wrong is its answer."""
        if question.why_not:
            return PersonAnswer(question.subject, None, question.why_not)
        with self._changed:
            self._changed.wait_for(lambda: self._open or self._stopped)
        try:
            now, *before = ([str(self._store.local_path(s)) for s in one] for one in (question.now, *question.before))
            least = self._limits.min_face_views
            asked = self._processes().submit(check_process.same_person, now, before, least)
            return answer_of(question, asked.result(self._limits.timeout_s))
        except BrokenProcessPool:
            return PersonAnswer(question.subject, None, "the check process died while it was looked at")
        except Exception as error:  # as a photograph that cannot be examined: the take is judged all the same
            return PersonAnswer(question.subject, None, f"it could not be examined: {type(error).__name__}")

    def _sheet(
        self,
        take: str,
        expression: str,
        seen: dict[str, PhotographFindings],
        checks: list[CheckResult],
        absent: dict[str, str],
    ) -> bytes:
        flagged: dict[str, str] = {}
        for check in checks:
            if check.camera:
                flagged[check.camera] = f"{flagged.get(check.camera, '')} {check.name}".strip()
        count = sum(check.state.value == "advice" for check in checks)
        title = f"{take}  {expression}  {len(seen)} photographs, {count or 'nothing'} to look at"
        if absent:
            title += f", without {', '.join(absent)}"
        thumbnails = {camera: one.thumbnail for camera, one in seen.items()} | dict.fromkeys(absent, b"")
        tiles = [(c.name, thumbnails[c.name]) for c in self._rig.cameras if c.name in thumbnails]
        return contact_sheet(title, tiles, flagged, absent)
