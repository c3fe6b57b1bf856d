"""One serving instance for each PostgreSQL database; others stand by.

The state is in memory, so two instances that write would not know of each other. An instance therefore holds
a lock for as long as it has a connection; the next one waits at its start and takes over when the lock is
free: after a stop or a crash at once, after the loss of a machine within half a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog
from sqlalchemy import URL, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from coordinator.store.engine import SLOW_CONNECT_SECONDS, SLOW_STATEMENT_SECONDS
from coordinator.tailnet.errors import UnavailableError
from coordinator.telemetry.tasks import spawn

log = structlog.get_logger(__name__)

LOCK = 7_209_413
RETRY_SECONDS = 0.2
TOLD_EVERY_SECONDS = 30.0
WATCH_SECONDS = 1.0
_KEEPALIVE = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
"""The database notices within half a minute that a machine is gone which could not say so."""


@asynccontextmanager
async def instance_lock(url: URL, taken_over: Callable[[], None]) -> AsyncIterator[None]:
    """Wait until this is the only instance on the database, and stay it within the block.

    A connection that breaks is made again at once.

    Args:
        url: The database.
        taken_over: Called when another instance was faster then: this one has to stop serving.

    Raises:
        UnavailableError: the database cannot be reached at all.
    """
    settings = {
        "timeout": SLOW_CONNECT_SECONDS,
        "command_timeout": SLOW_STATEMENT_SECONDS,
        "server_settings": _KEEPALIVE,
    }
    engine = create_async_engine(url, poolclass=NullPool, connect_args=settings)
    try:
        connection = await _locked(engine)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        await engine.dispose()
        raise UnavailableError(f"the database does not answer: {error}") from error
    task = spawn("instance lock", _hold(engine, connection, taken_over))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await engine.dispose()


async def _connect(engine: AsyncEngine) -> AsyncConnection:
    connection = await engine.connect()
    return await connection.execution_options(isolation_level="AUTOCOMMIT")


async def _locked(engine: AsyncEngine) -> AsyncConnection:
    """A connection that holds the lock."""
    connection = await _connect(engine)
    try:
        await _wait(connection)
    except BaseException:
        await connection.close()
        raise
    return connection


async def _take(connection: AsyncConnection) -> bool:
    """Whether the lock was free."""
    statement = text("SELECT pg_try_advisory_lock(:key)")
    return bool(await connection.scalar(statement, {"key": LOCK}))


async def _wait(connection: AsyncConnection) -> None:
    """Take the lock, waiting for whoever has it."""
    loop = asyncio.get_running_loop()
    told = -TOLD_EVERY_SECONDS
    while not await _take(connection):
        if loop.time() - told >= TOLD_EVERY_SECONDS:
            told = loop.time()
            log.warning("another instance serves from this database; standing by until it ends")
        await asyncio.sleep(RETRY_SECONDS)


async def _hold(engine: AsyncEngine, connection: AsyncConnection, taken_over: Callable[[], None]) -> None:
    try:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await connection.execute(text("SELECT 1"))
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("instance lock lost, taking it again", error=str(error)[:200])
                connection = await _again(engine, connection)
                if not await _take(connection):
                    log.error("another instance has taken over")
                    taken_over()
                    return
    finally:
        await connection.close()


async def _again(engine: AsyncEngine, broken: AsyncConnection) -> AsyncConnection:
    """A new connection, as soon as the database answers."""
    try:
        await broken.invalidate()
        await broken.close()
    except (SQLAlchemyError, OSError):
        log.debug("a broken connection does not close")
    while True:
        try:
            return await _connect(engine)
        except (SQLAlchemyError, OSError, TimeoutError):
            await asyncio.sleep(RETRY_SECONDS)
