"""Migrations."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, inspect, text

from coordinator.store import migrate as migrate_module
from coordinator.store.engine import make_engine
from coordinator.store.migrate import migrate, script_directory
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
            # A column that came later stands last in a migrated table; nothing depends on their order.
            "columns": sorted(
                (column["name"], str(column["type"]), column["nullable"])
                for column in inspector.get_columns(name)
            ),
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


async def test_a_migration_that_fails_half_way_leaves_nothing(
    url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash() -> None:
        raise RuntimeError("crash")

    def crashing() -> ScriptDirectory:
        scripts = script_directory()
        script = scripts.get_revision("0001")
        assert script is not None
        monkeypatch.setattr(script.module, "_records", crash)
        return scripts

    engine = make_engine(url)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(migrate_module, "script_directory", crashing)
            with pytest.raises(RuntimeError, match="crash"):
                await migrate(engine)
        async with engine.begin() as connection:
            assert await connection.run_sync(lambda inner: inspect(inner).get_table_names()) == []
        await migrate(engine)
    finally:
        await engine.dispose()


async def test_two_servers_may_start_on_one_empty_database(url: URL) -> None:
    program = (
        "import asyncio, sys\n"
        "from sqlalchemy import make_url\n"
        "from coordinator.store.store import Store\n"
        "async def main():\n"
        "    await (await Store.open(make_url(sys.argv[1]))).close()\n"
        "asyncio.run(main())\n"
    )
    target = url.render_as_string(hide_password=False)
    starts = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, target, env={**os.environ, "PYTHONPATH": "."}
        )
        for _ in range(2)
    ]
    assert [await start.wait() for start in starts] == [0, 0]
