"""Who holds which version of a release, under which licence, and what they were told."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
WAYS = ("server", "links", "handed")


def _hash(table: str, column: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(
        f"length({column}) = 64 and {column} = lower({column})", name=op.f(f"ck_{table}_{column}_hex")
    )


def upgrade() -> None:
    op.create_table(
        "recipient",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("institution", sa.String(length=200), nullable=True),
        sa.Column("contact", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("forgotten_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recipient")),
    )
    op.create_table(
        "signed_licence",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("recipient_id", sa.Integer(), nullable=False),
        sa.Column("release_name", sa.String(length=64), nullable=False),
        sa.Column("text_sha256", sa.String(length=64), nullable=False),
        sa.Column("text_version", sa.String(length=32), nullable=False),
        sa.Column("document_sha256", sa.String(length=64), nullable=False),
        sa.Column("signed_on", sa.Date(), nullable=False),
        sa.Column("accepted_by", sa.String(length=100), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
        _hash("signed_licence", "text_sha256"),
        _hash("signed_licence", "document_sha256"),
        sa.ForeignKeyConstraint(["recipient_id"], ["recipient.id"], name=op.f("fk_signed_licence_recipient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signed_licence")),
        sa.UniqueConstraint(
            "recipient_id",
            "release_name",
            "text_sha256",
            name=op.f("uq_signed_licence_recipient_id_release_name_text_sha256"),
        ),
    )
    op.create_table(
        "release_grant",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("recipient_id", sa.Integer(), nullable=False),
        sa.Column("release_name", sa.String(length=64), nullable=False),
        sa.Column("first_version", sa.Integer(), nullable=False),
        sa.Column("last_version", sa.Integer(), nullable=True),
        sa.Column("kinds", sa.String(length=200), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("first_version >= 1", name=op.f("ck_release_grant_first_version_from_1")),
        sa.CheckConstraint(
            "last_version IS NULL OR last_version >= first_version", name=op.f("ck_release_grant_versions_in_order")
        ),
        _hash("release_grant", "token_sha256"),
        sa.ForeignKeyConstraint(["recipient_id"], ["recipient.id"], name=op.f("fk_release_grant_recipient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release_grant")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_release_grant_token_sha256")),
    )
    op.create_index(op.f("ix_release_grant_recipient_id"), "release_grant", ["recipient_id"], unique=False)
    op.create_table(
        "release_fetch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("grant_id", sa.Integer(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column(
            "way",
            sa.Enum(*WAYS, name="way", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bytes_sent", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("files_wanted", sa.Integer(), nullable=False),
        sa.Column("complete_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("network", sa.String(length=48), nullable=True),
        sa.Column("agent", sa.String(length=40), nullable=True),
        sa.Column("delivered", sa.LargeBinary(), nullable=True),
        sa.Column("begun", JSON, nullable=True),
        sa.ForeignKeyConstraint(["grant_id"], ["release_grant.id"], name=op.f("fk_release_fetch_grant_id")),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name=op.f("fk_release_fetch_release_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release_fetch")),
        sa.UniqueConstraint("grant_id", "release_id", "way", name=op.f("uq_release_fetch_grant_id_release_id_way")),
    )
    op.create_index(op.f("ix_release_fetch_release_id"), "release_fetch", ["release_id"], unique=False)
    op.create_table(
        "release_notice",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("recipient_id", sa.Integer(), nullable=False),
        sa.Column("release_name", sa.String(length=64), nullable=False),
        sa.Column("owed_sha256", sa.String(length=64), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        _hash("release_notice", "owed_sha256"),
        sa.ForeignKeyConstraint(["recipient_id"], ["recipient.id"], name=op.f("fk_release_notice_recipient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release_notice")),
        sa.UniqueConstraint(
            "recipient_id",
            "release_name",
            "owed_sha256",
            name=op.f("uq_release_notice_recipient_id_release_name_owed_sha256"),
        ),
    )


def downgrade() -> None:
    op.drop_table("release_notice")
    op.drop_index(op.f("ix_release_fetch_release_id"), table_name="release_fetch")
    op.drop_table("release_fetch")
    op.drop_index(op.f("ix_release_grant_recipient_id"), table_name="release_grant")
    op.drop_table("release_grant")
    op.drop_table("signed_licence")
    op.drop_table("recipient")
