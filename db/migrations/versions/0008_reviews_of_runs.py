"""What stage runs say of their own results."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "run_review",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column(
            "verdict",
            sa.Enum(
                "accept", "review", "redo", name="run_verdict", native_enum=False, create_constraint=True, length=24
            ),
            nullable=False,
        ),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("figures", JSON, nullable=False),
        sa.Column("picture", sa.String(length=64), nullable=True),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(picture) = 64 and picture = lower(picture)", name=op.f("ck_run_review_picture_hex")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_run_review_job_id_job")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_run_review")),
    )
    op.create_index("ix_run_review_verdict", "run_review", ["verdict"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_run_review_verdict", table_name="run_review")
    op.drop_table("run_review")
