"""Migrations."""

from __future__ import annotations

import pytest
from sqlalchemy import URL, Connection, inspect, text

from coordinator.store.engine import make_engine
from coordinator.store.migrate import migrate
from coordinator.store.schema import metadata
from coordinator.store.store import Store
from coordinator.tailnet.errors import InvalidError


def shape(connection: Connection) -> dict[str, object]:
    """Tables, columns, keys and indexes, in a comparable form."""
    inspector = inspect(connection)
    tables = {}
    for name in sorted(inspector.get_table_names()):
        if name == "alembic_version":
            continue
        tables[name] = {
            "columns": [
                (column["name"], str(column["type"]), column["nullable"])
                for column in inspector.get_columns(name)
            ],
            "primary": inspector.get_pk_constraint(name)["constrained_columns"],
            "foreign": sorted(
                (tuple(key["constrained_columns"]), key["referred_table"])
                for key in inspector.get_foreign_keys(name)
            ),
            "unique": sorted(tuple(each["column_names"]) for each in inspector.get_unique_constraints(name)),
            "indexes": sorted(
                (str(index["name"]), tuple(index["column_names"]), bool(index["unique"]))
                for index in inspector.get_indexes(name)
                if not index.get("duplicates_constraint")
            ),
        }
    return tables


async def test_migrations_make_the_schema_of_the_code(url: URL) -> None:
    engine = make_engine(url)
    try:
        await migrate(engine)
        async with engine.begin() as connection:
            migrated = await connection.run_sync(shape)
            await connection.run_sync(metadata.drop_all)
            await connection.run_sync(metadata.create_all)
            created = await connection.run_sync(shape)
    finally:
        await engine.dispose()
    assert migrated == created


async def test_migrating_twice_changes_nothing(url: URL) -> None:
    for _ in range(2):
        store = await Store.open(url)
        await store.close()


async def test_a_newer_database_is_refused(url: URL) -> None:
    store = await Store.open(url)
    await store.close()
    engine = make_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await engine.dispose()
    with pytest.raises(InvalidError, match="newer release"):
        await Store.open(url)
