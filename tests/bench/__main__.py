"""`make bench`: join, fan-out, policy edit and reconnect, by number of clients and by policy.

    python -m tests.bench [--clients 50,100,200] [--policies all,tenth]

Ours alone, or with PEER_HEADSCALE=/path/to/headscale alternating with it in the same run, as ratios of the
server process's CPU seconds. Clients and server share the machine; wall times include both.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import time
from datetime import UTC, datetime

from tests.bench.crowd import Crowd
from tests.bench.process import MeasuredServer, servers

CHANGES = 20
EDITS = 4
TAGS = 50


def policy(kind: str, variant: int = 0) -> dict[str, object]:
    """`all`: everybody reaches everybody. `tenth`: 50 tags, tag j reaches j, j+1, j+2 (or j+3)."""
    tags = [f"tag:t{number}" for number in range(TAGS)]
    owners: dict[str, object] = {tag: [] for tag in tags}
    if kind == "all":
        ports = "1-65535" if variant else "*"
        acls = [{"action": "accept", "src": ["*"], "dst": [f"*:{ports}"]}]
    else:
        steps = (0, 1, 3 if variant else 2)
        acls = [
            {"action": "accept", "src": [tag], "dst": [f"{tags[(number + step) % TAGS]}:*" for step in steps]}
            for number, tag in enumerate(tags)
        ]
    return {"tagOwners": owners, "acls": acls}


async def measure(server: MeasuredServer, kind: str, count: int) -> dict[str, float]:
    """All phases against one fresh server."""
    await server.start()
    await server.cli("users", "create", "bench")
    await server.set_policy(policy(kind))
    if kind == "all":
        keys = [await server.auth_key("--user", "1")]
        expected = count - 1
    else:
        keys = [await server.auth_key("--tags", f"tag:t{number}") for number in range(TAGS)]
        expected = 5 * count // TAGS - 1
    crowd = Crowd(server.url, keys, count)
    figures: dict[str, float] = {}
    try:
        before = server.usage().cpu
        began = time.perf_counter()
        await crowd.join()
        await crowd.converged(expected)
        figures["join: CPU ms a client"] = (server.usage().cpu - before) * 1000 / count
        figures["join: s until all see all"] = time.perf_counter() - began

        await asyncio.sleep(1)
        before, latencies = server.usage().cpu, list[float]()
        for change in range(CHANGES):
            latencies += await crowd.announce(change % count, f"198.51.100.7:{change + 1}")
        figures["endpoint change: CPU ms"] = (server.usage().cpu - before) * 1000 / CHANGES
        figures["endpoint change: µs a recipient"] = figures["endpoint change: CPU ms"] * 1000 / expected
        figures["endpoint change: p50 ms"] = statistics.median(latencies) * 1000
        figures["endpoint change: p99 ms"] = statistics.quantiles(latencies, n=100)[98] * 1000

        before, waits = server.usage().cpu, []
        for edit in range(EDITS):
            seen = [member.filters_seen for member in crowd.members]
            began = time.perf_counter()
            await server.set_policy(policy(kind, (edit + 1) % 2))
            async with asyncio.timeout(120):
                while any(
                    member.filters_seen == old for member, old in zip(crowd.members, seen, strict=True)
                ):
                    await asyncio.sleep(0.005)
            waits.append(time.perf_counter() - began)
        figures["policy edit: CPU ms"] = (server.usage().cpu - before) * 1000 / EDITS
        figures["policy edit: s until the last"] = max(waits)

        await crowd.converged(expected)
        before, began = server.usage().cpu, time.perf_counter()
        await crowd.reconnect()
        await crowd.converged(expected)
        figures["reconnect: CPU ms a client"] = (server.usage().cpu - before) * 1000 / count
        figures["reconnect: s until all see all"] = time.perf_counter() - began
        figures["peak memory MiB"] = server.usage().peak
    finally:
        await crowd.close()
        server.stop()
    return figures


def report(kind: str, count: int, results: dict[str, dict[str, float]]) -> None:
    """One table."""
    names = list(results)
    print(f"\n### policy `{kind}`, {count} clients\n")
    ratio = ["ratio"] if len(names) == 2 else []
    print("| " + " | ".join(["figure", *names, *ratio]) + " |")
    print("|---" * (1 + len(names) + len(ratio)) + "|")
    for figure in results[names[0]]:
        values = [results[name][figure] for name in names]
        cells = [f"{value:.2f}" for value in values]
        if ratio:
            cells.append(f"1/{values[1] / values[0]:.1f}" if values[0] else "-")
        print("| " + " | ".join([figure, *cells]) + " |")


def main() -> None:
    """Run everything asked for and print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--clients", default="50,100,200", help="comma list")
    parser.add_argument("--policies", default="all,tenth", help="all, tenth")
    arguments = parser.parse_args()
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}, loopback"
    )
    for kind in arguments.policies.split(","):
        for count in (int(text) for text in arguments.clients.split(",")):
            results = {server.name: asyncio.run(measure(server, kind, count)) for server in servers()}
            report(kind, count, results)


if __name__ == "__main__":
    main()
