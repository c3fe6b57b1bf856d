"""Bring a database to the newest schema, at every start.

Forward only. A database that a newer release has migrated is refused: this program does not know what it
holds.
"""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.store.schema import metadata
from coordinator.tailnet.errors import InvalidError

_LOCK = 7_209_411
"""Advisory lock for migrations: two instances may start at once."""


def script_directory() -> ScriptDirectory:
    """Where the migrations are, also in an installed package."""
    config = Config()
    location = str(Path(__file__).parent / "migrations")
    # A single percent sign would start an interpolation.
    config.set_main_option("script_location", location.replace("%", "%%"))
    return ScriptDirectory.from_config(config)


async def migrate(engine: AsyncEngine, revision: str = "head") -> None:
    """Apply what is missing, in one transaction.

    Raises:
        InvalidError: the database is newer than this program.
    """
    async with engine.begin() as connection:
        await connection.run_sync(_migrate, revision)


def _migrate(connection: Connection, revision: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    scripts = script_directory()
    known = {script.revision for script in scripts.walk_revisions()}
    current = MigrationContext.configure(connection).get_current_heads()
    for head in current:
        if head not in known:
            raise InvalidError(
                f"the database was migrated by a newer release (revision {head}); start that release, "
                "or restore a backup from before"
            )
    with EnvironmentContext(
        Config(),
        scripts,
        fn=lambda heads, context: scripts._upgrade_revs(revision, heads),
        destination_rev=revision,
    ) as environment:
        environment.configure(
            connection=connection, target_metadata=metadata, transaction_per_migration=False
        )
        environment.run_migrations()
