"""The migrations and the models must say the same, on both databases, both ways."""

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Engine, inspect

from db.engine import open_database, transaction
from db.errors import DatabaseUnavailable, SchemaOutdated, SettingsError
from db.migrations import current, downgrade, head, require_current, upgrade
from db.models import Base
from db.protocols import FACESCAPE, install_protocol


@pytest.fixture
def empty(empty_database_url: str) -> Any:
    engine = open_database(empty_database_url)
    yield engine
    engine.dispose()


def _differences(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, Base.metadata))


def test_upgrade_from_empty_gives_the_models(empty: Engine) -> None:
    assert current(empty) is None
    upgrade(empty)
    assert current(empty) == head()
    assert _differences(empty) == []


def test_check_constraints_are_those_of_the_models(engine: Engine) -> None:
    found = inspect(engine)
    for table in Base.metadata.sorted_tables:
        wanted = {str(c.name) for c in table.constraints if isinstance(c, CheckConstraint)}
        assert {c["name"] for c in found.get_check_constraints(table.name)} == wanted


def test_upgrade_again_changes_nothing(engine: Engine) -> None:
    with transaction(engine) as tx:
        install_protocol(tx, FACESCAPE)
    upgrade(engine)
    require_current(engine)
    with transaction(engine) as tx:
        assert install_protocol(tx, FACESCAPE).id == 1


def test_downgrade_empties_and_upgrade_comes_back(engine: Engine) -> None:
    downgrade(engine, "base")
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    upgrade(engine)
    assert _differences(engine) == []


def test_a_schema_that_is_not_ours_is_refused(empty: Engine) -> None:
    with pytest.raises(SchemaOutdated, match="mien db upgrade"):
        require_current(empty)
    upgrade(empty)
    with empty.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'from_tomorrow'")
    with pytest.raises(SchemaOutdated, match="newer Mien"):
        require_current(empty)


def test_a_failed_migration_leaves_nothing(empty: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_connection: object) -> None:
        raise RuntimeError("after the last statement")

    with monkeypatch.context() as patch:
        patch.setattr("db.migrations._check_references", refuse)
        with pytest.raises(RuntimeError, match="last statement"):
            upgrade(empty)
    assert inspect(empty).get_table_names() == []
    upgrade(empty)


@pytest.mark.parametrize("url", ["mysql://host/mien", "not a url", "sqlite://"])
def test_unusable_urls_are_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        open_database(url)


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    engine = open_database("postgresql://mien:secret@127.0.0.1:1/mien")
    with pytest.raises(DatabaseUnavailable) as caught:
        current(engine)
    assert "secret" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
