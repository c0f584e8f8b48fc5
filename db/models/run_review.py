"""What a stage run said of its own result: accept it, have a person look at it, or do it again."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, Text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.models.base import Base, Sha256, checked, sha256_constraint
from db.models.farm import Job


class RunVerdict(StrEnum):
    """accept, review (a person looks at it), redo (the take or the run is to be made anew)."""

    ACCEPT = "accept"
    REVIEW = "review"
    REDO = "redo"


class RunReview(Base):
    """One a stage run that judges its result."""

    __tablename__ = "run_review"
    __table_args__ = (
        Index("ix_run_review_verdict", "verdict"),
        Index("ix_run_review_picture", "picture"),
        sha256_constraint("picture"),
    )

    job_id: Mapped[int] = mapped_column(ForeignKey("job.id"), primary_key=True)
    verdict: Mapped[RunVerdict] = mapped_column(checked(RunVerdict))
    reasons: Mapped[str] = mapped_column(Text)  # one a line, the worst first; empty when it is accepted
    figures: Mapped[Mapping[str, Any]]  # what was measured, names with units
    picture: Mapped[str | None] = mapped_column(Sha256)  # a picture of it for a person, in the store
    reviewed_at: Mapped[datetime]

    job: Mapped[Job] = relationship()
