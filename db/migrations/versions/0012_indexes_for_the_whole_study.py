"""Indexes that questions about a whole study need."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_consent_subject_id"), "consent", ["subject_id"], unique=False)
    op.create_index(op.f("ix_erasure_file_sha256"), "erasure_file", ["sha256"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_erasure_file_sha256"), table_name="erasure_file")
    op.drop_index(op.f("ix_consent_subject_id"), table_name="consent")
