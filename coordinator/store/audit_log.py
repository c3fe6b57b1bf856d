"""The audit log in the database: append, read, and remember what the sinks took.

Nothing here changes an entry; only `prune` removes some, and leaves one that says so.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from coordinator.audit.entry import (
    PRUNE,
    Cursor,
    Head,
    SealedEntry,
    explains_start,
    moment_text,
    prune_entry,
    seal,
)
from coordinator.audit.query import AuditQuery
from coordinator.store import schema
from coordinator.tailnet.errors import ConflictError, UnavailableError
from coordinator.tailnet.state import AuditEntry

HEAD_ROW = 1
PAGE = 500
"""Entries read at once: hashing them holds the loop for a few milliseconds."""

_Begin = Callable[[AsyncEngine], AbstractAsyncContextManager[AsyncConnection]]
_HEAD = (
    schema.audit_head.c.last_id,
    schema.audit_head.c.last_hash,
    schema.audit_head.c.first_id,
    schema.audit_head.c.first_previous,
)


class AuditLog:
    """Reads the log and keeps the cursors. Made by the store, which lends its transactions."""

    def __init__(self, begin: _Begin, engine: AsyncEngine, reading: AsyncEngine) -> None:
        self._begin = begin
        self._engine = engine
        self._reading = reading
        self._listeners: list[Callable[[], None]] = []

    def on_append(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each commit that brought entries."""
        self._listeners.append(listener)

    def appended(self, count: int) -> None:
        """The store has committed so many entries."""
        if count:
            for listener in self._listeners:
                listener()

    async def entries(self, query: AuditQuery) -> list[SealedEntry]:
        """The entries a query wants, in its order."""
        async with self._begin(self._reading) as connection:
            found = await connection.execute(_select(query))
            return [SealedEntry(*row) for row in found]

    async def head(self) -> Head | None:
        """The ends of the chain; None when somebody took the row away."""
        async with self._begin(self._reading) as connection:
            return await _head(connection)

    async def chain(self) -> AsyncGenerator[tuple[Head | None, list[Cursor], list[SealedEntry]], None]:
        """The whole log of one moment, page by page: (head, cursors, entries); at least one page."""
        table = schema.audit
        async with self._begin(self._reading) as connection:
            head = await _head(connection)
            cursors = await _cursors(connection)
            statement = select(table).order_by(table.c.id).limit(PAGE)
            page = [SealedEntry(*row) for row in await connection.execute(statement)]
            while True:
                yield head, cursors, page
                if len(page) < PAGE:
                    return
                behind = statement.where(table.c.id > page[-1].id)
                page = [SealedEntry(*row) for row in await connection.execute(behind)]

    async def cursor(self, sink: str) -> Cursor:
        """How far a sink has got; at the start of the log when it is new."""
        async with self._begin(self._reading) as connection:
            known = await _cursors(connection)
            head = await _head(connection)
        if head is not None and not any(cursor.sink == sink for cursor in known):
            return Cursor(sink, head.first_id - 1, head.first_previous)
        return next((cursor for cursor in known if cursor.sink == sink), Cursor(sink))

    async def cursors(self) -> list[Cursor]:
        """What all sinks remember, by name."""
        async with self._begin(self._reading) as connection:
            return await _cursors(connection)

    async def save_cursor(self, cursor: Cursor) -> None:
        """A sink has taken everything up to here."""
        table = schema.audit_cursors
        async with self._begin(self._engine) as connection:
            await connection.execute(delete(table).where(table.c.sink == cursor.sink))
            await connection.execute(insert(table), [{**cursor._asdict(), "at": datetime.now(UTC)}])

    async def prune(self, now: datetime, retention: timedelta, sinks: Sequence[str]) -> int:
        """Give up entries older than `retention` that all of these sinks have taken.

        Raises:
            ConflictError: the oldest entries are missing already, and no entry says why.

        Returns:
            How many; an entry with their ids and their last hash takes their place, in the same transaction.
        """
        table = schema.audit
        async with self._begin(self._engine) as connection:
            head = await _locked_head(connection)
            young = select(func.min(table.c.id)).where(table.c.at >= moment_text(now - retention))
            keep_from = await connection.scalar(young) or head.last_id + 1
            taken = {cursor.sink: cursor.last_id for cursor in await _cursors(connection)}
            keep_from = min([keep_from, *(taken.get(sink, 0) + 1 for sink in sinks)])
            found = (await connection.execute(select(table).where(table.c.id == keep_from - 1))).first()
            if found is None or keep_from <= head.first_id:
                return 0
            last = SealedEntry(*found)
            await _require_explained_start(connection, head)
            await connection.execute(delete(table).where(table.c.id < keep_from))
            ends = {"first_id": keep_from, "first_previous": last.hash}
            await connection.execute(update(schema.audit_head).values(ends))
            await append(connection, [prune_entry(now, last, head.first_id, retention)])
        self.appended(1)
        return keep_from - head.first_id


async def append(connection: AsyncConnection, entries: Sequence[AuditEntry]) -> None:
    """Continue the chain, in the caller's transaction.

    The head row stays locked until that ends, so on PostgreSQL a second server waits here and continues
    behind these entries; on SQLite the transaction itself excludes all other writers.

    Raises:
        UnavailableError: the head row is gone; nothing may change without an entry.
    """
    if not entries:
        return
    table = schema.audit_head
    head = await _locked_head(connection)
    sealed = list(seal(entries, head.last_id, head.last_hash))
    await connection.execute(insert(schema.audit), [entry._asdict() for entry in sealed])
    newest = {"last_id": sealed[-1].id, "last_hash": sealed[-1].hash}
    await connection.execute(update(table).where(table.c.id == HEAD_ROW).values(newest))


async def _locked_head(connection: AsyncConnection) -> Head:
    found = (await connection.execute(select(*_HEAD).with_for_update())).first()
    if found is None:
        raise UnavailableError(
            "the audit log has lost its head row, so nothing can be changed: look into it with "
            "`audit verify`, and restore the database or the row"
        )
    return Head(*found)


async def _require_explained_start(connection: AsyncConnection, head: Head) -> None:
    """Entries that somebody took away must not be covered by giving up the next."""
    if head.first_id == 1:
        return
    table = schema.audit
    statement = select(table).where(table.c.action == PRUNE).order_by(table.c.id.desc()).limit(1)
    found = (await connection.execute(statement)).first()
    entry = None if found is None else SealedEntry(*found)
    if entry is None or entry.digest() != entry.hash or not explains_start(entry, head):
        raise ConflictError(
            f"no entry says why the audit log begins with {head.first_id}: look into it with `audit verify`"
        )


async def _head(connection: AsyncConnection) -> Head | None:
    found = (await connection.execute(select(*_HEAD))).first()
    return None if found is None else Head(*found)


async def _cursors(connection: AsyncConnection) -> list[Cursor]:
    table = schema.audit_cursors
    statement = select(table.c.sink, table.c.last_id, table.c.last_hash).order_by(table.c.sink)
    return [Cursor(*row) for row in await connection.execute(statement)]


def _select(query: AuditQuery) -> Select[Any]:
    table = schema.audit
    statement = select(table)
    if query.since is not None:
        statement = statement.where(table.c.at >= moment_text(query.since))
    if query.until is not None:
        statement = statement.where(table.c.at < moment_text(query.until))
    if query.actor:
        kind, colon, name = query.actor.partition(":")
        if colon:
            statement = statement.where(table.c.actor_kind == kind, table.c.actor_name == name)
        else:
            statement = statement.where(or_(table.c.actor_kind == kind, table.c.actor_name == kind))
    if query.action.endswith("*"):
        statement = statement.where(table.c.action.startswith(query.action[:-1], autoescape=True))
    elif query.action:
        statement = statement.where(table.c.action == query.action)
    if query.object:
        kind, colon, name = query.object.partition(":")
        if colon:
            statement = statement.where(table.c.object_kind == kind, table.c.object_id == name)
        else:
            statement = statement.where(or_(table.c.object_kind == kind, table.c.object_name == kind))
    if query.after is not None:
        statement = statement.where(table.c.id > query.after).order_by(table.c.id)
    else:
        statement = statement.order_by(table.c.id.desc())
    if query.before is not None:
        statement = statement.where(table.c.id < query.before)
    return statement.limit(query.limit)
