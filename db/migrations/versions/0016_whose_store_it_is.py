"""Database and store carry each other's identity; an erasure says what was not there."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "studio_identity",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("studio", sa.String(length=32), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("noting", sa.Integer(), nullable=False),
        sa.Column("noted", sa.Integer(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_studio_identity_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_studio_identity")),
    )
    with op.batch_alter_table("erasure", schema=None) as batch_op:
        batch_op.add_column(sa.Column("absent", sa.Integer(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("erasure", schema=None) as batch_op:
        batch_op.drop_column("absent")
    op.drop_table("studio_identity")
