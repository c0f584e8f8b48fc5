"""Indexes for questions about a whole study, and for finding who refers to a file."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

GIVEN = sa.text("sha256 IS NOT NULL")


def upgrade() -> None:
    op.create_index(op.f("ix_consent_subject_id"), "consent", ["subject_id"], unique=False)
    op.create_index("ix_job_input_sha256", "job_input", ["sha256"], sqlite_where=GIVEN, postgresql_where=GIVEN)
    op.create_index("ix_take_review_sheet", "take_review", ["sheet"], unique=False)
    op.create_index("ix_run_review_picture", "run_review", ["picture"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_run_review_picture", table_name="run_review")
    op.drop_index("ix_take_review_sheet", table_name="take_review")
    op.drop_index("ix_job_input_sha256", table_name="job_input")
    op.drop_index(op.f("ix_consent_subject_id"), table_name="consent")
