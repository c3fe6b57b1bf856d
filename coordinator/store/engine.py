"""Connections: URLs, engines, and what each database needs to be told."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from coordinator.tailnet.errors import InvalidError

RETRY_SECONDS = 0.05
BUSY_TIMEOUT_MS = 5000
"""How long SQLite waits for another process that holds the file, such as a backup."""
SLOW_CONNECT_SECONDS = 10
SLOW_STATEMENT_SECONDS = 30
"""A database that says nothing for that long hangs: whoever waits is told so instead of waiting for ever."""

_READS_ONLY = "coordinator_reads_only"

_SSL_WORDS = {"true": "require", "false": "disable", "": "disable"}
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def sqlite_url(path: Path | str, *, wal: bool = True) -> URL:
    """A SQLite file. `wal` chooses write-ahead logging."""
    return URL.create("sqlite+aiosqlite", database=str(path), query={} if wal else {"wal": "off"})


def postgres_url(host: str, port: int, name: str, user: str, password: str = "", ssl: str = "false") -> URL:
    """A PostgreSQL database. `host` may be a socket directory; `ssl` is true, false or an sslmode.

    Raises:
        InvalidError: `ssl` is neither.
    """
    mode = _SSL_WORDS.get(ssl.lower(), ssl.lower())
    if mode not in _SSL_MODES:
        raise InvalidError(
            f"database.postgres.ssl: `{ssl}` is not true, false or one of {', '.join(_SSL_MODES)}"
        )
    query = {"ssl": mode}
    if host.startswith("/"):
        return URL.create(
            "postgresql+asyncpg",
            username=user,
            password=password or None,
            database=name,
            query={"host": host, "port": str(port), **query},
        )
    return URL.create(
        "postgresql+asyncpg",
        username=user,
        password=password or None,
        host=host,
        port=port,
        database=name,
        query=query,
    )


def make_engine(url: URL, *, echo: bool = False, pool_size: int = 10) -> AsyncEngine:
    """An engine with the settings each database needs for durability."""
    if url.get_backend_name() != "sqlite":
        return create_async_engine(
            url,
            echo=echo,
            pool_size=pool_size,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={"timeout": SLOW_CONNECT_SECONDS, "command_timeout": SLOW_STATEMENT_SECONDS},
        )
    wal = url.query.get("wal") != "off"
    engine = create_async_engine(url.set(query={}), echo=echo, hide_parameters=True)

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        # The driver's own BEGIN comes only before the first INSERT, UPDATE or DELETE: DDL and reads would run
        # outside of any transaction. `begin` below takes its place.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        _set_journal_mode(cursor, "WAL" if wal else "DELETE")
        # FULL: a commit has reached the disk when it returns, also in WAL mode.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes the lock at once: one that first reads and then writes fails without waiting when
        # another process wrote in between.
        reads_only = connection.get_execution_options().get(_READS_ONLY, False)
        connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")

    return engine


def _set_journal_mode(cursor: Any, mode: str) -> None:
    """Change it, waiting for others: SQLite's own busy timeout does not cover this one statement.

    Two servers that start on one new database meet here while the first of them makes its tables.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute(f"PRAGMA journal_mode={mode}")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return


def reading(engine: AsyncEngine) -> AsyncEngine:
    """The same engine, for transactions that only read: all their statements see one moment."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{_READS_ONLY: True})
    # The default level would give every statement a moment of its own.
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
