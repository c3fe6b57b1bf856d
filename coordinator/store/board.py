"""Where the instances on one PostgreSQL say that they are there, and what is new about connected nodes.

A notification is a nudge; the rows are the truth, and whoever missed a nudge reads them all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from coordinator.store import schema
from coordinator.store.rows import facts_from, facts_text
from coordinator.tailnet.instances import Instance, LiveNode, Waiting
from coordinator.tailnet.nodes import Node

LIVE_CHANNEL = "coordinator_live"
INSTANCES_CHANNEL = "coordinator_instances"
WAITING_CHANNEL = "coordinator_waiting"

Begin = Callable[[AsyncEngine], AbstractAsyncContextManager[AsyncConnection]]


class Board:
    """The tables `instances` and `live_nodes`. All verbs raise UnavailableError when the database is away."""

    def __init__(self, begin: Begin, engine: AsyncEngine, reading: AsyncEngine) -> None:
        self._begin = begin
        self._engine = engine
        self._reading = reading

    async def join(self, instance: Instance) -> None:
        """Say that an instance is there."""
        row = {
            "id": instance.id,
            "server_url": instance.server_url,
            "noise_key": instance.noise_key,
            "relay": instance.relay or None,
            "started_at": instance.started_at,
            "beats": instance.beats,
        }
        async with self._begin(self._engine) as connection:
            await connection.execute(delete(schema.instances).where(schema.instances.c.id == instance.id))
            await connection.execute(insert(schema.instances), row)
            gone = select(schema.nodes.c.id)
            await connection.execute(
                delete(schema.live_nodes).where(schema.live_nodes.c.node_id.not_in(gone))
            )
            await _notify(connection, INSTANCES_CHANNEL, instance.id)

    async def beat(self, instance_id: str) -> bool:
        """Give a sign of life; whether the row was still there."""
        table = schema.instances
        statement = update(table).where(table.c.id == instance_id).values(beats=table.c.beats + 1)
        async with self._begin(self._engine) as connection:
            return bool((await connection.execute(statement)).rowcount)

    async def leave(self, instance_id: str) -> None:
        """Take an instance off: it has ended, or gave no sign of life for long."""
        async with self._begin(self._engine) as connection:
            await connection.execute(delete(schema.instances).where(schema.instances.c.id == instance_id))
            await _notify(connection, INSTANCES_CHANNEL, instance_id)

    async def instances(self) -> list[Instance]:
        """All of them, the longest at work first."""
        table = schema.instances
        statement = select(table).order_by(table.c.started_at, table.c.id)
        async with self._begin(self._reading) as connection:
            rows = (await connection.execute(statement)).all()
        return [Instance(**{**row._mapping, "relay": row.relay or ""}) for row in rows]

    async def tell(self, instance_id: str, version: int, nodes: Sequence[tuple[Node, bool]]) -> None:
        """Say what is new about nodes, each with whether this instance holds its map stream."""
        rows = [
            {
                "node_id": node.id,
                "instance": instance_id,
                "version": version,
                "connected": connected,
                "facts": facts_text(node),
            }
            for node, connected in nodes
        ]
        statement = postgres_insert(schema.live_nodes)
        fresh = {name: statement.excluded[name] for name in ("instance", "version", "connected", "facts")}
        statement = statement.on_conflict_do_update(index_elements=["node_id"], set_=fresh)
        async with self._begin(self._engine) as connection:
            # In one order, so that two instances never wait for each other's rows.
            await connection.execute(statement, sorted(rows, key=lambda row: int(str(row["node_id"]))))
            await _notify(connection, LIVE_CHANNEL, instance_id)

    async def told(self, after: Sequence[tuple[str, int]]) -> list[LiveNode]:
        """What each of these instances has said since a version of its own."""
        table = schema.live_nodes
        found = []
        async with self._begin(self._reading) as connection:
            for instance_id, version in after:
                newer = (table.c.instance == instance_id) & (table.c.version > version)
                for row in await connection.execute(select(table).where(newer).order_by(table.c.version)):
                    found.append(LiveNode(**{**row._mapping, "facts": facts_from(row.facts)}))
        return found

    async def await_decision(self, waiting: Sequence[Waiting], oldest: datetime) -> None:
        """Say what waits for a person; what began before `oldest` is forgotten."""
        table = schema.waiting
        rows = [{"id": e.id, "kind": e.kind, "body": e.body, "began": e.began} for e in waiting]
        async with self._begin(self._engine) as connection:
            await connection.execute(delete(table).where(table.c.began < oldest))
            await connection.execute(postgres_insert(table).on_conflict_do_nothing(), rows)
            await _notify(connection, WAITING_CHANNEL, "")

    async def decide(self, waiting_id: str, decision: bool) -> None:
        """Say what a person has decided."""
        table = schema.waiting
        statement = update(table).where(table.c.id == waiting_id).values(decision=decision)
        async with self._begin(self._engine) as connection:
            await connection.execute(statement)
            await _notify(connection, WAITING_CHANNEL, "")

    async def waiting(self, known: Collection[str]) -> tuple[list[Waiting], dict[str, bool]]:
        """What waits beyond what is known, and what was decided, by id."""
        table = schema.waiting
        new, decided = [], {}
        async with self._begin(self._reading) as connection:
            for row in await connection.execute(select(table.c.id, table.c.decision)):
                if row.decision is not None:
                    decided[row.id] = row.decision
                elif row.id not in known:
                    new.append(row.id)
            found = []
            if new:
                for row in await connection.execute(select(table).where(table.c.id.in_(new))):
                    found.append(Waiting(id=row.id, kind=row.kind, body=row.body, began=row.began))
        return found, decided


async def _notify(connection: AsyncConnection, channel: str, payload: str) -> None:
    statement = select(func.pg_notify(bindparam("channel"), bindparam("payload")))
    await connection.execute(statement, {"channel": channel, "payload": payload})
