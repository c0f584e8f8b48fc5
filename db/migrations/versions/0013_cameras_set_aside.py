"""Cameras set aside, and takes that are whole without a camera."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

OPEN = sa.text("lifted_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "camera_aside",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("camera_id", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("session_id", sa.Integer(), nullable=True),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_by", sa.String(length=16), nullable=True),
        sa.CheckConstraint("length(reason) > 0", name=op.f("ck_camera_aside_has_reason")),
        sa.CheckConstraint(
            "(lifted_at IS NULL) = (lifted_by IS NULL)", name=op.f("ck_camera_aside_lifted_for_a_reason")
        ),
        sa.ForeignKeyConstraint(["camera_id"], ["camera.id"], name=op.f("fk_camera_aside_camera_id")),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("fk_camera_aside_session_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_camera_aside")),
    )
    op.create_index(
        "uq_camera_aside_open", "camera_aside", ["camera_id"], unique=True, sqlite_where=OPEN, postgresql_where=OPEN
    )
    op.create_table(
        "take_absence",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("take_id", sa.Integer(), nullable=False),
        sa.Column("camera_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("came_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("length(reason) > 0", name=op.f("ck_take_absence_has_reason")),
        sa.CheckConstraint("kind IN ('aside', 'decided')", name=op.f("ck_take_absence_absence_kind")),
        sa.ForeignKeyConstraint(["camera_id"], ["camera.id"], name=op.f("fk_take_absence_camera_id")),
        sa.ForeignKeyConstraint(["take_id"], ["take.id"], name=op.f("fk_take_absence_take_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_take_absence")),
        sa.UniqueConstraint("take_id", "camera_id", name=op.f("uq_take_absence_take_id_camera_id")),
    )


def downgrade() -> None:
    op.drop_table("take_absence")
    op.drop_index("uq_camera_aside_open", table_name="camera_aside")
    op.drop_table("camera_aside")
