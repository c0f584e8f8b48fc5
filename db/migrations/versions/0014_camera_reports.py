"""Qualifications of camera bodies."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "camera_report",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("camera_id", sa.Integer(), nullable=True),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("serial", sa.String(length=64), nullable=False),
        sa.Column("firmware", sa.String(length=64), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "verdict",
            sa.Enum(
                "fit",
                "fit_with_remarks",
                "unfit",
                name="body_verdict",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("exposures", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("report", JSON, nullable=False),
        sa.CheckConstraint("exposures >= 0", name=op.f("ck_camera_report_exposures_from_0")),
        sa.CheckConstraint("length(sha256) = 64 and sha256 = lower(sha256)", name=op.f("ck_camera_report_sha256_hex")),
        sa.ForeignKeyConstraint(["camera_id"], ["camera.id"], name=op.f("fk_camera_report_camera_id_camera")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_camera_report")),
        sa.UniqueConstraint("sha256", name=op.f("uq_camera_report_sha256")),
    )
    op.create_index("ix_camera_report_body", "camera_report", ["model", "serial"], unique=False)
    op.create_index("ix_camera_report_camera_id", "camera_report", ["camera_id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_camera_report_camera_id", table_name="camera_report")
    op.drop_index("ix_camera_report_body", table_name="camera_report")
    op.drop_table("camera_report")
