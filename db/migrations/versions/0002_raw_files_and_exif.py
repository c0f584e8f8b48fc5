"""Raw files beside photographs; a photograph's own name and EXIF."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    op.add_column("frame", sa.Column("name", sa.String(length=200), nullable=True))
    op.add_column("frame", sa.Column("exif", JSON, nullable=True))
    op.create_table(
        "raw_file",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("take_id", sa.Integer(), nullable=False),
        sa.Column("camera_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("format", sa.String(length=8), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.CheckConstraint("bytes > 0", name=op.f("ck_raw_file_not_empty")),
        sa.CheckConstraint("length(sha256) = 64 and sha256 = lower(sha256)", name=op.f("ck_raw_file_sha256_hex")),
        sa.ForeignKeyConstraint(["camera_id"], ["camera.id"], name=op.f("fk_raw_file_camera_id")),
        sa.ForeignKeyConstraint(["take_id"], ["take.id"], name=op.f("fk_raw_file_take_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_raw_file")),
        sa.UniqueConstraint("take_id", "camera_id", name=op.f("uq_raw_file_take_id_camera_id")),
    )
    with op.batch_alter_table("raw_file", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_raw_file_sha256"), ["sha256"], unique=False)


def downgrade() -> None:
    op.drop_table("raw_file")
    with op.batch_alter_table("frame", schema=None) as batch_op:
        batch_op.drop_column("exif")
        batch_op.drop_column("name")
