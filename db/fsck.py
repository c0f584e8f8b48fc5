"""Store and rows held against each other: what is missing, what has rotted, what nobody refers to; and mended.

Part by part (256, by the first two digits of the hashes), so that memory stays flat whatever the study's size. The
store is listed before the rows are read, and each finding is looked at once more before it is told or acted on, so it
may run beside a studio and a farm.
"""

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from shutil import rmtree

from sqlalchemy import Engine, delete, or_, select, update
from sqlalchemy.orm import Session

from common.progress import CountProgress
from db import store_identity as identity
from db.consents.withdrawals import stopped
from db.engine import reading, transaction, utc_now
from db.erasure.destructive_plan import Agreed, DestructiveEffect, DestructivePlan, small_only
from db.erasure.store_trash import TERM, OpenBatch, Trash
from db.errors import MissingObject, RottenObject, StoreError
from db.models import Artefact, ArtefactParent, Job, JobInput, JobState, RunReview, TakeReview
from db.store import SHARDS, Filed, Store
from db.store_parts.multipart_uploads import Upload, abort_upload, unfinished_uploads
from db.store_parts.store_references import (
    ARTEFACT,
    PHOTOGRAPH,
    RAW,
    SHEET,
    StoreReference,
    described,
    is_referenced,
    referenced,
)

GRACE = timedelta(hours=24)
MADE_ANEW = "made anew: its file in the store was gone"


class Trouble(StrEnum):
    """What may be wrong. The first two cost data, the others room, and they keep what should be gone."""

    MISSING = "missing"  # a row names a file that is not there
    ROTTEN = "rotten"  # its bytes have another hash or size
    ORPHAN = "orphan"  # no row names it
    STRAY = "stray"  # something in the store's folder that is no file of it
    LEFTOVER = "leftover"  # half-written: its writer died


@dataclass(frozen=True)
class Finding:
    """One trouble with a file of the store, or with a row that names one."""

    trouble: Trouble
    name: str
    about: tuple[str, ...] = ()  # what the rows call it
    mended: str = ""  # what was done, empty when nothing was


@dataclass
class FsckReport:
    """What was looked at and found."""

    read: bool  # every byte was read and hashed; else sizes were compared alone
    files: int = 0
    bytes: int = 0
    named: int = 0
    findings: list[Finding] = field(default_factory=list)
    identity: str = ""  # why store and database do not belong together; empty when they do

    @property
    def sound(self) -> bool:
        """Whether nothing is left to mend."""
        return not self.identity and all(finding.mended for finding in self.findings)


def fsck(
    engine: Engine,
    store: Store,
    *,
    read: bool = True,
    repair: bool = False,
    older_than: timedelta = GRACE,
    workers: int = 4,
    told: CountProgress = lambda _done, _all: None,
    agreed: Agreed = small_only,
) -> FsckReport:
    """Hold the store against the rows.

    read: hash every file; otherwise compare sizes alone.  repair: mend, once all has been looked at.  older_than: what
    nobody names yet and is younger is left alone, because its row may be on the way.  told: called with how many of the
    256 parts are done.  agreed: called with what would be done before any of it is, and refuses by raising.

    Raises, when `repair` is asked for and with nothing changed: IdentityError unless the store is this database's;
    NotConfirmed when more would go than may go unasked.
    """
    if repair:
        identity.require(engine, store)
        for sha256 in store.half_removed():
            store.recover(sha256)
    verdict = identity.check(engine, store)
    if verdict.standing is identity.IdentityStanding.NEW:  # to be marked by the first that changes anything
        verdict = identity.Verdict(identity.IdentityStanding.SAME)
    check = _Check(engine, store, repair, utc_now() - older_than, FsckReport(read, identity=verdict.message))
    with ThreadPoolExecutor(workers) as pool:
        there = set(store.shards())
        for number, shard in enumerate(SHARDS, start=1):
            check.shard(shard, store.shard(shard) if shard in there else ([], []), pool)
            told(number, len(SHARDS))
    check.rest()
    if repair:
        agreed(check.plan())
        identity.require(engine, store)  # the looking may have taken hours
        check.mend()
        identity.note(engine, store)
    return check.report


@dataclass(frozen=True)
class _Mending:
    """What is to be done about a finding."""

    finding: Finding
    kind: str  # which effect it counts for
    act: Callable[[], str | None]  # does it, and says what was done; None when it was no trouble any more


TO_TRASH, ASIDE, ANEW, FORGOTTEN, COPIES, OTHER = (
    *("files that no record names to the trash", "rotten files set aside", "lost artefacts given up to be made anew"),
    *("contact sheets forgotten", "copies on this machine removed", "other"),
)


@dataclass
class _Check:
    engine: Engine
    store: Store
    repair: bool
    cutoff: datetime
    report: FsckReport
    mendings: list[_Mending] = field(default_factory=list)
    copies: int = 0
    parts_away: int = 0
    trash: OpenBatch = field(init=False)

    def shard(self, shard: str, found: tuple[list[Filed], list[str]], pool: ThreadPoolExecutor) -> None:
        """Hold one part of the store, its files and strays, against the rows that name files of it."""
        filed = {file.sha256: file for file in found[0]}
        for path in found[1]:
            self._told(Trouble.STRAY, path)
        with reading(self.engine) as tx:
            named = referenced(tx, shard)
        self.report.files += len(filed)
        self.report.bytes += sum(file.bytes for file in filed.values())
        self.report.named += sum(referred.is_file for referred in named.values())
        missing = [sha256 for sha256, referred in named.items() if referred.is_file and sha256 not in filed]
        self.parts_away += bool(missing and self.store.lacks_part(missing[0]))
        for sha256 in missing:
            self._missing(sha256, named[sha256])
        orphans = [file for file in filed.values() if file.sha256 not in named]
        self._rotten([file for file in filed.values() if file.sha256 in named], named, pool)
        for file in orphans:
            self._orphan(file)
        for sha256 in self.store.cached():
            if sha256.startswith(shard):
                self.copies += 1
                if sha256 not in filed and sha256 not in named:
                    act = partial(self._dropped, sha256)
                    self._told(Trouble.ORPHAN, sha256, ("a copy on this machine",), COPIES, act)

    def rest(self) -> None:
        """What lies about beside the parts."""
        for path in self.store.strays():
            self._told(Trouble.STRAY, path)
        for left in self.store.leftovers(self.cutoff):
            self._told(Trouble.LEFTOVER, str(left), (), OTHER, partial(self._unlinked, left))
        for left in self._stale_notes():
            self._told(Trouble.LEFTOVER, str(left), (), OTHER, partial(self._noted, left))
        for upload in unfinished_uploads(self.store.fs, self.store.root, self.cutoff):
            act = partial(self._aborted, upload)
            self._told(Trouble.LEFTOVER, upload.key, ("an upload that never ended",), OTHER, act)

    def plan(self) -> DestructivePlan:
        """What mending would destroy or take away, of how much."""
        named = self.report.named
        totals = {TO_TRASH: self.report.files, ASIDE: self.report.files, ANEW: named, FORGOTTEN: named}
        totals |= {COPIES: self.copies}
        effects = [
            DestructiveEffect(kind, sum(m.kind == kind for m in self.mendings), all_) for kind, all_ in totals.items()
        ]
        if self.parts_away and any(mending.kind in (ANEW, FORGOTTEN) for mending in self.mendings):
            away = "parts of the store taken for lost, whose folders are not there"
            effects.append(DestructiveEffect(away, self.parts_away, len(SHARDS), always=True))
        how = "" if self.report.read else " --quick"
        return DestructivePlan(tuple(effects), f"mien db fsck{how} --repair")

    def mend(self) -> None:
        """Do what was agreed, each finding looked at once more; the report says what was done."""
        done: dict[int, Finding | None] = {}
        self.trash = Trash(self.store).begin("mien db fsck --repair")
        for mending in self.mendings:
            mended = mending.act()
            done[id(mending.finding)] = None if mended is None else replace(mending.finding, mended=mended)
        findings = (done.get(id(finding), finding) for finding in self.report.findings)
        self.report.findings = [finding for finding in findings if finding is not None]

    def _told(
        self,
        trouble: Trouble,
        name: str,
        about: Iterable[str] = (),
        kind: str = OTHER,
        act: Callable[[], str | None] | None = None,
    ) -> None:
        finding = Finding(trouble, name, tuple(about))
        self.report.findings.append(finding)
        if act is not None:
            self.mendings.append(_Mending(finding, kind, act))

    def _missing(self, sha256: str, referred: StoreReference) -> None:
        with reading(self.engine) as tx:
            if self.store.exists(sha256) or not is_referenced(tx, sha256):  # it came, or went, in between
                return
            about = described(tx, sha256)
        self._told(Trouble.MISSING, sha256, about, self._loss(sha256, referred), partial(self._found, sha256, referred))

    def _loss(self, sha256: str, referred: StoreReference) -> str:
        """Which effect mending a file that is not there has."""
        if self.store.sound_copy(sha256) or referred.kinds & {PHOTOGRAPH, RAW}:
            return OTHER
        return ANEW if ARTEFACT in referred.kinds else FORGOTTEN if SHEET in referred.kinds else OTHER

    def _found(self, sha256: str, referred: StoreReference) -> str | None:
        with reading(self.engine) as tx:
            if self.store.exists(sha256) or not is_referenced(tx, sha256):
                return None
        identity.still(self.engine, self.store)  # nothing is taken for lost in a store that went away just now
        return self._restored(sha256, referred)

    def _rotten(self, files: Collection[Filed], named: dict[str, StoreReference], pool: ThreadPoolExecutor) -> None:
        for file, rotten in zip(files, pool.map(lambda file: self._is_rotten(file, named), files), strict=True):
            if rotten:
                with reading(self.engine) as tx:
                    about = described(tx, file.sha256)
                act = partial(self._replaced, file.sha256, named[file.sha256])
                self._told(Trouble.ROTTEN, file.sha256, about, ASIDE, act)

    def _is_rotten(self, file: Filed, named: dict[str, StoreReference]) -> bool:
        size = named[file.sha256].bytes
        if size is not None and size != file.bytes:
            return True
        if not self.report.read:
            return False
        try:
            self.store.verify(file.sha256)
        except RottenObject:
            return True
        except MissingObject:  # erased in between
            return False
        return False

    def _replaced(self, sha256: str, referred: StoreReference) -> str | None:
        try:
            self.store.verify(sha256)
        except RottenObject:
            pass
        except MissingObject:
            return self._found(sha256, referred)
        else:
            if referred.bytes in (None, self.store.size(sha256)):  # put anew in between
                return None
        aside = self.store.set_aside(sha256)
        restored = self._restored(sha256, referred)
        return f"{restored}; the rotten one is {aside}" if restored else ""

    def _restored(self, sha256: str, referred: StoreReference) -> str:
        """Mend a file that is gone: from a copy, the trash, or by making it anew; empty where none can be."""
        copy = self.store.sound_copy(sha256)
        if copy is not None:
            self.store.put_file(copy, expected=sha256)
            return "put back from this machine's copy"
        bin_ = Trash(self.store)
        if any(bin_.put_back(path, sha256) for path in bin_.find(sha256)):
            return "put back from the trash"
        if referred.kinds & {PHOTOGRAPH, RAW}:
            return ""
        with transaction(self.engine) as tx:
            if ARTEFACT in referred.kinds:
                again = redo_runs(tx, sha256)
                return f"{again} stage runs are queued again" if again else ""
            if SHEET in referred.kinds:
                tx.execute(update(TakeReview).where(TakeReview.sheet == sha256).values(sheet=None))
                return "forgotten; mien session checks TAKE --again makes it anew"
        return ""

    def _orphan(self, file: Filed) -> None:
        if file.modified > self.cutoff:
            return
        with reading(self.engine) as tx:
            if is_referenced(tx, file.sha256):
                return
        about = (f"{file.bytes} bytes, put {file.modified:%Y-%m-%d %H:%M} UTC",)
        self._told(Trouble.ORPHAN, file.sha256, about, TO_TRASH, partial(self._thrown, file.sha256))

    def _thrown(self, sha256: str) -> str | None:
        with reading(self.engine) as tx:
            if is_referenced(tx, sha256):
                return None
        if self.trash.take(sha256, untouched_since=self.cutoff) is None:  # put again just now: no orphan any more
            return None
        return f"removed to the trash, for {TERM.days} days"

    def _dropped(self, sha256: str) -> str:
        self.store.drop_cached(sha256)
        return "removed"

    def _aborted(self, upload: Upload) -> str:
        abort_upload(self.store.fs, self.store.root, upload)
        return "removed"

    def _stale_notes(self) -> list[Path]:
        """Workers' notes of runs that are in the records, or were erased from them."""
        if self.store.folder is None:
            return []
        notes = {path.stem: path for path in (self.store.folder / "runs").glob("*.json")}
        with reading(self.engine) as tx:
            waiting = select(Job.key).where(Job.state != JobState.DONE)
            known = {key for key in notes if tx.scalar(waiting.where(Job.key == key)) is not None}
        old = self.cutoff.timestamp()
        return [path for key, path in sorted(notes.items()) if key not in known and path.stat().st_mtime < old]

    def _noted(self, path: Path) -> str:
        self.trash.take_path(path)
        return "removed to the trash"

    def _unlinked(self, path: Path) -> str:
        try:
            rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{path} cannot be removed: {error.strerror}") from error
        return "removed"


def redo_runs(tx: Session, sha256: str) -> int:
    """done -> queued for the runs that made this file and for all that was made from it; how many.

    Their artefacts' rows go: they come again with the runs. Photographs are not made by runs.
    """
    makers = select(Artefact.job_id).join(Job, Job.id == Artefact.job_id).where(Artefact.sha256 == sha256, ~stopped())
    again = set(tx.scalars(makers))
    fresh = again
    ended = Job.state.in_((JobState.DONE, JobState.FAILED))
    while fresh:
        query = select(JobInput.job_id).join(Job, Job.id == JobInput.job_id)
        fresh = set(tx.scalars(query.where(JobInput.from_job_id.in_(fresh), ended))) - again
        again |= fresh
    made = select(Artefact.id).where(Artefact.job_id.in_(again))
    lineage = or_(ArtefactParent.artefact_id.in_(made), ArtefactParent.parent_id.in_(made))
    tx.execute(delete(ArtefactParent).where(lineage))
    tx.execute(delete(RunReview).where(RunReview.job_id.in_(again)))
    tx.execute(delete(Artefact).where(Artefact.job_id.in_(again)))
    values = {"state": JobState.QUEUED, "attempts": 0, "worker": None, "finished_at": None, "error": MADE_ANEW}
    tx.execute(update(Job).where(Job.id.in_(again)).values(not_before=None, **values))
    return len(again)
