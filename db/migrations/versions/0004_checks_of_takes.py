"""Checks of takes: measures of each photograph, reviews, their results; recipes of expressions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column("protocol_expression", sa.Column("recipe", JSON, nullable=True))
    op.create_table(
        "frame_measure",
        sa.Column("frame_id", sa.Integer(), nullable=False),
        sa.Column("sharpness", sa.Double(), nullable=True),
        sa.Column("brightness", sa.Double(), nullable=False),
        sa.Column("clipped_percent", sa.Double(), nullable=False),
        sa.Column("face", sa.Boolean(), nullable=True),
        sa.CheckConstraint("brightness >= 0 and brightness <= 255", name=op.f("ck_frame_measure_brightness_in_range")),
        sa.CheckConstraint(
            "clipped_percent >= 0 and clipped_percent <= 100", name=op.f("ck_frame_measure_clipped_in_range")
        ),
        sa.ForeignKeyConstraint(["frame_id"], ["frame.id"], name=op.f("fk_frame_measure_frame_id_frame")),
        sa.PrimaryKeyConstraint("frame_id", name=op.f("pk_frame_measure")),
    )
    op.create_table(
        "take_review",
        sa.Column("take_id", sa.Integer(), nullable=False),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("sheet", sa.String(length=64), nullable=True),
        sa.Column("scores", JSON, nullable=False),
        sa.CheckConstraint("length(sheet) = 64 and sheet = lower(sheet)", name=op.f("ck_take_review_sheet_hex")),
        sa.ForeignKeyConstraint(["take_id"], ["take.id"], name=op.f("fk_take_review_take_id_take")),
        sa.PrimaryKeyConstraint("take_id", name=op.f("pk_take_review")),
    )
    op.create_table(
        "take_check",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("take_id", sa.Integer(), nullable=False),
        sa.Column("camera_id", sa.Integer(), nullable=True),
        sa.Column("name", sa.String(length=24), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "ok", "advice", "not_done", name="check_state", native_enum=False, create_constraint=True, length=24
            ),
            nullable=False,
        ),
        sa.Column("measured", sa.Double(), nullable=True),
        sa.Column("bound", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["camera_id"], ["camera.id"], name=op.f("fk_take_check_camera_id_camera")),
        sa.ForeignKeyConstraint(["take_id"], ["take.id"], name=op.f("fk_take_check_take_id_take")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_take_check")),
    )
    op.create_index("ix_take_check_take_id", "take_check", ["take_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_take_check_take_id", table_name="take_check")
    op.drop_table("take_check")
    op.drop_table("take_review")
    op.drop_table("frame_measure")
    op.drop_column("protocol_expression", "recipe")
