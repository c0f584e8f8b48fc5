"""What operators decide, so that it can be taken back; former codes of takes; takes that were dropped."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

KINDS = ("consent_later", "without", "fire", "accept", "drop", "skip", "unskip", "reassign", "calibrate", "close")


def upgrade() -> None:
    op.add_column("take", sa.Column("dropped_at", sa.DateTime(timezone=True), nullable=True))
    detail = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    kinds = ", ".join(f"'{kind}'" for kind in KINDS)
    op.create_table(
        "session_act",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.Integer(), nullable=False),
        sa.Column("take_id", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("detail", detail, nullable=True),
        sa.Column("by", sa.String(length=100), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undone_by", sa.String(length=100), nullable=True),
        sa.CheckConstraint(f"kind IN ({kinds})", name=op.f("ck_session_act_act_kind")),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("fk_session_act_session_id")),
        sa.ForeignKeyConstraint(["take_id"], ["take.id"], name=op.f("fk_session_act_take_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_session_act")),
    )
    op.create_index("ix_session_act_session_id", "session_act", ["session_id"])
    op.create_table(
        "former_take_code",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("take_id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("session_id", sa.Integer(), nullable=False),
        sa.Column("expression_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["expression_id"], ["protocol_expression.id"], name=op.f("fk_former_take_code_expression_id")
        ),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("fk_former_take_code_session_id")),
        sa.ForeignKeyConstraint(["take_id"], ["take.id"], name=op.f("fk_former_take_code_take_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_former_take_code")),
        sa.UniqueConstraint("code", name=op.f("uq_former_take_code_code")),
    )
    op.create_index("ix_former_take_code_take_id", "former_take_code", ["take_id"])
    op.create_index("ix_former_take_code_session_id_expression_id", "former_take_code", ["session_id", "expression_id"])


def downgrade() -> None:
    op.drop_table("former_take_code")
    op.drop_table("session_act")
    with op.batch_alter_table("take", schema=None) as batch_op:
        batch_op.drop_column("dropped_at")
