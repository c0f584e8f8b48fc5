"""The audit log becomes a chain of hashes that the database refuses to change."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
BEGINNING = "0" * 64
SQLITE_TRIGGERS = {
    "audit_event_no_update": "BEFORE UPDATE ON audit_event",
    "audit_event_no_delete": "BEFORE DELETE ON audit_event",
    # INSERT OR REPLACE deletes without a DELETE trigger
    "audit_event_no_replace": (
        "BEFORE INSERT ON audit_event WHEN EXISTS (SELECT 1 FROM audit_event"
        " WHERE id = NEW.id OR previous = NEW.previous OR sha256 = NEW.sha256)"
    ),
}
REFUSAL = "the audit log is append-only"


def upgrade() -> None:
    with op.batch_alter_table("audit_event", schema=None) as batch_op:
        batch_op.add_column(sa.Column("previous", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("sha256", sa.String(length=64), nullable=True))
    _chain()
    with op.batch_alter_table("audit_event", schema=None) as batch_op:
        batch_op.alter_column("previous", existing_type=sa.String(length=64), nullable=False)
        batch_op.alter_column("sha256", existing_type=sa.String(length=64), nullable=False)
        for column in ("previous", "sha256"):
            batch_op.create_unique_constraint(batch_op.f(f"uq_audit_event_{column}"), [column])
            batch_op.create_check_constraint(
                batch_op.f(f"ck_audit_event_{column}_hex"), f"length({column}) = 64 and {column} = lower({column})"
            )
    _guard()


def downgrade() -> None:
    _unguard()
    with op.batch_alter_table("audit_event", schema=None) as batch_op:
        for column in ("sha256", "previous"):
            batch_op.drop_constraint(batch_op.f(f"ck_audit_event_{column}_hex"), type_="check")
            batch_op.drop_constraint(batch_op.f(f"uq_audit_event_{column}"), type_="unique")
            batch_op.drop_column(column)


def _chain() -> None:
    """Give the entries that are there their hashes. As db.audit does it, written out: a revision never changes."""
    table = sa.table(
        "audit_event", sa.column("id", sa.Integer), sa.column("at", sa.DateTime(timezone=True)), sa.column("actor"),
        sa.column("action"), sa.column("about_kind"), sa.column("about_id"), sa.column("detail", JSON),
        sa.column("previous"), sa.column("sha256"),
    )  # fmt: skip
    connection = op.get_bind()
    previous, links = BEGINNING, []
    for row in connection.execute(sa.select(table).order_by(table.c.id)).mappings():
        sha256 = _link(previous, dict(row))
        links.append({"of": row["id"], "before": previous, "own": sha256})
        previous = sha256
    if links:
        statement = sa.update(table).where(table.c.id == sa.bindparam("of"))
        connection.execute(statement.values(previous=sa.bindparam("before"), sha256=sa.bindparam("own")), links)


def _link(previous: str, row: Mapping[str, Any]) -> str:
    at: datetime = row["at"]
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    names = ("actor", "action", "about_kind", "about_id")
    content = {
        "previous": previous,
        "at": at.isoformat(timespec="microseconds"),
        **{name: row[name] for name in names},
        "detail": _plain(row["detail"]),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_plain(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _guard() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name, when in SQLITE_TRIGGERS.items():
            op.execute(f"CREATE TRIGGER {name} {when} BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END")
        return
    op.execute(
        "CREATE FUNCTION audit_event_refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event"
        " FOR EACH STATEMENT EXECUTE FUNCTION audit_event_refuse()"
    )


def _unguard() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name in SQLITE_TRIGGERS:
            op.execute(f"DROP TRIGGER {name}")
        return
    op.execute("DROP TRIGGER audit_event_append_only ON audit_event")
    op.execute("DROP FUNCTION audit_event_refuse()")
