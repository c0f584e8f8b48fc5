"""Learned weights, and whom they were trained on."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    kind = sa.Enum(
        "regressor", "detail", "avatar", name="learned_kind", native_enum=False, create_constraint=True, length=24
    )
    op.create_table(
        "learned_weights",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", kind, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=True),
        sa.Column("card", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("marked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "length(sha256) = 64 and sha256 = lower(sha256)", name=op.f("ck_learned_weights_sha256_hex")
        ),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name=op.f("fk_learned_weights_release_id")),
        sa.ForeignKeyConstraint(["model_id"], ["face_model.id"], name=op.f("fk_learned_weights_model_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_learned_weights")),
        sa.UniqueConstraint("sha256", name=op.f("uq_learned_weights_sha256")),
    )
    for column in ("release_id", "model_id"):
        op.create_index(op.f(f"ix_learned_weights_{column}"), "learned_weights", [column], unique=False)
    leaving = sa.Enum("consent", "take", name="leaving", native_enum=False, create_constraint=True, length=24)
    op.create_table(
        "learned_weights_subject",
        sa.Column("learned_id", sa.Integer(), nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=False),
        sa.Column("pictured", sa.Boolean(), nullable=False),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("why", leaving, nullable=True),
        sa.ForeignKeyConstraint(
            ["learned_id"], ["learned_weights.id"], name=op.f("fk_learned_weights_subject_learned_id")
        ),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_learned_weights_subject_subject_id")),
        sa.PrimaryKeyConstraint("learned_id", "subject_id", name=op.f("pk_learned_weights_subject")),
    )
    op.create_index(
        op.f("ix_learned_weights_subject_subject_id"), "learned_weights_subject", ["subject_id"], unique=False
    )


def downgrade() -> None:
    op.drop_table("learned_weights_subject")
    op.drop_table("learned_weights")
