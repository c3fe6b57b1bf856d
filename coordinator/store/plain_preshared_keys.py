"""Preshared keys that an older release stored in the clear: sealed once, and their traces wiped.

A migration cannot do it, as it knows no key. It happens at the first start with this release, in one
transaction; a note in the same transaction keeps the wiping from being forgotten when the server ends
before it. Copies elsewhere (backups, the PostgreSQL write-ahead log and its archive, disk blocks a file
system gave back) are beyond reach: whoever has to reckon with them rotates the preshared keys.
"""

from __future__ import annotations

import sqlite3

import asyncpg
import structlog
from sqlalchemy import bindparam, delete, insert, select, text, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from coordinator.store import rows, schema
from coordinator.store.preshared_seal import PresharedKeySeal, has_plain

log = structlog.get_logger(__name__)

UNWIPED = "preshared keys unwiped"
"""The counter that says that traces of plain preshared keys may still be in the database's files."""


async def seal_plain(engine: AsyncEngine, seal: PresharedKeySeal) -> int:
    """Seal what lies in the clear; how many peers that were.

    Raises:
        SQLAlchemyError: the database does not answer; nothing was changed.
    """
    records = schema.wireguard_records
    async with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            # What a statement frees is overwritten with zeros.
            await connection.execute(text("PRAGMA secure_delete=ON"))
        found = await connection.execute(select(records).where(records.c.id.startswith("wgpeer:")))
        plain = [record for record in map(rows.wireguard_from, found) if has_plain(record)]
        if plain:
            statement = (
                update(records)
                .where(records.c.id == bindparam("record_id"))
                .values(document=bindparam("sealed"))
            )
            sealed = [rows.wireguard_row(seal.seal(record)) for record in plain]
            await connection.execute(
                statement, [{"record_id": row["id"], "sealed": row["document"]} for row in sealed]
            )
            await connection.execute(delete(schema.counters).where(schema.counters.c.name == UNWIPED))
            await connection.execute(insert(schema.counters), {"name": UNWIPED, "value": "1"})
        note = select(schema.counters.c.value).where(schema.counters.c.name == UNWIPED)
        unwiped = await connection.scalar(note)
    if plain:
        log.warning(
            "preshared keys of WireGuard peers were stored in the clear, and are sealed now; rotate them if "
            "somebody may have an older copy of the database",
            peers=len(plain),
        )
    if unwiped is not None:
        await _wipe(engine)
    return len(plain)


async def _wipe(engine: AsyncEngine) -> None:
    """Write the database's file anew, without what was deleted. Not done, it is tried at the next start."""
    try:
        async with engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            if raw is None:
                raise OSError("there is no connection")
            if engine.dialect.name == "sqlite":
                for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                    await (await raw.execute(statement)).close()
            else:
                await raw.execute("VACUUM FULL wireguard_records")
        async with engine.begin() as connection:
            await connection.execute(delete(schema.counters).where(schema.counters.c.name == UNWIPED))
    except (SQLAlchemyError, OSError, sqlite3.Error, asyncpg.PostgresError) as error:
        log.warning(
            "traces of plain preshared keys not wiped yet, will try at the next start", error=str(error)
        )
