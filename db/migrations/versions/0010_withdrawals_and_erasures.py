"""Consents name their form's version; publication with eyes mosaicked; what a withdrawal and an erasure leave."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SCOPES = ("research_release", "publication")


def upgrade() -> None:
    with op.batch_alter_table("consent", schema=None) as batch_op:
        batch_op.add_column(sa.Column("form_version", sa.String(length=32), nullable=True))
        _scopes(batch_op, (*SCOPES, "eyes_mosaicked"))
    with op.batch_alter_table("subject", schema=None) as batch_op:
        batch_op.add_column(sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("release_item", schema=None) as batch_op:
        batch_op.add_column(sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "erasure",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("shared", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_erasure_subject_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure")),
    )
    op.create_index(op.f("ix_erasure_subject_id"), "erasure", ["subject_id"], unique=False)
    op.create_table(
        "erasure_file",
        sa.Column("erasure_id", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.CheckConstraint("length(sha256) = 64 and sha256 = lower(sha256)", name=op.f("ck_erasure_file_sha256_hex")),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasure.id"], name=op.f("fk_erasure_file_erasure_id")),
        sa.PrimaryKeyConstraint("erasure_id", "sha256", name=op.f("pk_erasure_file")),
    )


def downgrade() -> None:
    unfinished = op.get_bind().scalar(sa.text("SELECT count(*) FROM erasure_file"))
    if unfinished:
        raise RuntimeError(f"an erasure is unfinished ({unfinished} files): finish it before going back")
    op.drop_table("erasure_file")
    op.drop_index(op.f("ix_erasure_subject_id"), table_name="erasure")
    op.drop_table("erasure")
    with op.batch_alter_table("release_item", schema=None) as batch_op:
        batch_op.drop_column("withdrawn_at")
    with op.batch_alter_table("subject", schema=None) as batch_op:
        batch_op.drop_column("erased_at")
    # The older schema knows no mosaicked pictures: whoever allowed these alone is shown to nobody there.
    op.execute(
        "UPDATE consent SET withdrawn_at = CURRENT_TIMESTAMP WHERE scope = 'publication' AND withdrawn_at IS NULL AND"
        " subject_id IN (SELECT subject_id FROM consent WHERE scope = 'eyes_mosaicked' AND withdrawn_at IS NULL)"
    )
    op.execute("DELETE FROM consent WHERE scope = 'eyes_mosaicked'")
    with op.batch_alter_table("consent", schema=None) as batch_op:
        _scopes(batch_op, SCOPES)
        batch_op.drop_column("form_version")


def _scopes(batch_op: "op.BatchOperations", allowed: tuple[str, ...]) -> None:  # type: ignore[name-defined]
    name = batch_op.f("ck_consent_consent_scope")
    batch_op.drop_constraint(name, type_="check")
    listed = ", ".join(f"'{scope}'" for scope in allowed)
    batch_op.create_check_constraint(name, f"scope IN ({listed})")
