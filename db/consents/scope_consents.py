"""Consents by scope: which subjects allow what on a day, as a release asks."""

from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Consent, ConsentScope


def consenting_subjects(tx: Session, scope: ConsentScope, day: date, *, lock: bool = False) -> set[int]:
    """Ids of subjects whose consent for `scope` was given on or before `day` and never withdrawn.

    lock: a withdrawal waits until this transaction ends (PostgreSQL; on SQLite a writing transaction has that anyway).
    """
    query = select(Consent.subject_id).where(
        Consent.scope == scope, Consent.withdrawn_at.is_(None), Consent.given_on <= day
    )
    return set(tx.scalars(query.with_for_update(read=True) if lock else query))


def masked_subjects(tx: Session, day: date) -> set[int]:
    """Subjects whose eyes may not be shown: they asked for the mosaic, and by `day` did not allow more since.

    Withdrawing publication takes its condition along. It must not show more than before: the eyes stay covered in
    textures and scans until publication is allowed anew without the condition.
    """
    rows = tx.execute(
        select(Consent.subject_id, Consent.scope, Consent.given_on, Consent.withdrawn_at)
        .where(Consent.scope.in_((ConsentScope.PUBLICATION, ConsentScope.EYES_MOSAICKED)))
        .order_by(Consent.id)
    )
    masked: set[int] = set()
    for subject_id, scope, given_on, withdrawn_at in rows:
        if scope == ConsentScope.EYES_MOSAICKED:
            masked.add(subject_id)
        elif withdrawn_at is None and given_on <= day:  # publication, given before its condition or without one
            masked.discard(subject_id)
    return masked
