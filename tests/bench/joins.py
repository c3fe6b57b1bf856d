"""A join storm without the network: so many machines register at once with one reusable key.

`python -m tests.bench.joins [COUNT] [ROUNDS]` prints seconds per round, on SQLite with everything durable. In
process, so it measures the writer, the store and what they record, and nothing else.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from coordinator.services.login import PendingLogins
from coordinator.services.preauth_keys import PreAuthKeyService
from coordinator.services.registration import RegistrationService, RegistrationSettings
from coordinator.services.tailnet import Tailnet
from coordinator.services.users import UserService
from coordinator.store.engine import sqlite_url
from coordinator.store.store import Store
from coordinator.tailcfg.register import RegisterAuth, RegisterRequest
from coordinator.tailnet.actors import Actor
from tests.support.builders import machine_key, node_key
from tests.support.tailnets import PREFIXES, make_world

ACTOR = Actor(kind="socket", name="bench")


def now() -> datetime:
    return datetime.now(UTC)


async def storm(folder: Path, count: int) -> float:
    """Seconds from the first request to the last answer."""
    store = await Store.open(sqlite_url(folder / "db.sqlite"))
    state = await store.load()
    tailnet = Tailnet(store, state, make_world(state), now)
    logins = PendingLogins("http://server", now, secrets.token_hex)
    service = RegistrationService(tailnet, logins, RegistrationSettings(prefixes=PREFIXES), secrets.randbelow)
    tailnet.start()
    user = await UserService(tailnet).create("alice", actor=ACTOR)
    keys = PreAuthKeyService(tailnet, secrets.token_bytes)
    _, key = await keys.create(user_id=user.id, reusable=True, expiration=None, actor=ACTOR)

    async def join(number: int) -> None:
        request = RegisterRequest(
            version=142,
            node_key=node_key(number),
            auth=RegisterAuth(auth_key=key),
            hostinfo={"Hostname": f"host{number}", "OS": "linux"},
        )
        response = await service.register(machine_key(number), request)
        assert not response.error, response.error

    start = time.perf_counter()
    await asyncio.gather(*(join(number) for number in range(1, count + 1)))
    seconds = time.perf_counter() - start
    await tailnet.close()
    await store.close()
    return seconds


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            print(f"{count} registrations: {asyncio.run(storm(Path(folder), count)):.3f} s", flush=True)


if __name__ == "__main__":
    main()
