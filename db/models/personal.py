"""Who a subject is: apart from everything else, optional, and unreadable without the studio's key."""

from datetime import datetime

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class Personal(Base):
    """Name and whatever else is needed to reach a subject, encrypted by db.subject_data.personal_data."""

    __tablename__ = "personal"

    subject_id: Mapped[int] = mapped_column(ForeignKey("subject.id"), primary_key=True)
    sealed: Mapped[str] = mapped_column(Text)
    changed_at: Mapped[datetime]
