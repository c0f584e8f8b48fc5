"""Runs of subjects and studies, models and their members, consent to be part of a statistical model."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

SCOPES = ("research_release", "publication", "eyes_mosaicked")


def upgrade() -> None:
    _scopes((*SCOPES, "statistical_model"))
    with op.batch_alter_table("job_input", schema=None) as batch_op:
        batch_op.add_column(sa.Column("label", sa.String(length=80), nullable=False, server_default=sa.text("''")))
        batch_op.drop_constraint(batch_op.f("uq_job_input_job_id_name"), type_="unique")
        batch_op.create_unique_constraint(batch_op.f("uq_job_input_job_id_name_label"), ["job_id", "name", "label"])
    op.create_table(
        "job_subject",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_subject_job_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_job_subject_subject_id")),
        sa.PrimaryKeyConstraint("job_id", "subject_id", name=op.f("pk_job_subject")),
    )
    op.create_index(op.f("ix_job_subject_subject_id"), "job_subject", ["subject_id"], unique=False)
    op.create_table(
        "face_model",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=True),
        sa.Column("selection_sha256", sa.String(length=64), nullable=False),
        sa.Column("selection", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("marked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("version >= 1", name=op.f("ck_face_model_version_from_1")),
        _hash("key"),
        _hash("selection_sha256"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_face_model_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_face_model")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_face_model_name_version")),
    )
    op.create_index(op.f("ix_face_model_job_id"), "face_model", ["job_id"], unique=False)
    leaving = sa.Enum("consent", "take", name="leaving", native_enum=False, create_constraint=True, length=24)
    op.create_table(
        "face_model_member",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=False),
        sa.Column("left_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("why", leaving, nullable=True),
        sa.ForeignKeyConstraint(["model_id"], ["face_model.id"], name=op.f("fk_face_model_member_model_id")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_face_model_member_subject_id")),
        sa.PrimaryKeyConstraint("model_id", "subject_id", name=op.f("pk_face_model_member")),
    )
    op.create_index(op.f("ix_face_model_member_subject_id"), "face_model_member", ["subject_id"], unique=False)
    op.create_table(
        "release_model",
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name=op.f("fk_release_model_release_id")),
        sa.ForeignKeyConstraint(["model_id"], ["face_model.id"], name=op.f("fk_release_model_model_id")),
        sa.PrimaryKeyConstraint("release_id", "model_id", name=op.f("pk_release_model")),
    )
    op.create_index(op.f("ix_release_model_model_id"), "release_model", ["model_id"], unique=False)


def downgrade() -> None:
    op.drop_table("release_model")
    op.drop_table("face_model_member")
    op.drop_table("face_model")
    # The older schema knows runs of takes alone. What such runs made stays, with what it was made from, for an erasure
    # finds it there; what has not been made is not asked for any more.
    op.execute(
        "CREATE TEMPORARY TABLE run_not_made AS SELECT DISTINCT job.id FROM job JOIN job_subject"
        " ON job_subject.job_id = job.id WHERE job.state <> 'done'"
    )
    op.drop_table("job_subject")
    op.execute("DELETE FROM job_input WHERE job_id IN (SELECT id FROM run_not_made)")
    op.execute("DELETE FROM job WHERE id IN (SELECT id FROM run_not_made)")
    op.execute("DROP TABLE run_not_made")
    op.execute("UPDATE job_input SET name = substr(name, 1, 40) || ' ' || id WHERE label <> ''")
    with op.batch_alter_table("job_input", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_job_input_job_id_name_label"), type_="unique")
        batch_op.drop_column("label")
        batch_op.create_unique_constraint(batch_op.f("uq_job_input_job_id_name"), ["job_id", "name"])
    for table in ("consent", "retention_term"):
        op.execute(f"DELETE FROM {table} WHERE scope = 'statistical_model'")
    _scopes(SCOPES)


def _hash(column: str) -> sa.CheckConstraint:
    said = f"length({column}) = 64 and {column} = lower({column})"
    return sa.CheckConstraint(said, name=op.f(f"ck_face_model_{column}_hex"))


def _scopes(allowed: tuple[str, ...]) -> None:
    listed = ", ".join(f"'{scope}'" for scope in allowed)
    for table in ("consent", "retention_term"):
        with op.batch_alter_table(table, schema=None) as batch_op:
            name = batch_op.f(f"ck_{table}_consent_scope")
            batch_op.drop_constraint(name, type_="check")
            batch_op.create_check_constraint(name, f"scope IN ({listed})")
