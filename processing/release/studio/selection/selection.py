"""Selection of what may leave the studio: subjects by their consents, and takes whose every file is there.

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

from common.take_codes import SubjectCode, TakeLabel
from db.consents.scope_consents import consenting_subjects, masked_subjects
from db.consents.withdrawals import withdrawn_scopes, withdrawn_takes
from db.models import CaptureSession, ConsentScope, ProtocolExpression, Subject
from db.release_records.releases import GivenConsent, ReleasedCapture, ReleasedRun, accepted_counts, open_consents
from db.stage_runs.ready_takes import ReadyTake, ready_takes
from db.store import Store
from processing.files.stage_files import read_json
from processing.release.formats.errors import ReleaseError
from processing.release.formats.released_files import (
    DISPLACEMENT,
    DISPLACEMENT_EXR,
    LAYOUT,
    MESH,
    SCAN,
    TEXTURE,
    ReleasedFile,
)
from processing.release.formats.tombstones import WhyNot
from processing.release.studio.selection.derived_selection import (
    SelectedModel,
    SelectedRig,
    SkippedModel,
    find_rigs,
    select_models,
)
from processing.release.studio.selection.release_inputs import (
    NotReleasable,
    ReleaseInputs,
    StoredFiles,
    find_release_inputs,
)
from processing.release.studio.selection.selection_rules import Quality, quality_problem
from processing.stages.outputs import LANDMARKS


@dataclass(frozen=True)
class Photograph:
    """One view of a take."""

    #: In the store.
    sha256: str
    #: Of its camera, where that is known.
    serial: str | None


@dataclass(frozen=True)
class SelectedTake:
    """A take that leaves, and the SHA-256 of its files in the store."""

    #: The take's row.
    take_id: int
    #: As in 'S012-1-E02-1'.
    code: str
    #: Of the expression, '2_smile'.
    label: str
    scan: str
    mesh: str
    template: str
    texture: str
    displacement: str
    #: How it was photographed.
    capture: ReleasedCapture
    #: 'scan', 'mesh', ... -> the stage run that made it: released_files.LAYOUT.run_names.
    runs: Mapping[str, ReleasedRun]
    #: params.json of the views that the scan used, as put right.
    cameras: str | None = None
    #: What the registration said.
    report: str | None = None
    #: The displacement in millimetres, where its stage wrote it.
    exr: str | None = None
    #: The landmarks that were detected.
    landmarks: str | None = None
    #: View -> photograph.
    photographs: Mapping[int, Photograph] = field(default_factory=dict)
    #: View -> why the take is whole without it, "aside" or "decided".
    absent: Mapping[int, str] = field(default_factory=dict)

    def made(self, file: ReleasedFile) -> str | None:
        """The file that a stage made for this place in a release; None where it made none."""
        run = self.runs.get(LAYOUT.run_names[file.stage])
        return None if run is None else run.outputs.get(file.output)

    @property
    def hashes(self) -> list[str]:
        """Of all that is needed to release it."""
        used = (self.cameras, self.report, self.exr, self.landmarks, *map(self.made, LAYOUT.stage_files))
        made = [self.scan, self.mesh, self.template, self.texture, self.displacement]
        made += [sha256 for sha256 in used if sha256 is not None]
        return [*dict.fromkeys(made), *(photograph.sha256 for photograph in self.photographs.values())]

    @property
    def named(self) -> TakeLabel:
        """Its label as position and name."""
        return TakeLabel.parse(self.label)

    @property
    def position(self) -> int:
        """2 of '2_smile'."""
        return self.named.position

    @property
    def is_neutral(self) -> bool:
        """Whether it is the face at rest."""
        return self.named.is_neutral


@dataclass(frozen=True)
class SelectedSubject:
    """A subject that leaves."""

    #: The subject's row.
    subject_id: int
    #: As in 'S012'.
    code: str
    #: Its folder's name in FaceScape's layout.
    index: int
    #: Years; None where it was not said.
    age: int | None
    gender: str | None
    #: Whether pictures of it may be shown.
    publishable: bool
    #: All labels of its protocol.
    expected: tuple[str, ...]
    takes: tuple[SelectedTake, ...]
    #: Whether its eyes are mosaicked.
    mosaic: bool = False
    #: By scope.
    consents: Mapping[str, GivenConsent] = field(default_factory=dict)
    #: Whether the reviewer keeps photographs back that the consent would allow.
    kept_back: bool = False
    #: None where none leaves.
    rig: SelectedRig | None = None
    #: Why none does.
    no_rig: str = ""

    def with_takes(self, takes: tuple[SelectedTake, ...]) -> "SelectedSubject":
        """The subject with these takes; without a rig that was made of another one: what stays is in nothing."""
        here = {take.label for take in takes}
        stay = [label for label in self.rig.takes if label not in here] if self.rig else []
        if not stay:
            return replace(self, takes=takes)
        return replace(self, takes=takes, rig=None, no_rig=f"it was made of {', '.join(stay)} too, which stays")

    def with_rig(self, found: SelectedRig | str) -> "SelectedSubject":
        """The subject with its rig, or with why it has none."""
        if isinstance(found, str):
            return replace(self, rig=None, no_rig=found)
        return replace(self, rig=found, no_rig="").with_takes(self.takes)


@dataclass(frozen=True)
class Skipped:
    """What stays, and why."""

    #: The subject's code.
    subject: str
    #: The take's code; empty where the whole subject stays.
    take: str
    #: For people.
    why: str
    #: For holders of earlier versions; None where the consent is what keeps it here.
    kind: WhyNot | None = None
    #: Of the take, '2_smile'.
    label: str = ""


@dataclass(frozen=True)
class Waiting:
    """How many of a subject's accepted takes may come yet."""

    #: All of them.
    accepted: int = 0
    #: Those that are not processed yet.
    unprocessed: int = 0
    #: Those in sessions that are not closed.
    unclosed: int = 0


@dataclass(frozen=True)
class Selection:
    """A release's contents, decided on one day."""

    #: Consents are judged on it.
    day: date
    subjects: tuple[SelectedSubject, ...]
    #: What stays.
    skipped: tuple[Skipped, ...]
    #: Code -> scope -> the last day on which it was withdrawn.
    withdrawn: Mapping[str, Mapping[str, date]] = field(default_factory=dict)
    #: Code -> takes that may come yet.
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    #: All codes of the studio.
    known: frozenset[str] = frozenset()
    #: Face models that leave.
    models: tuple[SelectedModel, ...] = ()
    #: Those that stay.
    models_kept: tuple[SkippedModel, ...] = ()


@dataclass(frozen=True)
class _Conditions:
    """What is asked of every take."""

    tx: Session
    store: Store
    #: What the store has.
    filed: StoredFiles
    quality: Quality
    #: Takes that were withdrawn by themselves.
    withdrawn: Collection[int]


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
    conditions = _Conditions(tx, store, StoredFiles(store), quality or Quality(), withdrawn_takes(tx))
    by_subject: dict[str, list[ReadyTake]] = {}
    for take in ready_takes(tx):
        by_subject.setdefault(take.subject, []).append(take)
    given = open_consents(tx, {takes[0].subject_id for takes in by_subject.values()})
    withdrawn = withdrawn_scopes(tx)
    subjects: list[SelectedSubject] = []
    skipped: list[Skipped] = []
    sessions: dict[str, str] = {}
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
        chosen, left = _subject(conditions, takes, subject_id in may_show)
        skipped += left
        if chosen is not None:
            subjects.append(replace(chosen, consents=consents, mosaic=subject_id in masked))
            whole = {take.take_id for take in chosen.takes}
            sessions[code] = next(take.session for take in takes if take.take_id in whole)
    _refuse_equal_folders(subjects)
    rigs = find_rigs(tx, conditions.filed, sessions)
    models, kept = select_models(tx, conditions.filed, day) if not only else ((), [])
    return Selection(
        day,
        tuple(subject.with_rig(rigs[subject.code]) for subject in subjects),
        tuple(skipped),
        withdrawn,
        _waiting(tx, skipped, only),
        frozenset(codes),
        models,
        tuple(kept),
    )


def _waiting(tx: Session, skipped: Sequence[Skipped], only: Sequence[str] | None) -> dict[str, Waiting]:
    unprocessed = Counter(s.subject for s in skipped if s.kind == "unprocessed")
    return {
        code: Waiting(accepted, unprocessed[code], unclosed)
        for code, (accepted, unclosed) in accepted_counts(tx).items()
        if not only or code in only
    }


def _subject(
    conditions: _Conditions, takes: Sequence[ReadyTake], publishable: bool
) -> tuple[SelectedSubject | None, list[Skipped]]:
    by_session: dict[str, list[ReadyTake]] = {}
    for take in takes:
        by_session.setdefault(take.session, []).append(take)
    known = find_release_inputs(conditions.tx, [take.take_id for take in takes], photographs=publishable)
    skipped: list[Skipped] = []
    chosen: SelectedSubject | None = None
    for session, members in reversed(by_session.items()):
        if chosen is not None:
            newer = "a newer session of this subject is released"
            skipped += [Skipped(t.subject, t.code, newer, "replaced", t.label) for t in members]
            continue
        whole: list[SelectedTake] = []
        for take in members:
            if take.take_id in conditions.withdrawn:
                skipped.append(Skipped(take.subject, take.code, "this take was withdrawn", None, take.label))
                continue
            try:
                whole.append(_take(conditions, known, take, publishable))
            except NotReleasable as why:
                skipped.append(Skipped(take.subject, take.code, str(why), why.kind, take.label))
        if whole:
            chosen = _described(conditions.tx, members[0], session, tuple(whole), publishable)
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
        index=SubjectCode.parse(subject.code).number,
        age=subject.age,
        gender=str(subject.gender) if subject.gender else None,
        publishable=publishable,
        expected=tuple(expression.label for expression in expressions),
        takes=whole,
    )


def _take(conditions: _Conditions, known: ReleaseInputs, take: ReadyTake, publishable: bool) -> SelectedTake:
    family = known.family(take.take_id)
    files = family.files
    template = known.templates.get(family.mesh.job_id)
    if template is None:
        raise NotReleasable("the registration does not say which template it used")
    capture = known.captures[take.take_id]
    if publishable and capture.calibration_id is None:
        raise NotReleasable("its session has no calibration")
    photographs = {view: Photograph(*shown) for view, shown in known.photographs.get(take.take_id, {}).items()}
    runs = {name: known.runs[artefact.job_id] for name, artefact in files.items()}
    used = {(stage, artefact.output): artefact.sha256 for stage, artefact in known.used[family.mesh.id]}
    selected = SelectedTake(
        take_id=take.take_id,
        code=take.code,
        label=take.label,
        scan=family.scan.sha256,
        mesh=family.mesh.sha256,
        template=template,
        texture=files[TEXTURE.name].sha256,
        displacement=files[DISPLACEMENT.name].sha256,
        capture=capture,
        runs=runs,
        cameras=runs[SCAN.name].outputs.get("cameras"),
        report=runs[MESH.name].outputs.get("report"),
        exr=runs[DISPLACEMENT.name].outputs.get(DISPLACEMENT_EXR.output),
        landmarks=used.get(LANDMARKS),
        photographs=photographs,
        absent=known.absent.get(take.take_id, {}),
    )
    lacking = [file.output for file in LAYOUT.stage_files if file.required and selected.made(file) is None]
    if lacking:
        raise NotReleasable(f"no {lacking[0]} yet; see: mien farm graph", "unprocessed")
    gone = [sha256[:12] for sha256 in selected.hashes if sha256 not in conditions.filed]
    if gone:
        raise NotReleasable(f"the store lacks {', '.join(gone)}")
    said = registration_report(conditions.store, selected)
    problem = quality_problem(conditions.quality, runs[SCAN.name].verdict, said, capture.exposure_skew_ms)
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
