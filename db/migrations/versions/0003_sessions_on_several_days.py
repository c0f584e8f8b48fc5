"""Skipped expressions, settings profiles, what was sent for a take, and the calibration of each take."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "skipped_expression",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.Integer(), nullable=False),
        sa.Column("expression_id", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("skipped_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(reason) > 0", name=op.f("ck_skipped_expression_has_reason")),
        sa.ForeignKeyConstraint(
            ["expression_id"],
            ["protocol_expression.id"],
            name=op.f("fk_skipped_expression_expression_id"),
        ),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("fk_skipped_expression_session_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_skipped_expression")),
        sa.UniqueConstraint("session_id", "expression_id", name=op.f("uq_skipped_expression_session_id_expression_id")),
    )
    with op.batch_alter_table("session", schema=None) as batch_op:
        batch_op.add_column(sa.Column("profile", sa.String(length=32), server_default="default", nullable=False))
    with op.batch_alter_table("take", schema=None) as batch_op:
        batch_op.add_column(sa.Column("profile", sa.String(length=32), server_default="default", nullable=False))
        batch_op.add_column(sa.Column("setup", JSON, nullable=True))
        batch_op.add_column(sa.Column("calibration_id", sa.Integer(), nullable=True))
        batch_op.create_foreign_key(batch_op.f("fk_take_calibration_id"), "calibration", ["calibration_id"], ["id"])
    op.execute(
        "UPDATE take SET calibration_id = (SELECT calibration_id FROM session WHERE session.id = take.session_id)"
    )


def downgrade() -> None:
    with op.batch_alter_table("take", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_take_calibration_id"), type_="foreignkey")
        batch_op.drop_column("calibration_id")
        batch_op.drop_column("setup")
        batch_op.drop_column("profile")
    with op.batch_alter_table("session", schema=None) as batch_op:
        batch_op.drop_column("profile")
    op.drop_table("skipped_expression")
