"""A receipt of what somebody consented to: in plain words, and as a record that programs read.

The fields and their names are those of ISO/IEC TS 27560:2023, "Consent record information structure"; the context gives
them their meaning in the Data Privacy Vocabulary of the W3C's community group (https://w3id.org/dpv). What the study
has not said in [records] of studio.toml is left out there, and named.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from common.plain_values import without_none
from db.audit import audit_log
from db.consents.study_settings import StudySettings
from db.engine import utc_now
from db.models import (
    Consent,
    ConsentScope,
    FaceModel,
    FaceModelMember,
    Learned,
    LearnedSubject,
    Release,
    ReleaseItem,
    ReleaseState,
    Subject,
)
from db.subject_data.retention import kept_until

SCHEMA = "ISO/IEC TS 27560:2023"
DPV_RECEIPT = "https://w3id.org/dpv/schema/dpv-27560#receipt"
ALLOWS = {
    ConsentScope.RESEARCH_RELEASE: (
        "the scans, the shapes and the surfaces of your face are given to researchers who sign a licence"
    ),
    ConsentScope.PUBLICATION: (
        "your photographs are given to these researchers too, and pictures of your face may be shown in papers, in"
        " talks and on web pages"
    ),
    ConsentScope.EYES_MOSAICKED: "pictures of your face are shown and given with the eyes made unrecognisable only",
    ConsentScope.STATISTICAL_MODEL: (
        "the shape of your face and of its expressions, and its colours, are averaged with those of many others into a"
        " statistical model of faces, or a network learns from them; both are given to others; faces that nobody has"
        " are made from them"
    ),
}
TITLES = {
    ConsentScope.RESEARCH_RELEASE: "Scans for research",
    ConsentScope.PUBLICATION: "Photographs and pictures",
    ConsentScope.EYES_MOSAICKED: "The eyes made unrecognisable",
    ConsentScope.STATISTICAL_MODEL: "Part of a statistical model",
}
DATA = {
    ConsentScope.RESEARCH_RELEASE: ("scans, meshes, textures and relief of the face", "age, gender and job, as said"),
    ConsentScope.PUBLICATION: ("photographs of the face", "pictures of the face"),
    ConsentScope.EYES_MOSAICKED: ("photographs and pictures of the face, the eyes mosaicked",),
    ConsentScope.STATISTICAL_MODEL: ("shape, expressions and colours of the face", "age group and gender, as said"),
}
_CONTEXT: Mapping[str, Any] = {
    "dpv": "https://w3id.org/dpv#",
    "dct": "http://purl.org/dc/terms/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "schema_version": "dct:conformsTo",
    "record_id": "dct:identifier",
    "pii_principal_id": "dpv:hasDataSubject",
    "privacy_notice": "dpv:hasNotice",
    "language": "dct:language",
    "purposes": "dpv:hasProcess",
    "purpose": "dpv:hasPurpose",
    "lawful_basis": "dpv:hasLegalBasis",
    "pii_information": "dpv:hasPersonalData",
    "pii_controllers": "dpv:hasDataController",
    "retention_period": "dpv:hasStorageCondition",
    "recipient_third_parties": "dpv:hasRecipient",
    "jurisdiction": "dpv:hasJurisdiction",
    "withdrawal_method": "dpv:isExercisedAt",
    "privacy_rights": "dpv:hasRight",
    "events": "dpv:hasConsentStatus",
    "event_time": {"@id": "dct:date", "@type": "xsd:date"},
    "party_name": "dpv:hasName",
    "party_contact": "dpv:hasContact",
}
_RIGHTS = (
    "to see what is kept of you and have a copy", "to have it put right", "to allow less", "to withdraw, also one take",
    "to have it erased",
)  # fmt: skip


@dataclass(frozen=True)
class ReceiptScope:
    """One consent on a receipt."""

    id: int
    scope: ConsentScope
    given_on: date
    form_version: str | None
    form_sha256: str | None
    guardian: bool
    withdrawn_on: date | None
    until: date | None  # for how long; None: the study has not said


@dataclass(frozen=True)
class Receipt:
    """What a receipt says."""

    code: str
    made_at: datetime
    study: StudySettings
    scopes: tuple[ReceiptScope, ...]
    # where the subject's data went, and whether something of it is withdrawn there
    releases: tuple[tuple[str, bool], ...]
    # statistical models that the subject is in, learned weights among them, and whether it has left them
    models: tuple[tuple[str, bool], ...]
    erased_on: date | None

    @property
    def lacking(self) -> list[str]:
        """Keys of [records] without which it does not say all that it should."""
        return self.study.lacking([scope.scope for scope in self.scopes])


def make_receipt(tx: Session, subject: Subject, study: StudySettings) -> Receipt:
    """A receipt of all that a subject consented to, withdrawn or not; that one was made is in the audit log."""
    audit_log.record(tx, "subject.receipt", "subject", subject.code)
    return receipt_of(tx, subject, study)


def receipt_of(tx: Session, subject: Subject, study: StudySettings) -> Receipt:
    """As make_receipt, told to nobody."""
    rows = tx.scalars(select(Consent).where(Consent.subject_id == subject.id).order_by(Consent.id)).all()
    scopes = tuple(
        ReceiptScope(
            row.id, row.scope, row.given_on, row.form_version, row.document_sha256, row.guardian,
            None if row.withdrawn_at is None else row.withdrawn_at.date(),
            kept_until(tx, subject.id, row.scope, row.given_on, study),
        )
        for row in rows
    )  # fmt: skip
    went = (
        select(Release.name, Release.version, ReleaseItem.withdrawn_at)
        .join(ReleaseItem, ReleaseItem.release_id == Release.id)
        .where(ReleaseItem.subject_id == subject.id, Release.state == ReleaseState.COMPLETE)
        .order_by(Release.id)
    )
    releases: dict[str, bool] = {}
    for name, version, withdrawn in tx.execute(went):
        where = f"{name} {version}"
        releases[where] = releases.get(where, False) or withdrawn is not None
    erased = None if subject.erased_at is None else subject.erased_at.date()
    inside = (
        select(FaceModel.name, FaceModel.version, FaceModelMember.left_at)
        .join(FaceModelMember, FaceModelMember.model_id == FaceModel.id)
        .where(FaceModelMember.subject_id == subject.id)
        .order_by(FaceModel.id)
    )
    models = tuple((f"{name} {version}", left is not None) for name, version, left in tx.execute(inside))
    trained = (
        select(Learned.kind, Learned.sha256, LearnedSubject.left_at)
        .join(LearnedSubject, LearnedSubject.learned_id == Learned.id)
        .where(LearnedSubject.subject_id == subject.id)
        .order_by(Learned.id)
    )
    models += tuple((f"{kind} {sha256[:12]}", left is not None) for kind, sha256, left in tx.execute(trained))
    return Receipt(subject.code, utc_now(), study, scopes, tuple(releases.items()), models, erased)


def as_record(receipt: Receipt) -> dict[str, Any]:
    """The receipt for programs: JSON-LD with the fields of ISO/IEC TS 27560:2023."""
    study = receipt.study
    controller = {
        "party_id": "controller",
        "party_name": study.controller,
        "party_role": "PII controller",
        "party_contact": study.contact,
        "party_url": study.notice,
    }
    record: dict[str, Any] = without_none(
        {
            "@context": _CONTEXT,
            "@type": ["dpv:ConsentReceipt", DPV_RECEIPT],
            "receipt_metadata": {"receipt_time": receipt.made_at.astimezone(UTC).isoformat(timespec="seconds")},
            "record": {
                "schema_version": SCHEMA,
                "record_id": f"{receipt.code}-consents",
                "pii_principal_id": receipt.code,
            },
            "pii_processing": {
                "privacy_notice": study.notice,
                "language": "en",
                "purposes": [_purpose(receipt, scope) for scope in receipt.scopes],
            },
            "party_identification": [controller],
            "events": [event for scope in receipt.scopes for event in _events(receipt.code, scope)],
        }
    )
    return record


def _purpose(receipt: Receipt, scope: ReceiptScope) -> dict[str, Any]:
    study = receipt.study
    return {
        "consent_id": f"{receipt.code}-{scope.scope}-{scope.id}",
        "purpose": study.purpose,
        "purpose_type": str(scope.scope),
        "purpose_description": ALLOWS[scope.scope],
        "lawful_basis": "consent",
        "consent_form": {"version": scope.form_version, "sha256": scope.form_sha256, "guardian_signed": scope.guardian},
        "pii_information": [
            {"pii_type": what, "pii_optional": True, "special_pii_category": "face" in what}
            for what in DATA[scope.scope]
        ],
        "pii_controllers": ["controller"],
        "collection_method": "photographed in the study's rig; age, gender and job as the person says",
        "processing_method": "reconstruction, registration, storage, release under licence",
        "retention_period": None if scope.until is None else f"until {scope.until.isoformat()}",
        "jurisdiction": study.jurisdiction,
        "recipient_third_parties": [name for name, _ in receipt.releases],
        "withdrawal_method": _how_to_withdraw(receipt),
        "privacy_rights": list(_RIGHTS),
        "authority_party": study.authority,
    }


def _events(code: str, scope: ReceiptScope) -> list[dict[str, Any]]:
    of = {"consent_id": f"{code}-{scope.scope}-{scope.id}", "entity_id": code, "event_type": "explicit"}
    lasts = None if scope.until is None else f"until {scope.until.isoformat()}"
    given = {**of, "event_time": scope.given_on.isoformat(), "event_state": "consent given", "validity_duration": lasts}
    if scope.withdrawn_on is None:
        return [given]
    return [given, {**of, "event_time": scope.withdrawn_on.isoformat(), "event_state": "consent withdrawn"}]


def _how_to_withdraw(receipt: Receipt) -> str:
    contact = receipt.study.contact or "the study"
    return f"say so to {contact} with your code {receipt.code}, at any time and without a reason: all, or a part"


def as_text(receipt: Receipt) -> str:
    """The receipt for a person."""
    return "\n".join(line for title, lines in _sections(receipt) for line in ("", title, *(f"  {x}" for x in lines)))[
        1:
    ]


def as_html(receipt: Receipt) -> str:
    """The receipt for a person, as a page that needs nothing else and prints on one sheet."""
    parts = []
    for number, (title, lines) in enumerate(_sections(receipt)):
        tag = "h1" if number == 0 else "h2"
        body = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
        parts.append(f"<{tag}>{html.escape(title)}</{tag}>" + (f"<ul>{body}</ul>" if lines else ""))
    style = (
        "body{font:16px/1.5 Georgia,serif;max-width:42em;margin:2em auto;padding:0 1em;color:#111}"
        "h1{font-size:1.5em}h2{font-size:1.1em;margin:1.2em 0 .2em}ul{margin:.2em 0;padding-left:1.2em}"
        "@media print{body{font-size:12px;margin:0}}"
    )
    head = f"<meta charset='utf-8'><title>Consent receipt {html.escape(receipt.code)}</title><style>{style}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def _sections(receipt: Receipt) -> Sequence[tuple[str, list[str]]]:
    study, not_said = receipt.study, "not said by the study: ask it"
    who = [f"The study: {study.controller or not_said}", f"To reach it: {study.contact or not_said}"]
    sections = [
        (
            f"Receipt of consents: {receipt.code}",
            [f"Made on {receipt.made_at:%Y-%m-%d}. You are known by this code alone."],
        ),
        ("Who answers for your data", who),
        ("What for", [study.purpose or not_said, f"What you were told before you signed: {study.notice or not_said}"]),
    ]
    if receipt.erased_on is not None:
        sections.append(("Erased", [f"What was kept of you was erased on {receipt.erased_on}."]))
    for scope in receipt.scopes:
        sections.append((_title(scope), _lines(scope)))
    if not receipt.scopes:
        sections.append(("What you allowed", ["Nothing: no consent of yours is recorded, and nothing of you leaves."]))
    went = [
        f"{name}{': what you withdrew is marked there, for its holders to delete' if gone else ''}"
        for name, gone in receipt.releases
    ]
    went += [
        f"statistical model {name}{': you have left it; it is made again without you' if left else ''}"
        for name, left in receipt.models
    ]
    sections.append(("Where it went", went or ["Nowhere yet."]))
    rights = [f"You may ask at any time: {', '.join(_RIGHTS)}.", f"To withdraw: {_how_to_withdraw(receipt)}."]
    if study.authority:
        rights.append(f"You may complain to: {study.authority}")
    sections.append(("What you may ask for", rights))
    return sections


def _title(scope: ReceiptScope) -> str:
    allowed = f"{TITLES[scope.scope]}: you allowed this on {scope.given_on}"
    return allowed if scope.withdrawn_on is None else f"{allowed}, and withdrew it on {scope.withdrawn_on}"


def _lines(scope: ReceiptScope) -> list[str]:
    lines = [f"{ALLOWS[scope.scope].capitalize()} ({scope.scope})."]
    if scope.guardian:
        lines.append("A guardian signed for you.")
    if scope.form_version:
        digest = f"; its fingerprint (SHA-256) is {scope.form_sha256}" if scope.form_sha256 else ""
        lines.append(f"You signed version {scope.form_version} of the form{digest}.")
    if scope.withdrawn_on is None:
        lines.append(
            f"It is kept until {scope.until}." if scope.until else "For how long: not said by the study: ask it."
        )
    return lines
