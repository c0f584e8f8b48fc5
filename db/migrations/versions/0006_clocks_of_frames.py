"""How well each node's clock was known at the fire."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("frame", schema=None) as batch_op:
        batch_op.add_column(sa.Column("clock_uncertainty_ms", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("clock_source", sa.String(length=8), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("frame", schema=None) as batch_op:
        batch_op.drop_column("clock_source")
        batch_op.drop_column("clock_uncertainty_ms")
