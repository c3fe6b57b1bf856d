"""What rests when the server starts."""

from __future__ import annotations

import json
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from coordinator.audit.entry import SealedEntry
from coordinator.audit.query import AuditQuery
from coordinator.services import rest_at_start
from coordinator.services.rest_at_start import resting_at
from tests.support.builders import NOW
from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import Running, running_server

REST = timedelta(minutes=10)
LOGOUT = "1970-01-01T00:02:03Z"


class Log:
    """Entries, as the store gives them."""

    def __init__(self, *befores: object) -> None:
        self.queries: list[AuditQuery] = []
        self._entries = [
            SealedEntry(
                number, f"2026-06-01T11:{59 - number:02}:00.000000Z", "node", "1", "", "node.delete", "node",
                "1", "web", before if isinstance(before, str) else json.dumps(before), "{}", "", "", "", "",
            )
            for number, before in enumerate(befores, start=1)
        ]  # fmt: skip

    async def entries(self, query: AuditQuery) -> list[SealedEntry]:
        self.queries.append(query)
        return [entry for entry in self._entries if entry.id > (query.after or 0)][: query.limit]


def node(address: str, *, ephemeral: bool = True) -> dict[str, object]:
    return {"ephemeral": ephemeral, "addresses": [address]}


async def test_ephemeral_nodes_oldest_first_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_at_start, "PAGE", 2)
    log = Log(node("100.64.0.1"), node("100.64.0.2", ephemeral=False), node("100.64.0.3"))
    found = await resting_at(log, NOW, REST)
    assert [addresses for _, addresses in found] == [
        (ip_address("100.64.0.3"),), (ip_address("100.64.0.1"),)
    ]  # fmt: skip
    assert found[0][0] < found[1][0]
    assert [(query.since, query.after) for query in log.queries] == [(NOW - REST, 0), (NOW - REST, 2)]


async def test_entries_that_say_nothing_are_left_out() -> None:
    log = Log(
        "{}", "[]", "no json", node("no address"), {"ephemeral": True}, {"ephemeral": True, "addresses": 1}
    )
    assert await resting_at(log, NOW, REST) == []
    assert await resting_at(log, NOW, timedelta()) == []
    assert len(log.queries) == 1


async def come_and_go(server: Running, key: str) -> list[str]:
    client = FakeTailscaled(server.url, hostname="ci")
    await client.connect()
    await client.register(key)
    (shown,) = (await server.call("GET", "/api/v1/node"))["nodes"]  # type: ignore[misc]
    await client.register(Expiry=LOGOUT)
    await client.close()
    return list(shown["ipAddresses"])


async def test_a_restart_does_not_end_the_rest(tmp_path: Path) -> None:
    """Two usable addresses, chosen at random: without rest, the next node would have the former
    one's half the time.
    """
    more = "prefixes: {v4: 100.64.0.0/30, v6: null, allocation: random}\nrate_limits: {enabled: false}"
    async with running_server(tmp_path, more=more) as server:
        key = await server.auth_key(reusable=True, ephemeral=True)
        last = await come_and_go(server, key)
    for _ in range(6):
        async with running_server(tmp_path, more=more) as server:
            now = await come_and_go(server, key)
            assert now != last
            last = now
