"""What may leave the studio: the consent gate, and takes whose every file is there.

A subject leaves only with a research-release consent that was given on or before the day and never withdrawn; its
photographs only with the publication scope as well. A take leaves only when it is accepted, its session is closed, and
scan, mesh, texture and relief belong together by lineage and are in the store.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.consents.scope_consents import consenting_subjects, masked_subjects
from db.consents.withdrawals import withdrawn_scopes, withdrawn_takes
from db.models import CaptureSession, ConsentScope, ProtocolExpression, Subject
from db.release_records.releases import GivenConsent, ReleasedCapture, ReleasedRun, accepted_counts, open_consents
from db.stage_runs.ready_takes import ReadyTake, ready_takes
from db.store import Store
from processing.files.stage_files import read_json
from processing.release.formats.errors import ReleaseError
from processing.release.formats.tombstones import WhyNot
from processing.release.studio.release_inputs import (
    LANDMARKS,
    NotReleasable,
    ReleaseInputs,
    StoredFiles,
    find_release_inputs,
)
from processing.release.studio.selection_rules import Quality, quality_problem


@dataclass(frozen=True)
class Photograph:
    """One view of a take."""

    sha256: str
    serial: str | None


@dataclass(frozen=True)
class SelectedTake:
    """A take that leaves, and the hashes of its files in the store. label: '2_smile'.

    runs: 'scan', 'mesh', 'texture' and 'displacement' -> the stage run that made it.  params: its calibration.
    cameras: params.json of the views that the scan used, as put right.  report: what the registration said.  exr: the
    displacement in millimetres, where its stage wrote it.  absent: view -> why the take is whole without it, "aside" or
    "decided".
    """

    take_id: int
    code: str
    label: str
    scan: str
    mesh: str
    template: str
    texture: str
    displacement: str
    capture: ReleasedCapture
    runs: Mapping[str, ReleasedRun]
    cameras: str | None = None
    report: str | None = None
    exr: str | None = None
    landmarks: str | None = None
    photographs: Mapping[int, Photograph] = field(default_factory=dict)
    absent: Mapping[int, str] = field(default_factory=dict)

    @property
    def hashes(self) -> list[str]:
        made = [self.scan, self.mesh, self.template, self.texture, self.displacement]
        made += [sha256 for sha256 in (self.cameras, self.report, self.exr, self.landmarks) if sha256 is not None]
        return made + [photograph.sha256 for photograph in self.photographs.values()]

    @property
    def position(self) -> int:
        """2 of '2_smile'."""
        return int(self.label.partition("_")[0])

    @property
    def is_neutral(self) -> bool:
        return self.label.partition("_")[2] == "neutral"


@dataclass(frozen=True)
class SelectedSubject:
    """A subject that leaves. index: its folder's name in FaceScape's layout; expected: all labels of its protocol.

    publishable: pictures may be shown.  mosaic: with the eyes mosaicked.  consents: by scope.  kept_back: the reviewer
    keeps photographs back that the consent would allow.
    """

    subject_id: int
    code: str
    index: int
    age: int | None
    gender: str | None
    publishable: bool
    expected: tuple[str, ...]
    takes: tuple[SelectedTake, ...]
    mosaic: bool = False
    consents: Mapping[str, GivenConsent] = field(default_factory=dict)
    kept_back: bool = False


@dataclass(frozen=True)
class Skipped:
    """What stays, and why. take is empty where the whole subject stays.

    kind: for holders of earlier versions; None where the consent is what keeps it here.  label: of the take, '2_smile'.
    """

    subject: str
    take: str
    why: str
    kind: WhyNot | None = None
    label: str = ""


@dataclass(frozen=True)
class Waiting:
    """Of a subject's accepted takes: how many there are, are not processed yet, lie in sessions that are not closed."""

    accepted: int = 0
    unprocessed: int = 0
    unclosed: int = 0


@dataclass(frozen=True)
class Selection:
    """A release's contents, decided on one day.

    withdrawn: code -> scope -> the last day on which it was withdrawn.  waiting: code -> takes that may come yet.
    known: all codes of the studio.
    """

    day: date
    subjects: tuple[SelectedSubject, ...]
    skipped: tuple[Skipped, ...]
    withdrawn: Mapping[str, Mapping[str, date]] = field(default_factory=dict)
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    known: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Gate:
    """What is asked of every take."""

    tx: Session
    store: Store
    filed: StoredFiles
    quality: Quality
    alone: Collection[int]  # takes that were withdrawn by themselves


def select_takes(
    tx: Session, store: Store, day: date, *, only: Sequence[str] | None = None, quality: Quality | None = None
) -> Selection:
    """Subjects and takes that may leave on `day`; `only` narrows to these subject codes and never widens.

    Of a subject captured in several sessions the newest with a whole take is chosen, so that all of its expressions
    were registered from one neutral. Raises ReleaseError for a code in `only` that nobody has.
    """
    codes = dict(tx.execute(select(Subject.code, Subject.id)).all())
    unknown = sorted(set(only or ()) - set(codes))
    if unknown:
        raise ReleaseError(f"No subject {', '.join(unknown)}; see: mien subject list")
    may_leave = consenting_subjects(tx, ConsentScope.RESEARCH_RELEASE, day)
    may_show = consenting_subjects(tx, ConsentScope.PUBLICATION, day)
    masked = masked_subjects(tx, day)
    gate = _Gate(tx, store, StoredFiles(store), quality or Quality(), withdrawn_takes(tx))
    by_subject: dict[str, list[ReadyTake]] = {}
    for take in ready_takes(tx):
        by_subject.setdefault(take.subject, []).append(take)
    given = open_consents(tx, {takes[0].subject_id for takes in by_subject.values()})
    withdrawn = withdrawn_scopes(tx)
    subjects: list[SelectedSubject] = []
    skipped: list[Skipped] = []
    for code, takes in by_subject.items():
        if only and code not in only:
            continue
        subject_id = takes[0].subject_id
        consents = given.get(subject_id, {})
        undated = [scope for scope, consent in consents.items() if consent.day is None]
        if undated:
            skipped.append(Skipped(code, "", f"its consent to {', '.join(undated)} has no date"))
            continue
        if subject_id not in may_leave:
            closed = withdrawn.get(code, {}).get(ConsentScope.RESEARCH_RELEASE)
            since = (
                f"; it was withdrawn on {closed}" if closed and ConsentScope.RESEARCH_RELEASE not in consents else ""
            )
            skipped.append(Skipped(code, "", f"no research-release consent that is valid on {day}{since}"))
            continue
        chosen, left = _subject(gate, takes, subject_id in may_show)
        skipped += left
        if chosen is not None:
            subjects.append(replace(chosen, consents=consents, mosaic=subject_id in masked))
    _refuse_equal_folders(subjects)
    return Selection(day, tuple(subjects), tuple(skipped), withdrawn, _waiting(tx, skipped, only), frozenset(codes))


def _waiting(tx: Session, skipped: Sequence[Skipped], only: Sequence[str] | None) -> dict[str, Waiting]:
    unprocessed = Counter(s.subject for s in skipped if s.kind == "unprocessed")
    return {
        code: Waiting(accepted, unprocessed[code], unclosed)
        for code, (accepted, unclosed) in accepted_counts(tx).items()
        if not only or code in only
    }


def _subject(
    gate: _Gate, takes: Sequence[ReadyTake], publishable: bool
) -> tuple[SelectedSubject | None, list[Skipped]]:
    by_session: dict[str, list[ReadyTake]] = {}
    for take in takes:
        by_session.setdefault(take.session, []).append(take)
    known = find_release_inputs(gate.tx, [take.take_id for take in takes], photographs=publishable)
    skipped: list[Skipped] = []
    chosen: SelectedSubject | None = None
    for session, members in reversed(by_session.items()):
        if chosen is not None:
            newer = "a newer session of this subject is released"
            skipped += [Skipped(t.subject, t.code, newer, "replaced", t.label) for t in members]
            continue
        whole: list[SelectedTake] = []
        for take in members:
            if take.take_id in gate.alone:
                skipped.append(Skipped(take.subject, take.code, "this take was withdrawn", None, take.label))
                continue
            try:
                whole.append(_take(gate, known, take, publishable))
            except NotReleasable as why:
                skipped.append(Skipped(take.subject, take.code, str(why), why.kind, take.label))
        if whole:
            chosen = _described(gate.tx, members[0], session, tuple(whole), publishable)
    return chosen, skipped


def _described(
    tx: Session, take: ReadyTake, session: str, whole: tuple[SelectedTake, ...], publishable: bool
) -> SelectedSubject:
    subject = tx.get_one(Subject, take.subject_id)
    expressions = tx.scalars(
        select(ProtocolExpression)
        .join(CaptureSession, CaptureSession.protocol_id == ProtocolExpression.protocol_id)
        .where(CaptureSession.code == session)
        .order_by(ProtocolExpression.position)
    )
    return SelectedSubject(
        subject_id=subject.id,
        code=subject.code,
        index=int(subject.code[1:]),
        age=subject.age,
        gender=str(subject.gender) if subject.gender else None,
        publishable=publishable,
        expected=tuple(expression.label for expression in expressions),
        takes=whole,
    )


def _take(gate: _Gate, known: ReleaseInputs, take: ReadyTake, publishable: bool) -> SelectedTake:
    family = known.family(take.take_id)
    scan, mesh, texture, displacement = family.scan, family.mesh, family.texture, family.displacement
    template = known.templates.get(mesh.job_id)
    if template is None:
        raise NotReleasable("the registration does not say which template it used")
    capture = known.captures[take.take_id]
    if publishable and capture.calibration_id is None:
        raise NotReleasable("its session has no calibration")
    photographs = {view: Photograph(*shown) for view, shown in known.photographs.get(take.take_id, {}).items()}
    runs = {name: known.runs[artefact.job_id] for name, artefact in family.files().items()}
    used = {(stage, artefact.output): artefact.sha256 for stage, artefact in known.used[mesh.id]}
    selected = SelectedTake(
        take_id=take.take_id,
        code=take.code,
        label=take.label,
        scan=scan.sha256,
        mesh=mesh.sha256,
        template=template,
        texture=texture.sha256,
        displacement=displacement.sha256,
        capture=capture,
        runs=runs,
        cameras=runs["scan"].outputs.get("cameras"),
        report=runs["mesh"].outputs.get("report"),
        exr=runs["displacement"].outputs.get("exr"),
        landmarks=used.get(LANDMARKS),
        photographs=photographs,
        absent=known.absent.get(take.take_id, {}),
    )
    gone = [sha256[:12] for sha256 in selected.hashes if sha256 not in gate.filed]
    if gone:
        raise NotReleasable(f"the store lacks {', '.join(gone)}")
    said = registration_report(gate.store, selected)
    problem = quality_problem(gate.quality, runs["scan"].verdict, said, capture.exposure_skew_ms)
    if problem is not None:
        raise NotReleasable(problem, "quality")
    return selected


def registration_report(store: Store, take: SelectedTake) -> Mapping[str, Any]:
    """What the registration said of itself; empty where it said nothing."""
    if take.report is None:
        return {}
    report = read_json(store.local_path(take.report))
    inner = report.get("report")
    return inner if isinstance(inner, dict) else report


def _refuse_equal_folders(subjects: Sequence[SelectedSubject]) -> None:
    seen: dict[int, str] = {}
    for subject in subjects:
        if subject.index in seen:
            raise ReleaseError(f"Subjects {seen[subject.index]} and {subject.code} would share folder {subject.index}")
        seen[subject.index] = subject.code
