"""What may leave, as far as the records tell: coverage, what holds each subject back, earlier releases and holders."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from controller.study.stage_outputs import RELEASED_STAGES
from db.consents.capture_consent import today
from db.engine import reading
from db.models import Fetch, Notice, ReleaseItem
from db.release_records.releases import list_releases
from db.reports.expression_coverage import ExpressionCoverage, expression_coverage, holds_of
from db.reports.study_overview import CoverageCell, coverage


@dataclass(frozen=True)
class ReleaseLine:
    """One version of a release."""

    name: str
    version: int
    state: str
    finished_at: datetime | None
    subjects: int
    takes: int
    withdrawn: int  # takes whose consent ended, or was narrowed, since
    holders: int  # grants under which it went out
    complete: int  # of them, those that have all of it
    problem: str | None


@dataclass(frozen=True)
class NoticeCount:
    """Notices of a release: what its holders were told to delete."""

    release: str
    written: int
    sent: int
    confirmed: int


@dataclass(frozen=True)
class ReleaseOverview:
    """The study before its next release."""

    day: date
    coverage: ExpressionCoverage
    holds: dict[str, int]  # what holds back -> subjects
    people: tuple[CoverageCell, ...]  # by gender and ten years of age
    releases: tuple[ReleaseLine, ...]  # the newest first
    notices: tuple[NoticeCount, ...]


def release_overview(engine: Engine) -> ReleaseOverview:
    """As the records have it now."""
    with reading(engine) as tx:
        day = today()
        found = expression_coverage(tx, day, RELEASED_STAGES)
        people = tuple(coverage(tx, day))
        return ReleaseOverview(day, found, dict(holds_of(found.subjects)), people, _releases(tx), _notices(tx))


def _releases(tx: Session) -> tuple[ReleaseLine, ...]:
    left: dict[int, tuple[int, int, int]] = {}
    items = select(
        ReleaseItem.release_id, func.count(ReleaseItem.subject_id.distinct()), func.count(),
        func.count(ReleaseItem.withdrawn_at),
    )  # fmt: skip
    for release, subjects, takes, withdrawn in tx.execute(items.group_by(ReleaseItem.release_id)):
        left[release] = (subjects, takes, withdrawn)
    held = select(Fetch.release_id, func.count(), func.count(Fetch.complete_at)).group_by(Fetch.release_id)
    holders = {release: (count, whole) for release, count, whole in tx.execute(held)}
    lines = [
        ReleaseLine(
            row.name, row.version, row.state.value, row.finished_at, *left.get(row.id, (0, 0, 0)),
            *holders.get(row.id, (0, 0)), row.problem,
        )
        for row in list_releases(tx)
    ]  # fmt: skip
    return tuple(reversed(lines))


def _notices(tx: Session) -> tuple[NoticeCount, ...]:
    written: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    confirmed: Counter[str] = Counter()
    for name, sent_at, confirmed_at in tx.execute(select(Notice.release_name, Notice.sent_at, Notice.confirmed_at)):
        written[name] += 1
        sent[name] += sent_at is not None
        confirmed[name] += confirmed_at is not None
    return tuple(NoticeCount(name, written[name], sent[name], confirmed[name]) for name in sorted(written))
