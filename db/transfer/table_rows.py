"""Rows of every table in one form, whichever database they come from or go to.

The form is what SQLite stores: times as text in UTC, days as text, JSON as text, truth as 0 and 1. A table's digest is
taken over its rows in that form, in order of the primary key, so equal digests mean equal rows on either database.
"""

import hashlib
import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import JSON, Boolean, Column, Connection, Date, Double, Engine, LargeBinary, String, Table, inspect
from sqlalchemy.exc import OperationalError

from common.json_values import map_leaves
from db.engine import READ_ONLY
from db.errors import DatabaseUnavailable, RecordError
from db.models import Base
from db.models.base import UtcTime

CHUNK = 5000
_EXACT = 2**53  # beyond it a float is no exact integer
Row = tuple[Any, ...]


@dataclass(frozen=True)
class TableDigest:
    """How many rows a table has, and the SHA-256 over all of them."""

    rows: int
    sha256: str


def tables() -> list[Table]:
    """Every table of the records, those that others refer to first."""
    return list(Base.metadata.sorted_tables)


def unknown_tables(engine: Engine) -> list[str]:
    """Tables that are there and that this program does not know."""
    known = {table.name for table in tables()} | {"alembic_version"}
    return sorted(set(inspect(engine).get_table_names()) - known)


@contextmanager
def snapshot(engine: Engine) -> Iterator["Reader"]:
    """All tables as they stand at one moment; writers go on meanwhile. Raises DatabaseUnavailable."""
    options: dict[str, Any] = {READ_ONLY: True}
    if engine.dialect.name == "postgresql":
        options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    try:
        with engine.execution_options(**options).connect() as connection, connection.begin():
            # SQLite's snapshot begins with the first row that is read.
            connection.exec_driver_sql("SELECT version_num FROM alembic_version").fetchall()
            yield Reader(connection)
    except OperationalError as error:
        where = engine.url.render_as_string()
        raise DatabaseUnavailable(f"The database {where} does not answer: {type(error.orig).__name__}") from error


class Reader:
    """Rows of one snapshot."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._postgresql = connection.dialect.name == "postgresql"

    def count(self, table: Table) -> int:
        """How many rows a table has."""
        found = self.connection.exec_driver_sql(f'SELECT count(*) FROM "{table.name}"').scalar()
        return int(found or 0)

    def rows(self, table: Table) -> Iterator[list[Row]]:
        """A table's rows in order of its primary key, some thousand at a time."""
        names = ", ".join(self._read(column) for column in table.columns)
        order = ", ".join(self._order(column) for column in table.primary_key.columns)
        statement = f'SELECT {names} FROM "{table.name}" ORDER BY {order}'
        convert = _converter([self._from_postgresql(c) if self._postgresql else _from_sqlite(c) for c in table.columns])
        driver: Any = self.connection.connection.driver_connection
        cursor = driver.cursor(name="mien_rows") if self._postgresql else driver.cursor()
        try:
            cursor.execute(statement)
            while chunk := cursor.fetchmany(CHUNK):
                yield [convert(row) for row in chunk]
        finally:
            with suppress(Exception):  # given up in the middle: the connection may be gone before this is
                cursor.close()

    def digest(self, table: Table) -> TableDigest:
        """Read a whole table."""
        hasher = TableHasher()
        for chunk in self.rows(table):
            hasher.add(chunk)
        return hasher.digest()

    def _read(self, column: Column[Any]) -> str:
        cast = "::text" if self._postgresql and isinstance(column.type, JSON) else ""
        return f'"{column.name}"{cast}'

    def _order(self, column: Column[Any]) -> str:
        collate = ' COLLATE "C"' if self._postgresql and isinstance(column.type, String) else ""
        return f'"{column.name}"{collate}'

    def _from_postgresql(self, column: Column[Any]) -> Callable[[Any], Any] | None:
        if isinstance(column.type, UtcTime):
            return _time_text
        if isinstance(column.type, Date):
            return lambda value: value.isoformat()
        if isinstance(column.type, Boolean):
            return int
        return _from_sqlite(column)


class TableHasher:
    """The digest of a table while its rows go by."""

    def __init__(self) -> None:
        self._sha256, self._rows = hashlib.sha256(), 0

    def add(self, chunk: Sequence[Row]) -> None:
        """Rows that went by."""
        self._rows += len(chunk)
        self._sha256.update("".join(map(repr, chunk)).encode("utf-8", "surrogatepass"))

    def digest(self) -> TableDigest:
        """Of all rows so far."""
        return TableDigest(self._rows, self._sha256.hexdigest())


def write_rows(connection: Connection, table: Table, chunks: Iterable[Sequence[Row]]) -> None:
    """Insert rows within the transaction of `connection`.

    Raises RecordError for a row that the database does not take, with its table and place and never its values.
    """
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(table.columns))
        statement, done = f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})', 0
        for chunk in chunks:
            try:
                driver.executemany(statement, chunk)
            except (sqlite3.Error, OverflowError) as error:
                raise RecordError(
                    f"Table {table.name}: SQLite does not take one of rows {done + 1} to {done + len(chunk)} "
                    f"({type(error).__name__}); nothing was copied"
                ) from error
            done += len(chunk)
        return
    import psycopg

    convert = _converter([_to_postgresql(column) for column in table.columns])
    try:
        with driver.cursor() as cursor, cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as copy:
            for chunk in chunks:
                for row in chunk:
                    copy.write_row(convert(row))
    except (psycopg.Error, UnicodeEncodeError, ValueError) as error:
        raise RecordError(
            f"Table {table.name}{_place(error)}: PostgreSQL does not take it "
            f"({type(error).__name__}); nothing was copied"
        ) from error


def set_sequences(connection: Connection) -> None:
    """PostgreSQL: the next row that is added comes after the newest. SQLite needs none."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables():
        for column in table.primary_key.columns:
            name = connection.exec_driver_sql(
                "SELECT pg_get_serial_sequence(%s, %s)", (f'"{table.name}"', column.name)
            ).scalar()
            if name:
                newest = f'(SELECT coalesce(max("{column.name}"), 0) + 1 FROM "{table.name}")'
                connection.exec_driver_sql(f"SELECT setval('{name}', {newest}, false)")


def _place(error: Exception) -> str:
    """Where PostgreSQL stopped: it says so in a line that holds the value as well."""
    context = getattr(getattr(error, "diag", None), "context", None) or ""
    found = re.search(r"line (\d+)(?:, column (\w+))?", context)
    if not found:
        return ""
    return f", row {found[1]}" + (f", column {found[2]}" if found[2] else "")


def _converter(parts: Sequence[Callable[[Any], Any] | None]) -> Callable[[Sequence[Any]], Row]:
    changed = [(place, part) for place, part in enumerate(parts) if part is not None]
    if not changed:
        return tuple

    def convert(row: Sequence[Any]) -> Row:
        values = list(row)
        for place, part in changed:
            if values[place] is not None:
                values[place] = part(values[place])
        return tuple(values)

    return convert


def _from_sqlite(column: Column[Any]) -> Callable[[Any], Any] | None:
    if isinstance(column.type, UtcTime):
        return lambda value: _time_text(datetime.fromisoformat(value))
    if isinstance(column.type, JSON):
        return _json_text
    if isinstance(column.type, Double):
        return lambda value: float(value) + 0.0  # SQLite knows no -0.0
    if isinstance(column.type, LargeBinary):
        return bytes
    return None


def _to_postgresql(column: Column[Any]) -> Callable[[Any], Any] | None:
    if isinstance(column.type, UtcTime):
        return lambda value: f"{value}+00"
    if isinstance(column.type, Boolean):
        return bool
    return None


def _time_text(value: datetime) -> str:
    naive = value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)
    return naive.isoformat(" ", "microseconds")


@lru_cache(maxsize=4096)
def _json_text(text: str) -> str:
    """JSON with its keys in order and its numbers as every database gives them back."""
    return json.dumps(map_leaves(json.loads(text), _same_number), sort_keys=True)


def _same_number(value: Any) -> Any:
    """A number as the other database gives it back; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= _EXACT else value
    with suppress(OverflowError):
        return value if abs(value) <= _EXACT else float(value)
    return value
