"""Which studio these records are of, and how far its store was told that they had come."""

from datetime import datetime

from sqlalchemy import CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class StudioIdentity(Base):
    """The one row of what the studio is called, and how far its store was told that the records had come.

    A store whose note is before `noted` is an older copy; one whose note is after `noting` has seen records that this
    database has not. See db.store_identity.
    """

    __tablename__ = "studio_identity"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    studio: Mapped[str] = mapped_column(String(32))  # the name that the store carries too
    made_at: Mapped[datetime]
    noting: Mapped[int]  # the last note to the store that was begun
    noted: Mapped[int]  # the last of which it is known that the store has it
