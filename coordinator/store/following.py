"""What other instances have committed, read from the change log.

The log names the rows each commit has touched; the rows themselves are the truth. However many commits were
missed, each row is read once, and a row that is not there any more was deleted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Row, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.store import rows, schema
from coordinator.tailnet.state import ChangeSet, Missed
from coordinator.wireguard.model import Record as WireGuardRecord

MAX_TOUCHED = 20_000
"""Rows of one commit that are named; whoever follows a larger one reads everything."""
_IDS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class _Kind:
    """One table: the fields of a `ChangeSet` it stands for, and how a row is read."""

    table: Table
    puts: str
    deletes: str | None
    read: Callable[[Row[Any]], Any]

    @property
    def id(self) -> Column[Any]:
        return self.table.c.id


_KINDS = {
    kind.table.name: kind
    for kind in (
        _Kind(schema.users, "put_users", "delete_users", rows.user_from),
        _Kind(schema.nodes, "put_nodes", "delete_nodes", rows.node_from),
        _Kind(schema.preauth_keys, "put_preauth_keys", "delete_preauth_keys", rows.preauth_key_from),
        _Kind(schema.policies, "put_policies", None, rows.policy_from),
        _Kind(schema.access_requests, "put_access", None, rows.access_from),
        _Kind(schema.api_keys, "put_api_keys", "delete_api_keys", rows.api_key_from),
        _Kind(schema.identities, "put_identities", "delete_identities", rows.identity_from),
        _Kind(schema.wireguard_records, "put_wireguard", "delete_wireguard", rows.wireguard_from),
        _Kind(schema.declared_profiles, "put_declared", "delete_declared", rows.declared_from),
    )
}


def touched(changes: ChangeSet) -> str | None:
    """The rows of a batch, as the log keeps them: JSON, ids by table; None: too many to name."""
    named = {}
    for name, kind in _KINDS.items():
        puts = getattr(changes, kind.puts)
        ids = [each.id for each in puts] if isinstance(puts, list) else list(puts)
        if kind.deletes is not None:
            ids += getattr(changes, kind.deletes)
        if ids:
            named[name] = sorted(ids)
    if sum(map(len, named.values())) > MAX_TOUCHED:
        return None
    return json.dumps(named, separators=(",", ":"))


async def missed_since(
    connection: AsyncConnection, after: int, opened: Callable[[WireGuardRecord], WireGuardRecord]
) -> Missed | None:
    """What was committed since `after`; None when nothing was. `opened` unseals what records keep sealed.

    All statements have to see one moment: a transaction of isolation REPEATABLE READ, or one that holds the
    lock of the log.
    """
    newest = int(await connection.scalar(select(func.max(schema.changes.c.seq))) or 0)
    if newest == after:
        return None
    log = select(schema.changes.c.seq, schema.changes.c.touched).where(schema.changes.c.seq > after)
    entries = (await connection.execute(log)).all()
    if len(entries) != newest - after or any(entry.touched is None for entry in entries):
        return Missed(seq=newest, changes=None)
    wanted: dict[str, set[Any]] = {}
    for entry in entries:
        for name, ids in json.loads(entry.touched).items():
            wanted.setdefault(name, set()).update(ids)
    if not wanted.keys() <= _KINDS.keys():
        # A newer release keeps something here that this one does not know: reading everything says so.
        return Missed(seq=newest, changes=None)
    changes = ChangeSet()
    for name, ids in wanted.items():
        await _read(connection, _KINDS[name], ids, changes)
    changes.put_wireguard = {key: opened(record) for key, record in changes.put_wireguard.items()}
    counters = await connection.execute(select(schema.counters))
    changes.counters = {row.name: int(row.value) for row in counters}
    return Missed(seq=newest, changes=changes)


async def _read(connection: AsyncConnection, kind: _Kind, ids: set[Any], changes: ChangeSet) -> None:
    found: dict[Any, Any] = {}
    for some in _portions(sorted(ids)):
        for row in await connection.execute(select(kind.table).where(kind.id.in_(some))):
            found[row.id] = kind.read(row)
    puts = getattr(changes, kind.puts)
    if isinstance(puts, list):
        puts += [found[each] for each in sorted(found)]
    else:
        puts.update(found)
    if kind.deletes is not None:
        getattr(changes, kind.deletes).update(ids - found.keys())


def _portions(ids: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (ids[start : start + _IDS_AT_ONCE] for start in range(0, len(ids), _IDS_AT_ONCE))
