"""Review of a selection: what was signed is what is built, held line for line against what may leave now.

A line that says more than the records allow is refused. One that says less (a line `publication` that the reviewer
took out, an expression, a whole subject) keeps that back. Nothing is taken for its default.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta

from db.engine import utc_now
from db.models import ConsentScope
from processing.release.formats.errors import SelectionError, SignatureError
from processing.release.studio.selection.derived_selection import SelectedModel
from processing.release.studio.selection.selection import SelectedSubject, SelectedTake, Selection, Skipped
from processing.release.studio.selection.selection_file import Reviewed, SubjectLine, consents_of, digest, digest_of
from processing.release.studio.selection.selection_signers import Signer, signed_by

_SHOWN = 40


def require_review(reviewed: Reviewed, signature: bytes | None, signers: Sequence[Signer] | None) -> Reviewed:
    """The file with whoever signed it. signers: those whom the studio trusts; None: a name by hand is enough.

    Raises SelectionError where [review] is not filled in, SignatureError where the signature lacks or does not fit.
    """
    path, review = reviewed.path, reviewed.file.review
    lacking = [
        *(["`by` (your name)"] if not review.by.strip() else []),
        *([f"`on` (the day, as in on = {utc_now().date()})"] if review.on is None else []),
    ]
    if lacking:
        raise SelectionError(
            f"{path} is not reviewed: [review] lacks {' and '.join(lacking)}; read the file, then fill that in"
        )
    assert review.on is not None
    if review.on > utc_now().date() + timedelta(days=1):  # the reviewer's day may have begun before UTC's
        raise SelectionError(f"{path} is not reviewed yet: [review] says `on` = {review.on}, and that day is to come")
    if signature is None and signers is None:
        return reviewed
    if signature is None:
        raise SignatureError(
            f"{path} carries no signature, and studio.toml names who may sign ([release] signers): sign it with "
            "minisign -Sm, or with ssh-keygen -Y sign -n mien-selection, and give --signature FILE"
        )
    if signers is None:
        raise SignatureError(
            "--signature: studio.toml does not say whose signatures count; name a file under [release] signers"
        )
    try:
        return replace(reviewed, signer=signed_by(reviewed.data, signature, signers))
    except SignatureError as error:
        raise SignatureError(f"the signature of {path} is refused: {error}") from None


def narrowed(selection: Selection, reviewed: Reviewed) -> Selection:
    """What the file publishes, out of what may leave now.

    Raises SelectionError naming every line that the records contradict.
    """
    may = {subject.code: subject for subject in selection.subjects}
    why_not = {skipped.subject: skipped.why for skipped in selection.skipped if not skipped.take}
    problems: list[str] = []
    chosen: list[SelectedSubject] = []
    skipped: list[Skipped] = []
    for line in reviewed.file.subject:
        subject = may.get(line.code)
        if line.code not in selection.known:
            problems.append(f"{line.code}  has nothing that may leave: it is no subject of this studio")
        elif line.decision != "publish":
            skipped.append(Skipped(line.code, "", f"{line.decision}: {line.why}", "left_out"))
        elif subject is None:
            problems.append(f"{line.code}  {why_not.get(line.code, 'has nothing that may leave')}")
        else:
            problems += _contradictions(line, subject, selection)
            chosen.append(_kept(line, subject, skipped))
    models, wrong = _models(selection, reviewed)
    problems += wrong
    listed = {line.code for line in reviewed.file.subject}
    skipped += [Skipped(code, "", "is not in the reviewed file", "left_out") for code in may if code not in listed]
    if problems:
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        what = "\n  ".join([*problems[:_SHOWN], *more])
        raise SelectionError(f"{reviewed.path} no longer holds; run mien release select again and review it:\n  {what}")
    skipped += [s for s in selection.skipped if s.subject in {subject.code for subject in chosen}]
    return replace(selection, subjects=tuple(chosen), skipped=tuple(skipped), models=models)


def _models(selection: Selection, reviewed: Reviewed) -> tuple[tuple[SelectedModel, ...], list[str]]:
    """The models that the file publishes, and what the records contradict."""
    may = {(model.name, model.version): model for model in selection.models}
    why_not = {kept.name: kept.why for kept in selection.models_kept}
    chosen, problems = [], []
    for line in reviewed.file.model:
        if line.decision != "publish":
            continue
        model = may.get((line.name, line.version))
        if model is None:
            problems.append(f"model {line.name} {line.version}  {why_not.get(line.name, 'may not leave any more')}")
        elif line.files != digest_of(sha256 for _, sha256 in model.files):
            problems.append(f"model {line.name} {line.version}  was made anew since the review")
        else:
            chosen.append(model)
    return tuple(chosen), problems


def _kept(line: SubjectLine, subject: SelectedSubject, skipped: list[Skipped]) -> SelectedSubject:
    """The subject as its lines want it. What the reviewer took out is noted in `skipped`."""
    kept = tuple(take for take in subject.takes if take.label in line.takes)
    skipped += [
        Skipped(line.code, take.code, "left out by the reviewer", "left_out", take.label)
        for take in subject.takes
        if take.label not in line.takes
    ]
    mosaic = subject.mosaic or line.eyes_mosaicked
    subject = subject.with_takes(kept)
    if subject.rig is not None and not line.rig:
        subject = replace(subject, rig=None, no_rig="left out by the reviewer")
    if subject.publishable and line.publication is None:
        kept = tuple(_without_photographs(take) for take in kept)
        return replace(subject, takes=kept, mosaic=mosaic, publishable=False, kept_back=True)
    return replace(subject, takes=kept, mosaic=mosaic)


def _contradictions(line: SubjectLine, subject: SelectedSubject, selection: Selection) -> list[str]:
    found = list(_of_consents(line, subject, selection))
    shown = subject.publishable or line.publication is None
    takes = {take.label: take for take in subject.takes}
    here = {take.code for take in subject.takes if take.label in line.takes}
    for label, made_from in line.takes.items():
        take = takes.get(label)
        if take is None:
            reasons = (s.why for s in selection.skipped if s.subject == line.code and s.label == label)
            found.append(f"{line.code} {label}  {next(reasons, 'may not leave')}")
        elif shown and made_from not in _digests(take, line):
            found.append(f"{line.code} {label}  was processed anew since the review")
    if line.rig and (subject.rig is None or line.rig != digest_of(subject.rig.files.values())):
        found.append(f"{line.code}  its rig {subject.no_rig or 'was made anew since the review'}")
    for code in line.left_out:
        if code in here:
            found.append(f"{line.code}  {code} stands among [subject.takes] and under [subject.left_out]")
        elif not code.startswith(f"{line.code}-"):
            found.append(f"{line.code}  {code} under [subject.left_out] is no take of this subject")
    return found


def _of_consents(line: SubjectLine, subject: SelectedSubject, selection: Selection) -> Iterable[str]:
    now = consents_of(subject)
    withdrawn = selection.withdrawn.get(line.code, {})
    said: dict[ConsentScope, date | None] = {
        ConsentScope.RESEARCH_RELEASE: line.research_release,
        ConsentScope.PUBLICATION: line.publication,
    }
    for scope, day in said.items():
        given = now.get(scope)
        if day is None or given == day:
            continue
        if given is None:
            since = withdrawn.get(scope)
            yield f"{line.code}  " + (
                f"its consent to {scope} was withdrawn on {since}"
                if since
                else f"the records have no consent to {scope} that is valid on {selection.day}, the file one of {day}"
            )
        else:
            to = "" if scope == ConsentScope.RESEARCH_RELEASE else f" to {scope}"
            yield f"{line.code}  the records have a consent{to} of {given}, the file one of {day}"
    if subject.mosaic and not line.eyes_mosaicked:
        yield f"{line.code}  consented with eyes mosaicked; the file says otherwise"
    for scope in ConsentScope:
        if scope == ConsentScope.STATISTICAL_MODEL:  # models stand for themselves
            continue
        key = f"{scope}_form"
        if scope == ConsentScope.PUBLICATION and (line.publication is None or str(scope) not in now):
            continue  # kept back by the reviewer, or refused above
        if scope in said and now.get(scope) != said[scope]:
            continue  # another consent altogether
        form, wanted = getattr(line, key), now.get(key)
        if form != wanted:
            yield (
                f"{line.code}  the form of its consent to {scope} is '{wanted or 'none'}' in the records, "
                f"'{form or 'none'}' in the file"
            )


def _digests(take: SelectedTake, line: SubjectLine) -> set[str]:
    """What the file may say of a take. Without photographs these may have been part of it, or not yet."""
    own = {digest(take)}
    return own if line.publication is not None else own | {digest(_without_photographs(take))}


def _without_photographs(take: SelectedTake) -> SelectedTake:
    return replace(take, photographs={})
