"""Offset and drift of each node's clock at the fire."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("frame", schema=None) as batch_op:
        batch_op.add_column(sa.Column("clock_offset_ns", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("clock_drift_ppb", sa.Integer(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("frame", schema=None) as batch_op:
        batch_op.drop_column("clock_drift_ppb")
        batch_op.drop_column("clock_offset_ns")
