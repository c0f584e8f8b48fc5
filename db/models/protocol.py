"""A capture protocol: a versioned list of expressions. Data, never code."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from common.take_codes import TakeLabel
from db.models.base import Base


class Protocol(Base):
    """A named, versioned list of expressions. Never changed once used: a change is the next version."""

    __tablename__ = "protocol"
    __table_args__ = (UniqueConstraint("name", "version"), CheckConstraint("version >= 1", name="version_from_1"))

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[int]

    expressions: Mapped[list["ProtocolExpression"]] = relationship(
        back_populates="protocol", order_by="ProtocolExpression.position"
    )


class ProtocolExpression(Base):
    """One expression of a protocol, with what the operator says to the subject."""

    __tablename__ = "protocol_expression"
    __table_args__ = (
        UniqueConstraint("protocol_id", "position"),
        UniqueConstraint("protocol_id", "name"),
        CheckConstraint("position >= 1", name="position_from_1"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    protocol_id: Mapped[int] = mapped_column(ForeignKey("protocol.id"))
    position: Mapped[int]
    name: Mapped[str] = mapped_column(String(48))
    instruction: Mapped[str] = mapped_column(Text)
    recipe: Mapped[Mapping[str, Any] | None]  # what the face should score: see db.expression_recipes

    protocol: Mapped[Protocol] = relationship(back_populates="expressions")

    @property
    def label(self) -> str:
        """FaceScape's name of a take, as in '1_neutral'."""
        return str(TakeLabel(self.position, self.name))
