"""Whether the database still refuses to change the audit log: its own triggers, as the migrations left them.

Whoever has the database's own rights can drop them, write what they like, and put them back; what was written then
shows in the chain and in what the log says of the rows. That they are gone is worth knowing before that.
"""

from sqlalchemy import text
from sqlalchemy.orm import Session

REFUSAL = "the audit log is append-only"
# name -> when it refuses: as revision 0009 made them.
SQLITE = {
    "audit_event_no_update": "BEFORE UPDATE ON audit_event",
    "audit_event_no_delete": "BEFORE DELETE ON audit_event",
    "audit_event_no_replace": (
        "BEFORE INSERT ON audit_event WHEN EXISTS (SELECT 1 FROM audit_event"
        " WHERE id = NEW.id OR previous = NEW.previous OR sha256 = NEW.sha256)"
    ),
}
POSTGRESQL = "audit_event_append_only"
# pg_trigger.tgtype: BEFORE (2), DELETE (8), UPDATE (16), TRUNCATE (32); a statement's, so without ROW (1).
_PG_TYPE = 2 | 8 | 16 | 32


def missing_guards(tx: Session) -> list[str]:
    """What of the triggers is not as it should be, in words; empty: all of them refuse."""
    return _postgresql(tx) if tx.get_bind().dialect.name == "postgresql" else _sqlite(tx)


def _sqlite(tx: Session) -> list[str]:
    query = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    found = {str(name): str(sql) for name, sql in tx.execute(query)}
    problems = []
    for name, when in SQLITE.items():
        if name not in found:
            problems.append(f"trigger {name} is gone")
        elif _plain(found[name]) != _plain(f"CREATE TRIGGER {name} {when} BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"):
            problems.append(f"trigger {name} does something else than refuse")
    for name, sql in found.items():
        if name not in SQLITE and "audit_event" in sql.lower():
            problems.append(f"trigger {_shown(name)} is not Mien's, and touches the audit log")
    return problems


def _postgresql(tx: Session) -> list[str]:
    table = "'audit_event'::regclass"
    query = text(
        "SELECT t.tgname, t.tgenabled, t.tgtype, p.prosrc, t.tgqual IS NULL AND t.tgattr = ''::int2vector AS always"
        f" FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE t.tgrelid = {table} AND NOT t.tgisinternal"
    )
    found = {str(row.tgname): row for row in tx.execute(query)}
    row = found.pop(POSTGRESQL, None)
    problems = [f"trigger {_shown(name)} is not Mien's, and touches the audit log" for name in found]
    if row is None:
        return [f"trigger {POSTGRESQL} is gone", *problems]
    enabled = row.tgenabled.decode() if isinstance(row.tgenabled, bytes) else str(row.tgenabled)
    if enabled not in ("O", "A"):
        problems.append(f"trigger {POSTGRESQL} is switched off")
    if (
        row.tgtype != _PG_TYPE
        or not row.always
        or _plain(row.prosrc) != _plain(f"BEGIN RAISE EXCEPTION '{REFUSAL}'; END")
    ):
        problems.append(f"trigger {POSTGRESQL} does something else than refuse")
    rules = text(f"SELECT rulename FROM pg_rewrite WHERE ev_class = {table}")
    return problems + [f"rule {_shown(str(name))} rewrites the audit log" for name in tx.scalars(rules)]


def _plain(sql: str) -> str:
    return " ".join(sql.replace('"', "").split()).lower()


def _shown(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name)
