"""Routes of subjects: who they are to an operator, how their consent stands, and how a signed form is recorded."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from fastapi import APIRouter
from fastapi.params import Depends
from pydantic import Field

from controller.api.request_body import Body
from controller.studio import Studio
from controller.study.subject_records import SignedConsent
from db.consents.consent_rules import SignedForm
from db.models import ConsentScope, Gender


class ConsentBody(Body):
    """A form that was signed. The form itself stays where it is; its hash is kept."""

    scopes: list[ConsentScope] = Field(min_length=1, max_length=len(ConsentScope))
    given_on: date  # the day of the signature
    document_sha256: str
    form_version: str
    guardian: bool = False  # a guardian signed
    shared_form: str | None = None  # why it is other subjects' form as well

    def signed(self) -> SignedConsent:
        """As the records take it."""
        form = SignedForm(self.document_sha256, self.form_version, self.guardian, self.shared_form or None)
        return SignedConsent(self.scopes, self.given_on, form)


class SubjectBody(Body):
    """A new subject; what it says of itself is voluntary."""

    age: int | None = None  # years
    gender: Gender | None = None
    consent: ConsentBody | None = None


def subject_router(studio: Studio, run: Sequence[Depends], manage: Sequence[Depends]) -> APIRouter:
    """/api/subjects. run: what who runs sessions must pass; manage: what who records consents must pass."""
    api = APIRouter(prefix="/api/subjects")

    @api.get("", dependencies=run)
    def subjects() -> dict[str, Any]:
        return {"subjects": [asdict(subject) for subject in studio.study.subjects.all()]}

    @api.get("/{subject}/rig", dependencies=run)
    def rig(subject: str) -> dict[str, Any]:
        found = studio.study.subjects.rig(subject)
        return {"rig": None if found is None else asdict(found)}

    @api.post("", dependencies=run)
    def add(body: SubjectBody) -> dict[str, Any]:
        return asdict(studio.study.subjects.add(body.age, body.gender, None))

    @api.post("/consenting", dependencies=manage)
    def add_consenting(body: SubjectBody) -> dict[str, Any]:
        consent = body.consent.signed() if body.consent is not None else None
        return asdict(studio.study.subjects.add(body.age, body.gender, consent))

    @api.post("/{subject}/consents", dependencies=manage)
    def consent(subject: str, body: ConsentBody) -> dict[str, Any]:
        return asdict(studio.study.subjects.record_consent(subject, body.signed()))

    return api
