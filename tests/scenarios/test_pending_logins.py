"""A thousand machines wait for a person: others join as ever, each can be let in, a restart asks anew."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from tests.scenarios.test_ephemeral_loop import live_objects, resident_mib
from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import Running, free_port, running_server

WAITING = 1000
AT_ONCE = 50
REBORN = 20
SETTINGS = "rate_limits: {address_burst: 5000}"
SPARE_MIB = 150.0
"""Both ends of a thousand connections live in this process."""


async def ask(client: FakeTailscaled) -> str:
    return str((await client.register())["AuthURL"])


async def begin(server: Running) -> dict[str, tuple[FakeTailscaled, asyncio.Task[dict[str, object]]]]:
    """By URL: the client, and its follow-up, which the server holds."""
    waiting = {}
    for start in range(0, WAITING, AT_ONCE):
        clients = [FakeTailscaled(server.url, hostname=f"w{start + number}") for number in range(AT_ONCE)]
        for client, url in zip(clients, await asyncio.gather(*map(ask, clients)), strict=True):
            waiting[url] = client, asyncio.create_task(client.register(Followup=url))
    return waiting


async def test_a_thousand_waiting_machines_do_no_harm(tmp_path: Path) -> None:
    port = free_port()
    async with running_server(tmp_path, more=SETTINGS, port=port) as server:
        key = await server.auth_key(reusable=True)
        before = resident_mib()
        waiting = await begin(server)
        assert len(waiting) == WAITING
        await asyncio.sleep(0.2)
        assert not any(task.done() for _, task in waiting.values())
        assert resident_mib() - before < SPARE_MIB

        began = time.monotonic()
        other = FakeTailscaled(server.url, hostname="other")
        assert (await other.register(key))["MachineAuthorized"]
        async with other.map_stream() as maps:
            await anext(maps)
        await other.close()
        assert time.monotonic() - began < 1.0

        # The first and the last of them are let in, and nobody else wakes up.
        for url in (next(iter(waiting)), list(waiting)[-1]):
            began = time.monotonic()
            await server.call(
                "POST", "/api/v1/auth/register", json={"user": "alice", "authId": url.rpartition("/")[2]}
            )
            client, task = waiting.pop(url)
            assert (await asyncio.wait_for(task, 1))["MachineAuthorized"]
            assert time.monotonic() - began < 1.0
            await client.close()
        assert not any(task.done() for _, task in waiting.values())

        # The same machine asks again: the same link, nothing more to keep.
        url, (client, _) = next(iter(waiting.items()))
        assert await ask(client) == url
        for _, task in waiting.values():
            task.cancel()
        await asyncio.gather(*(client.close() for client, _ in waiting.values()))
        await asyncio.gather(*(task for _, task in waiting.values()), return_exceptions=True)
        rows = (await server.call("GET", "/api/v1/node"))["nodes"]
        assert len(rows) == 3  # type: ignore[arg-type]
        print(f"\n{WAITING} waiting: {resident_mib() - before:.1f} MiB more, {live_objects()} objects")
    async with running_server(tmp_path, more=SETTINGS, port=port) as server:
        for url, (client, _) in list(waiting.items())[:REBORN]:
            answer = await client.register(Followup=url)
            assert answer["AuthURL"].startswith(f"{server.url}/register/")
            assert answer["AuthURL"] != url
            await client.close()
