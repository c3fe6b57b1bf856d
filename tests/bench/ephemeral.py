"""Ephemeral nodes join, poll and vanish, round after round: what they leave behind.

`python -m tests.bench.ephemeral [ROUNDS] [NODES]` prints a line before and after each round, as a table for
`docs/performance.md`. The server runs in this process, its clients in another; one in ten crashes instead of
logging out. Addresses rest for a second and absent nodes go after one, so that a round ends soon.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from coordinator.settings import checks
from coordinator.telemetry.logging import configure_logging
from coordinator.web.deadline import FirstRequestDeadline
from tests.scenarios.test_ephemeral_loop import SETTINGS, crowd, nobody_left, resident_mib
from tests.support.server_in_process import Running, running_server

ROUNDS = 4
NODES = 500
WARM_UP = 100
COLUMNS = (
    "nodes so far",
    "rows",
    "nodes",
    "resting addresses",
    "streams",
    "tasks",
    "timers",
    "resident MiB",
    "seconds",
)
SETTLE_SECONDS = 2.5
"""Longer than the silence a new connection is allowed, and than the rest of an address."""


def figures(server: Running, database: Path) -> str:
    """The columns of one line."""
    gc.collect()
    services = server.server._services
    loop = asyncio.get_running_loop()
    rest = services.registration._addresses._rest
    rest.prune(services.tailnet.clock())
    with sqlite3.connect(database) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM nodes").fetchone()
    numbers = (
        rows,
        len(services.tailnet.snapshot.records),
        len(rest),
        len(services.sessions),
        len(asyncio.all_tasks()),
        len([handle for handle in loop._scheduled if not handle.cancelled()]),  # type: ignore[attr-defined]
    )
    return " | ".join(map(str, numbers)) + f" | {resident_mib():.1f}"


async def run(rounds: int, nodes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with running_server(Path(folder), more=SETTINGS) as server:
            server.server._services.sessions._offline_grace = 2.0
            key = await server.auth_key(reusable=True, ephemeral=True)
            await crowd(server, key, 0, WARM_UP)
            await nobody_left(server)
            await asyncio.sleep(SETTLE_SECONDS)
            print("| " + " | ".join(COLUMNS) + " |")
            print("|---" * len(COLUMNS) + "|")
            database = Path(folder) / "db.sqlite"
            print(f"| {WARM_UP} | {figures(server, database)} | - |", flush=True)
            for number in range(rounds):
                began = time.monotonic()
                await crowd(server, key, WARM_UP + number * nodes, nodes)
                took = time.monotonic() - began
                await nobody_left(server)
                await asyncio.sleep(SETTLE_SECONDS)
                total = WARM_UP + (number + 1) * nodes
                print(f"| {total} | {figures(server, database)} | {took:.1f} |", flush=True)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    nodes = int(sys.argv[2]) if len(sys.argv) > 2 else NODES
    configure_logging("error", "text")
    # A timeout that short would remove healthy nodes elsewhere; here nobody is absent and comes back.
    checks.SHORTEST_ABSENCE = timedelta()
    FirstRequestDeadline.__init__.__defaults__ = (1.0,)  # type: ignore[misc]
    asyncio.run(run(rounds, nodes))


if __name__ == "__main__":
    main()
