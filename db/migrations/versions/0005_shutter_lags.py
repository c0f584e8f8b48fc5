"""Shutter lag by camera and settings profile."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shutter_lag",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("camera_id", sa.Integer(), nullable=False),
        sa.Column("profile", sa.String(length=32), nullable=False),
        sa.Column("settings", sa.String(length=300), nullable=False),
        sa.Column("shots", sa.Integer(), nullable=False),
        sa.Column("mean_ms", sa.Double(), nullable=False),
        sa.Column("sigma_ms", sa.Double(), nullable=False),
        sa.Column("measured_by", sa.String(length=24), nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("shots >= 2", name=op.f("ck_shutter_lag_repeated")),
        sa.CheckConstraint("sigma_ms >= 0", name=op.f("ck_shutter_lag_sigma_from_0")),
        sa.ForeignKeyConstraint(["camera_id"], ["camera.id"], name=op.f("fk_shutter_lag_camera_id_camera")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shutter_lag")),
    )
    with op.batch_alter_table("shutter_lag", schema=None) as batch_op:
        batch_op.create_index("ix_shutter_lag_camera_profile", ["camera_id", "profile"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("shutter_lag", schema=None) as batch_op:
        batch_op.drop_index("ix_shutter_lag_camera_profile")
    op.drop_table("shutter_lag")
