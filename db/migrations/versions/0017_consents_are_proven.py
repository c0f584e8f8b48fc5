"""Guardians and shared forms of consents; what was put right of a subject; takes withdrawn; terms of keeping."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

SCOPES = ("research_release", "publication", "eyes_mosaicked")


def upgrade() -> None:
    with op.batch_alter_table("consent", schema=None) as batch_op:
        batch_op.add_column(sa.Column("guardian", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.add_column(sa.Column("shared_reason", sa.String(length=200), nullable=True))
    op.create_table(
        "subject_change",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=False),
        sa.Column("field", sa.String(length=16), nullable=False),
        sa.Column("before", sa.String(length=100), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("field in ('age', 'gender', 'job')", name=op.f("ck_subject_change_known_field")),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_subject_change_subject_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subject_change")),
    )
    op.create_index(op.f("ix_subject_change_subject_id"), "subject_change", ["subject_id"], unique=False)
    op.create_table(
        "take_withdrawal",
        sa.Column("take_id", sa.Integer(), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("erasure_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["take_id"], ["take.id"], name=op.f("fk_take_withdrawal_take_id")),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasure.id"], name=op.f("fk_take_withdrawal_erasure_id")),
        sa.PrimaryKeyConstraint("take_id", name=op.f("pk_take_withdrawal")),
    )
    op.create_table(
        "retention_term",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subject_id", sa.Integer(), nullable=False),
        sa.Column("scope", sa.String(length=24), nullable=False),
        sa.Column("until", sa.Date(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "scope IN ({})".format(", ".join(f"'{scope}'" for scope in SCOPES)),
            name=op.f("ck_retention_term_consent_scope"),
        ),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.id"], name=op.f("fk_retention_term_subject_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retention_term")),
    )
    op.create_index(op.f("ix_retention_term_subject_id"), "retention_term", ["subject_id"], unique=False)


def downgrade() -> None:
    unfinished = op.get_bind().scalar(
        sa.text(
            "SELECT count(*) FROM take_withdrawal JOIN erasure ON erasure.id = take_withdrawal.erasure_id"
            " WHERE erasure.finished_at IS NULL"
        )
    )
    if unfinished:  # the older program would take it for the erasure of the whole person
        raise RuntimeError(f"the erasure of {unfinished} takes is unfinished: finish it before going back")
    # The older schema knows no withdrawn takes: none of them may stand for its expression there.
    op.execute(
        "UPDATE take SET state = 'superseded' WHERE state IN ('captured', 'accepted')"
        " AND id IN (SELECT take_id FROM take_withdrawal)"
    )
    op.drop_index(op.f("ix_retention_term_subject_id"), table_name="retention_term")
    op.drop_table("retention_term")
    op.drop_table("take_withdrawal")
    op.drop_index(op.f("ix_subject_change_subject_id"), table_name="subject_change")
    op.drop_table("subject_change")
    with op.batch_alter_table("consent", schema=None) as batch_op:
        batch_op.drop_column("shared_reason")
        batch_op.drop_column("guardian")
