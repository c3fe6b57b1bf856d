"""A connection of its own that hears what other instances announce on PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import asyncpg
import structlog
from sqlalchemy import URL, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from coordinator.store.engine import SLOW_CONNECT_SECONDS, SLOW_STATEMENT_SECONDS
from coordinator.telemetry.tasks import spawn

log = structlog.get_logger(__name__)

RETRY_SECONDS = 0.5
WATCH_SECONDS = 2.0
_ERRORS = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
"""Those of the driver, too: listening goes past the library that translates them."""


class Listener:
    """Listens for as long as it is open; a connection that breaks is made again.

    Args:
        url: The database.
        heard: Called with each notification's payload, by channel.
        again: Called whenever a connection has been made: notifications may have been missed.
        look: Called now and then, should a notification have got lost all the same.
    """

    def __init__(
        self,
        url: URL,
        heard: Mapping[str, Callable[[str], None]],
        *,
        again: Callable[[], None],
        look: Callable[[], None],
    ) -> None:
        self._look = look
        settings = {"timeout": SLOW_CONNECT_SECONDS, "command_timeout": SLOW_STATEMENT_SECONDS}
        self._engine = create_async_engine(url, poolclass=NullPool, connect_args=settings)
        self._heard = heard
        self._again = again
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start listening."""
        self._task = spawn("instance notifications", self._listen_forever())

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._engine.dispose()

    async def _listen_forever(self) -> None:
        while True:
            try:
                await self._listen()
            except _ERRORS as error:
                log.warning("notifications of other instances lost, connecting again", error=str(error)[:200])
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        """Listen until the connection breaks."""
        async with self._engine.connect() as plain:
            connection: AsyncConnection = await plain.execution_options(isolation_level="AUTOCOMMIT")
            driver: Any = (await connection.get_raw_connection()).driver_connection
            for channel in self._heard:
                await driver.add_listener(channel, self._take)
            self._again()
            while True:
                await asyncio.sleep(WATCH_SECONDS)
                await connection.execute(text("SELECT 1"))
                self._look()

    def _take(self, connection: object, pid: int, channel: str, payload: str) -> None:
        self._heard[channel](payload)
