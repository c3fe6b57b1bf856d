"""The store: load everything at start, commit one batch at a time.

Every commit is one transaction and one row in the change log, whose `seq` has no gaps: on PostgreSQL an
advisory lock is held while it is taken, and a notification names it, so that other instances can follow.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import URL, Table, bindparam, delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError, StatementError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from coordinator.store import rows, schema
from coordinator.store.audit_log import AuditLog, append
from coordinator.store.board import Board
from coordinator.store.engine import make_engine, reading
from coordinator.store.following import missed_since, touched
from coordinator.store.migrate import migrate
from coordinator.store.plain_preshared_keys import seal_plain
from coordinator.store.preshared_seal import PresharedKeySeal, require_none
from coordinator.tailnet.errors import (
    ConflictError,
    CoordinatorError,
    InDoubtError,
    InvalidError,
    UnavailableError,
)
from coordinator.tailnet.nodes import Node
from coordinator.tailnet.state import ChangeSet, Missed, StoredPolicy, TailnetState
from coordinator.tailnet.users import UserID
from coordinator.wireguard.model import Record as WireGuardRecord

CHANNEL = "coordinator_changes"
_SEQ_LOCK = 7_209_412
KEPT_CHANGES = 100_000
"""Rows of the change log that are kept: whoever is further behind reads everything."""


class Store:
    """One database. Without a `seal` for preshared keys it refuses to store any."""

    def __init__(self, engine: AsyncEngine, seal: PresharedKeySeal | None = None) -> None:
        self._engine = engine
        self._sealed = require_none if seal is None else seal.seal
        self._opened = _as_it_is if seal is None else seal.open
        self._reading = reading(engine)
        self.audit = AuditLog(self._begin, self._engine, self._reading)
        self.board = Board(self._begin, self._engine, self._reading)
        self._in_doubt: dict[str, int] = {}
        self.instance = ""
        """Whose commits these are, for those who follow; empty: nobody's."""

    @classmethod
    async def open(
        cls, url: URL, *, echo: bool = False, pool_size: int = 10, seal: PresharedKeySeal | None = None
    ) -> Store:
        """Connect, migrate, and seal what an older release left in the clear.

        Raises:
            UnavailableError: the database cannot be reached.
            InvalidError: it is newer than this program.
        """
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").parent.is_dir():
            raise UnavailableError(f"the database does not answer: no directory for {url.database}")
        store = cls(make_engine(url, echo=echo, pool_size=pool_size), seal)
        try:
            with _translated():
                await migrate(store._engine)
                if seal is not None:
                    await seal_plain(store._engine, seal)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    async def ping(self) -> None:
        """Ask the database for a sign of life; UnavailableError if there is none."""
        async with self._begin(self._reading) as connection:
            await connection.execute(select(1))

    async def load(self) -> TailnetState:
        """Everything, as of one moment."""
        async with self._begin(self._reading) as connection:
            users = [rows.user_from(row) for row in await connection.execute(select(schema.users))]
            keys = [
                rows.preauth_key_from(row) for row in await connection.execute(select(schema.preauth_keys))
            ]
            nodes = [rows.node_from(row) for row in await connection.execute(select(schema.nodes))]
            newest = select(schema.policies).order_by(schema.policies.c.id.desc()).limit(1)
            policy = (await connection.execute(newest)).first()
            requests = await connection.execute(select(schema.access_requests))
            access = [rows.access_from(row) for row in requests]
            api_keys = [rows.api_key_from(row) for row in await connection.execute(select(schema.api_keys))]
            linked = await connection.execute(select(schema.identities))
            identities = [rows.identity_from(row) for row in linked]
            kept = await connection.execute(select(schema.wireguard_records))
            wireguard = [self._opened(rows.wireguard_from(row)) for row in kept]
            declared = [
                rows.declared_from(row) for row in await connection.execute(select(schema.declared_profiles))
            ]
            counters = await connection.execute(select(schema.counters))
            last = await connection.scalar(select(func.max(schema.changes.c.seq)))
            return TailnetState(
                seq=int(last or 0),
                users={user.id: user for user in users},
                nodes={node.id: node for node in nodes},
                preauth_keys={key.id: key for key in keys},
                policy=rows.policy_from(policy) if policy else None,
                access={request.id: request for request in access},
                api_keys={key.id: key for key in api_keys},
                identities={identity.id: identity for identity in identities},
                wireguard={record.key: record for record in wireguard},
                declared={profile.name: profile for profile in declared},
                counters={row.name: int(row.value) for row in counters},
            )

    async def commit(
        self,
        changes: ChangeSet,
        *,
        after: int | None = None,
        redo: Callable[[Missed], ChangeSet] | None = None,
    ) -> int:
        """Write a batch in one transaction.

        Args:
            changes: The batch.
            after: The newest commit its makers know of, where other instances may write, too.
            redo: Called when there are newer ones, while nobody else can commit: takes them over and returns
                the batch as it is on top of them; nothing is written when that is empty.

        Returns:
            The `seq` of this commit, or of the newest when nothing was written.

        Raises:
            ConflictError: a unique value is taken; nothing was written.
            InvalidError: a value has no place in a column; nothing was written.
            InDoubtError: the connection broke after the last statement and before the database could say
                whether it took the transaction; `landed` knows.
            UnavailableError: the database does not answer; nothing was written.
        """
        mark, complete = secrets.token_hex(8), False
        try:
            async with self._begin(self._engine) as connection:
                if after is not None and redo is not None:
                    await _lock_log(connection)
                    if (missed := await missed_since(connection, after, self._opened)) is not None:
                        changes, after = redo(missed), missed.seq
                        if not changes:
                            return after
                seq = await self._write(connection, changes, mark, after)
                complete = True
        except UnavailableError as error:
            if not complete:
                raise
            self._in_doubt[mark] = len(changes.audit)
            raise InDoubtError(error.message, mark) from error
        self.audit.appended(len(changes.audit))
        return seq

    async def missed(self, after: int) -> Missed | None:
        """What was committed since `after`, as of one moment; None when nothing was.

        Raises:
            UnavailableError: the database does not answer.
        """
        async with self._begin(self._reading) as connection:
            missed = await missed_since(connection, after, self._opened)
        if missed is not None:
            # Their entries are in the log as well; whoever carries them elsewhere looks.
            self.audit.appended(missed.seq - after)
        return missed

    async def landed(self, mark: str) -> bool:
        """Whether a commit in doubt was taken; after this answer it cannot be any more.

        The lock of the change log is held by whoever commits: as long as the database still works on the
        transaction, this waits.

        Raises:
            UnavailableError: the database does not answer; ask again.
        """
        statement = select(func.count()).where(schema.changes.c.summary.startswith(mark, autoescape=True))
        async with self._begin(self._engine) as connection:
            await _lock_log(connection)
            found = bool(await connection.scalar(statement))
        entries = self._in_doubt.pop(mark, 0)
        if found:
            self.audit.appended(entries)
        return found

    async def _write(
        self, connection: AsyncConnection, changes: ChangeSet, mark: str, after: int | None
    ) -> int:
        """All rows of a batch, in an order that no constraint minds."""
        await _delete(connection, schema.nodes, changes.delete_nodes)
        await _delete(connection, schema.preauth_keys, changes.delete_preauth_keys)
        await _delete(connection, schema.identities, changes.delete_identities)
        await _free_user_names(connection, {*changes.put_users, *changes.delete_users})
        await _put(connection, schema.users, [rows.user_row(user) for user in changes.put_users.values()])
        await _put(
            connection,
            schema.preauth_keys,
            [rows.preauth_key_row(key) for key in changes.put_preauth_keys.values()],
        )
        await _put(
            connection,
            schema.identities,
            [rows.identity_row(identity) for identity in changes.put_identities.values()],
        )
        # Two nodes may exchange names: what is replaced goes first, so that no value is in the way.
        await _delete(connection, schema.nodes, set(changes.put_nodes))
        await _insert(connection, schema.nodes, [rows.node_row(node) for node in changes.put_nodes.values()])
        # Last, as a node or key that pointed at the user may just have been given to another.
        await _delete(connection, schema.users, changes.delete_users)
        await _insert(connection, schema.policies, [rows.policy_row(each) for each in changes.put_policies])
        await _put(
            connection,
            schema.access_requests,
            [rows.access_row(request) for request in changes.put_access.values()],
        )
        await _delete(connection, schema.api_keys, changes.delete_api_keys)
        await _put(
            connection,
            schema.api_keys,
            [rows.api_key_row(key) for key in changes.put_api_keys.values()],
        )
        await _delete(connection, schema.wireguard_records, changes.delete_wireguard)
        wireguard = [rows.wireguard_row(self._sealed(each)) for each in changes.put_wireguard.values()]
        await _put(connection, schema.wireguard_records, wireguard)
        await _delete(connection, schema.declared_profiles, changes.delete_declared)
        declared = [rows.declared_row(profile) for profile in changes.put_declared.values()]
        await _put(connection, schema.declared_profiles, declared)
        await _put_counters(connection, changes.counters)
        # Late, as it holds the head of the log until the commit.
        await append(connection, changes.audit)
        return await _log(connection, changes, mark, after, self.instance)

    async def save_volatile(self, nodes: Sequence[Node]) -> None:
        """Write the volatile columns; nodes without a row are ignored.

        Raises:
            UnavailableError: the database does not answer; nothing was written.
        """
        if not nodes:
            return
        statement = update(schema.nodes).where(schema.nodes.c.id == bindparam("node_id"))
        async with self._begin(self._engine) as connection:
            await connection.execute(
                statement, [{"node_id": node.id, **rows.volatile_row(node)} for node in nodes]
            )

    async def policies(self, limit: int) -> list[StoredPolicy]:
        """The newest policy versions, newest first."""
        statement = select(schema.policies).order_by(schema.policies.c.id.desc()).limit(limit)
        async with self._begin(self._reading) as connection:
            return [rows.policy_from(row) for row in await connection.execute(statement)]

    @asynccontextmanager
    async def _begin(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        with _translated():
            async with engine.begin() as connection:
                yield connection


def _as_it_is(record: WireGuardRecord) -> WireGuardRecord:
    return record


class _translated:  # noqa: N801 - used like a keyword
    """Library errors stop here."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SQLAlchemyError | OSError | TimeoutError | OverflowError | UnicodeError):
            raise _translation(error) from error


def _translation(error: Exception) -> CoordinatorError:
    """The error of ours that says the same; its message holds neither SQL nor the values of the statement."""
    if isinstance(error, IntegrityError):
        return ConflictError(f"the database refused a duplicate or dangling value: {error.orig}")
    if not isinstance(error, StatementError):
        # The SQLite driver lets numbers of more than 64 bits and unpaired surrogates through as they are.
        if isinstance(error, OverflowError | UnicodeError):
            return InvalidError(f"the database cannot hold a value: {type(error).__name__}")
        said = "it hangs" if isinstance(error, TimeoutError) else str(error)
        return UnavailableError(f"the database does not answer: {said}")
    # A StatementError that no driver raised comes from a column type. Of the PostgreSQL driver's errors only
    # the class tells that a value was refused, and its message may quote the value.
    by_driver = isinstance(error, DBAPIError)
    if not by_driver or isinstance(getattr(error.orig, "__cause__", None), asyncpg.DataError):
        return InvalidError("the database cannot hold a value: out of range, or not valid text")
    return UnavailableError(f"the database does not answer: {error.orig}")


async def _delete(connection: AsyncConnection, table: Table, ids: set[Any]) -> None:
    if ids:
        statement = delete(table).where(table.c.id == bindparam("row_id"))
        await connection.execute(statement, [{"row_id": each} for each in ids])


async def _insert(connection: AsyncConnection, table: Table, values: list[dict[str, Any]]) -> None:
    if values:
        await connection.execute(insert(table), values)


async def _put(connection: AsyncConnection, table: Table, values: list[dict[str, Any]]) -> None:
    """Insert, or update in place by id: other rows point at users, so these cannot leave for a moment."""
    if not values:
        return
    await connection.execute(_upsert(table, connection.dialect.name), values)


@cache
def _upsert(table: Table, dialect: str) -> Any:
    """Made once: it is full of reference cycles, and every join writes a pre-auth key with it.

    Rows always have all columns.
    """
    # The two dialects spell it alike but share no class.
    statement: Any = (postgres_insert if dialect == "postgresql" else sqlite_insert)(table)
    replaced = {
        column.name: statement.excluded[column.name] for column in table.columns if column.name != "id"
    }
    return statement.on_conflict_do_update(index_elements=["id"], set_=replaced)


async def _free_user_names(connection: AsyncConnection, ids: set[UserID]) -> None:
    """Take the unique values from users about to change or leave, so that the batch may give them to others.

    The stand-in is never seen outside of the transaction, and no user has it: names start with a letter.
    """
    if ids:
        statement = (
            update(schema.users)
            .where(schema.users.c.id == bindparam("row_id"))
            .values(name=bindparam("stand_in"), provider_identifier=None)
        )
        await connection.execute(statement, [{"row_id": each, "stand_in": f"#{each}"} for each in ids])


async def _put_counters(connection: AsyncConnection, counters: dict[str, int]) -> None:
    if not counters:
        return
    statement = delete(schema.counters).where(schema.counters.c.name == bindparam("counter"))
    await connection.execute(statement, [{"counter": name} for name in counters])
    await _insert(
        connection,
        schema.counters,
        [{"name": name, "value": str(value)} for name, value in counters.items()],
    )


async def _lock_log(connection: AsyncConnection) -> None:
    """Until the transaction ends nobody else commits; SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SEQ_LOCK})


async def _log(
    connection: AsyncConnection, changes: ChangeSet, mark: str, after: int | None, instance: str
) -> int:
    """Take the next `seq`. Under a lock: else a later number could be committed first and the earlier be
    missed. Whoever knows the newest commit, `after`, holds it already.
    """
    if after is None:
        await _lock_log(connection)
        after = int(await connection.scalar(select(func.max(schema.changes.c.seq))) or 0)
    seq = after + 1
    summary = ",".join(
        f"{name}:{len(getattr(changes, name))}"
        for name in (
            "put_nodes",
            "delete_nodes",
            "put_users",
            "delete_users",
            "put_preauth_keys",
            "put_policies",
            "put_access",
            "put_wireguard",
            "delete_wireguard",
            "put_declared",
            "delete_declared",
        )
        if getattr(changes, name)
    )
    await connection.execute(
        insert(schema.changes),
        {
            "seq": seq,
            "at": datetime.now(UTC),
            "summary": f"{mark} {summary}".rstrip(),
            "touched": touched(changes),
        },
    )
    if seq % 1000 == 0:
        await connection.execute(delete(schema.changes).where(schema.changes.c.seq <= seq - KEPT_CHANGES))
    if connection.dialect.name == "postgresql":
        await connection.execute(
            text("SELECT pg_notify(:channel, :payload)"), {"channel": CHANNEL, "payload": f"{seq} {instance}"}
        )
    return seq
