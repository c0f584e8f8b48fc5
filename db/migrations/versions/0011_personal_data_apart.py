"""What is personal of a subject: a table of its own, sealed."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "personal",
        sa.Column("subject_id", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_personal_subject_id")),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_personal")),
    )


def downgrade() -> None:
    op.drop_table("personal")
