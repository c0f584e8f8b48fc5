"""From SQLite to PostgreSQL and back: every row equal, whatever is in it; refused rather than half done."""

import hashlib
import json
import math
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, insert, make_url, select

from db.audit import audit_log
from db.audit.audit_log import verify_chain
from db.engine import open_database, reading, transaction
from db.errors import AlreadyThere, RecordError, SchemaOutdated
from db.migrations import downgrade
from db.models import Calibration, ConsentScope, Job, JobState, Release, ReleaseState, ShutterLag, Subject
from db.subjects import add_subject, list_subjects
from db.transfer.database_copy import copy_database
from db.transfer.table_rows import snapshot, tables


def digests(engine: Engine) -> dict[str, object]:
    with snapshot(engine) as read:
        return {table.name: read.digest(table) for table in tables()}


@pytest.fixture
def new_postgresql(postgresql_server: str) -> Iterator[Callable[[], Engine]]:
    """Makes empty PostgreSQL databases."""
    server = create_engine(postgresql_server, isolation_level="AUTOCOMMIT")
    made: list[Engine] = []

    def make() -> Engine:
        name = f"copy_{uuid.uuid4().hex[:16]}"
        with server.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE template0")
        url = make_url(postgresql_server).set(database=name).render_as_string(hide_password=False)
        made.append(open_database(url))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {engine.url.database} WITH (FORCE)")
    server.dispose()


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
TIMES = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
ZONED = st.builds(lambda at, hours: at.astimezone(tz=None) + timedelta(hours=hours), TIMES, st.integers(-9, 9))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "data": st.dictionaries(TEXT, JSON, max_size=5),
            "text": TEXT,
            "time": TIMES | ZONED,
            "later": st.none() | TIMES,
            "day": st.dates(date(1900, 1, 1), date(2200, 1, 1)),
            "real": st.floats(allow_nan=False, min_value=0) | st.just(math.inf) | st.just(-0.0),
            "small": st.integers(0, 2**31 - 1),
            "large": st.integers(2, 2**31 - 1),
        }
    ),
    min_size=1,
    max_size=25,
)


def fill(engine: Engine, rows: list[dict[str, Any]], studio_rows: Any) -> None:
    with transaction(engine) as tx:
        rig = studio_rows.rig(tx)
        subject = studio_rows.subject(tx, ConsentScope.PUBLICATION)
        session = studio_rows.session(tx, subject, rig)
        studio_rows.accepted(tx, session, rig, 1)
        audit_log.record(
            tx, "test.rows", "test", "rows", {"data": [json.loads(json.dumps(row["text"])) for row in rows]}
        )
        camera = rig.cameras[0].id
        for number, row in enumerate(rows, start=1):
            key = hashlib.sha256(f"{number}".encode()).hexdigest()
            job = {"key": key, "stage": "made", "version": 1, "params": row["data"], "priority": row["small"]}
            times = {"created_at": row["time"], "started_at": row["later"], "attempts": 0, "error": row["text"]}
            tx.execute(insert(Job).values(**job, **times, state=JobState.QUEUED))
            board = {"rig_id": rig.id, "version": number, "method": row["text"], "data": row["data"]}
            tx.execute(insert(Calibration).values(**board, made_at=row["time"]))
            lag = {"camera_id": camera, "profile": "default", "settings": row["text"], "shots": row["large"]}
            measured = {
                "mean_ms": -row["real"],
                "sigma_ms": row["real"],
                "measured_by": "sim",
                "measured_at": row["time"],
            }
            tx.execute(insert(ShutterLag).values(**lag, **measured))
            release = {"name": f"r{number}", "version": 1, "state": ReleaseState.BUILDING, "schema_version": 2}
            said = {"consent_day": row["day"], "criteria": row["data"], "started_at": row["time"]}
            tx.execute(insert(Release).values(**release, **said))


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(ROWS)
def test_there_and_back_every_row_is_equal(
    new_postgresql: Callable[[], Engine],
    sqlite_template: Path,
    tmp_path_factory: pytest.TempPathFactory,
    studio_rows: Any,
    rows: list[dict[str, Any]],
) -> None:
    folder = tmp_path_factory.mktemp("copy")
    path = folder / "studio.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    source, back = open_database(f"sqlite:///{path}"), open_database(f"sqlite:///{folder / 'back.sqlite'}")
    fill(source, rows, studio_rows)
    target = new_postgresql()
    report = copy_database(source, target)
    again = copy_database(target, back)
    assert digests(source) == digests(target) == digests(back) == report.tables == again.tables
    # And to the eyes of a program, which sees values and not their storage.
    for model in (Job, Calibration, ShutterLag, Release, Subject):
        columns = [column for column in model.__table__.columns if column.name not in ("params", "data", "criteria")]
        seen = []
        for engine in (source, target, back):
            with reading(engine) as tx:
                seen.append([tuple(row) for row in tx.execute(select(*columns).order_by(columns[0]))])
        assert seen[0] == seen[1] == seen[2]
    source.dispose()
    back.dispose()


def test_the_copy_works_on_with_its_numbers_and_its_audit_log(
    new_postgresql: Callable[[], Engine], sqlite_template: Path, tmp_path: Path, studio_rows: Any
) -> None:
    path = tmp_path / "studio.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    source = open_database(f"sqlite:///{path}")
    fill(source, [], studio_rows)
    target = new_postgresql()
    report = copy_database(source, target)
    assert report.audit_entries > 1
    with transaction(target) as tx:
        assert add_subject(tx).code == "S002"
    with reading(target) as tx:
        chain = verify_chain(tx, report.head)
        assert (chain.broken, chain.known_found, chain.entries) == (None, True, report.audit_entries + 1)
    with pytest.raises(Exception, match="append-only"), target.begin() as connection:
        connection.exec_driver_sql("DELETE FROM audit_event")
    source.dispose()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_target_that_is_not_empty_is_refused_and_left_alone(
    engine: Engine, new_postgresql: Callable[[], Engine]
) -> None:
    with transaction(engine) as tx:
        add_subject(tx)
    target = new_postgresql()
    copy_database(engine, target)
    before = digests(target)
    with pytest.raises(AlreadyThere, match=r"rows in audit_event, subject"):
        copy_database(engine, target)
    assert digests(target) == before
    strange = new_postgresql()
    with strange.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE thesis (word text)")
    with pytest.raises(AlreadyThere, match="table thesis"):
        copy_database(engine, strange)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_another_schema_is_refused_on_either_side(engine: Engine, new_postgresql: Callable[[], Engine]) -> None:
    target = new_postgresql()
    copy_database(engine, target)
    downgrade(target, "-1")
    with pytest.raises(SchemaOutdated, match="mien db upgrade"):
        copy_database(engine, target)
    downgrade(engine, "-1")
    with pytest.raises(SchemaOutdated, match="mien db upgrade"):
        copy_database(engine, new_postgresql())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("UPDATE subject SET job = 'secret-word' || char(0)", "subject"),
        ("UPDATE subject SET job = printf('secret-word%.200c', 'x')", "subject"),
        ("UPDATE subject SET age = 'secret-word'", "subject"),
        ("UPDATE calibration SET data = '{\"secret-word\": NaN}'", "calibration"),
        ('UPDATE calibration SET data = \'{"secret-word": "\\u0000"}\'', "calibration"),
        ("UPDATE calibration SET version = 3000000000", "calibration"),
    ],
)
def test_a_row_that_postgresql_does_not_take_is_named_and_not_shown(
    engine: Engine, new_postgresql: Callable[[], Engine], studio_rows: Any, statement: str, table: str
) -> None:
    with transaction(engine) as tx:
        add_subject(tx)
        rig = studio_rows.rig(tx)
        at = datetime(2026, 1, 1, tzinfo=UTC)
        tx.execute(insert(Calibration).values(rig_id=rig.id, version=1, method="m", data={}, made_at=at))
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA ignore_check_constraints = ON")
        driver.execute(statement)
        driver.execute("PRAGMA ignore_check_constraints = OFF")
    target = new_postgresql()
    with pytest.raises(RecordError, match=f"Table {table}") as refused:
        copy_database(engine, target)
    told = "".join(str(part) for part in (refused.value, refused.value.args))
    assert "secret-word" not in told
    with snapshot(target) as read:
        assert sum(read.count(one) for one in tables()) == 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_copy_is_of_one_moment(engine: Engine, new_postgresql: Callable[[], Engine]) -> None:
    with transaction(engine) as tx:
        add_subject(tx)
    before, target = digests(engine), new_postgresql()

    def write(_done: int, _all: int) -> None:
        with transaction(engine) as tx:
            add_subject(tx)

    assert copy_database(engine, target, write).tables == before
    with reading(engine) as tx:
        assert len(list_subjects(tx)) > 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_table_of_a_stranger_is_named(engine: Engine, tmp_path: Path) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE visitors (name text)")
    with pytest.raises(RecordError, match="visitors"):
        copy_database(engine, open_database(f"sqlite:///{tmp_path / 'new.sqlite'}"))
