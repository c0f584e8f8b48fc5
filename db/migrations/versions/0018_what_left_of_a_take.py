"""What left of a take: whether its eyes were mosaicked, and under which name."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("release_item", schema=None) as batch_op:
        batch_op.add_column(sa.Column("mosaicked", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch_op.add_column(sa.Column("label", sa.String(length=80), nullable=True))
    # The mosaic was made for whoever had asked for it by then. A mosaic that the reviewer alone wanted is not known
    # any more: its holders are told of pictures with eyes that have none.
    op.execute(
        "UPDATE release_item SET mosaicked = TRUE WHERE EXISTS (SELECT 1 FROM consent, release"
        " WHERE release.id = release_item.release_id AND consent.subject_id = release_item.subject_id"
        " AND consent.scope = 'eyes_mosaicked' AND consent.recorded_at <= release.finished_at"
        " AND (consent.withdrawn_at IS NULL OR consent.withdrawn_at > release.finished_at))"
    )
    op.execute(
        "UPDATE release_item SET label = (SELECT protocol_expression.position || '_' || protocol_expression.name"
        " FROM take, protocol_expression WHERE take.id = release_item.take_id"
        " AND protocol_expression.id = take.expression_id)"
    )


def downgrade() -> None:
    with op.batch_alter_table("release_item", schema=None) as batch_op:
        batch_op.drop_column("label")
        batch_op.drop_column("mosaicked")
