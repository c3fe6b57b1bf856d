"""`make bench`: joins, endpoint changes, policy edits, reconnects, churn and idleness, by clients and policy.

    python -m tests.bench [--clients 50,100,200,400,1000,2000] [--policies all,tenth] [--peer-most 200]

Ours alone, or with PEER_HEADSCALE=/path/to/headscale alternating with it in the same run, as ratios of the
server process's CPU seconds. Clients and server share the machine; wall times include both. How costs grow
from size to size is printed as the exponent of a power law.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import platform
import statistics
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.bench.crowd import Crowd
from tests.bench.process import OURS, MeasuredServer, servers
from tests.support.fake_tailscaled import FakeTailscaled

CHANGES = 20
EDITS = 4
VISITORS = 5
IDLE_SECONDS = 20
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


@dataclass
class Run:
    """One server with its crowd, and the figures taken so far."""

    server: MeasuredServer
    kind: str
    crowd: Crowd
    expected: int
    spare_key: str
    figures: dict[str, float] = field(default_factory=dict)

    def cpu(self) -> float:
        """CPU milliseconds of the server so far."""
        return self.server.usage().cpu * 1000

    async def join(self) -> None:
        """A storm of joins, until everyone sees everyone."""
        before, began = self.cpu(), time.perf_counter()
        empty = self.server.usage().resident
        await self.crowd.join()
        await self.crowd.converged(self.expected)
        self.figures["join: CPU ms a client"] = (self.cpu() - before) / len(self.crowd.members)
        self.figures["join: s until all see all"] = time.perf_counter() - began
        grown = self.server.usage().resident - empty
        self.figures["memory: KiB a session"] = grown * 1024 / len(self.crowd.members)

    async def change(self) -> None:
        """One endpoint changes, again and again."""
        await asyncio.sleep(1)
        before, latencies = self.cpu(), list[float]()
        for change in range(CHANGES):
            number = change % len(self.crowd.members)
            latencies += await self.crowd.announce(number, f"198.51.100.7:{change + 1}")
        cost = (self.cpu() - before) / CHANGES
        self.figures["endpoint change: CPU ms"] = cost
        self.figures["endpoint change: CPU µs a recipient"] = cost * 1000 / self.expected
        self.figures["endpoint change: p50 ms"] = statistics.median(latencies) * 1000
        self.figures["endpoint change: p99 ms"] = statistics.quantiles(latencies, n=100)[98] * 1000

    async def edit(self) -> None:
        """The policy changes in a way that concerns everyone."""
        before, waits = self.cpu(), []
        for edit in range(EDITS):
            seen = [member.filters_seen for member in self.crowd.members]
            began = time.perf_counter()
            await self.server.set_policy(policy(self.kind, (edit + 1) % 2))
            async with asyncio.timeout(120):
                while any(
                    member.filters_seen == old for member, old in zip(self.crowd.members, seen, strict=True)
                ):
                    await asyncio.sleep(0.005)
            waits.append(time.perf_counter() - began)
        self.figures["policy edit: CPU ms"] = (self.cpu() - before) / EDITS
        self.figures["policy edit: s until the last client"] = max(waits)

    async def reconnect(self) -> None:
        """Everyone comes back at once."""
        await self.crowd.converged(self.expected)
        before, began = self.cpu(), time.perf_counter()
        await self.crowd.reconnect()
        await self.crowd.converged(self.expected)
        self.figures["reconnect: CPU ms a client"] = (self.cpu() - before) / len(self.crowd.members)
        self.figures["reconnect: s until all see all"] = time.perf_counter() - began

    async def churn(self) -> None:
        """Ephemeral nodes join and log out while all others watch."""
        await asyncio.sleep(1)
        before = self.cpu()
        for number in range(VISITORS):
            visitor = FakeTailscaled(self.server.url, hostname=f"visitor{number}")
            await visitor.connect()
            await visitor.register(self.spare_key)
            async with visitor.map_stream() as maps:
                await anext(maps)
                await visitor.lite_update(Endpoints=["192.0.2.9:1"])
                await asyncio.sleep(0.5)
            await visitor.register(Expiry="1970-01-01T00:02:03Z")
            await visitor.close()
            await asyncio.sleep(0.5)
        self.figures["ephemeral join and leave: CPU ms"] = (self.cpu() - before) / VISITORS

    async def idle(self) -> None:
        """Nothing happens."""
        before = self.cpu()
        await asyncio.sleep(IDLE_SECONDS)
        self.figures["idle: CPU s a minute"] = (self.cpu() - before) / 1000 * 60 / IDLE_SECONDS
        self.figures["peak memory MiB"] = self.server.usage().peak
        self.figures["streams lost"] = self.crowd.lost


async def measure(server: MeasuredServer, kind: str, count: int) -> dict[str, float]:
    """All phases against one fresh server."""
    await server.start()
    try:
        await server.cli("users", "create", "bench")
        await server.set_policy(policy(kind))
        if kind == "all":
            owners = [["--user", "1"]]
            expected = count - 1
        else:
            owners = [["--tags", f"tag:t{number}"] for number in range(TAGS)]
            expected = 5 * count // TAGS - 1
        keys = [await server.auth_key(*owner) for owner in owners]
        spare = await server.auth_key("--ephemeral", *owners[0])
        run = Run(server, kind, Crowd(server.url, keys, count), expected, spare)
        try:
            for phase in (run.join, run.change, run.edit, run.reconnect, run.churn, run.idle):
                await phase()
        except (TimeoutError, ConnectionError) as error:
            if server.name == OURS:
                raise
            # The peer's figures end where it gave up; that is a result, too.
            print(f"\n{server.name} did not get through `{phase.__name__}`: {error!r}")
        finally:
            await run.crowd.close()
    finally:
        server.stop()
    return run.figures


def report(kind: str, count: int, results: dict[str, dict[str, float]]) -> None:
    """One table."""
    names = list(results)
    print(f"\n### policy `{kind}`, {count} clients\n")
    ratio = ["ratio"] if len(names) == 2 else []
    print("| " + " | ".join(["figure", *names, *ratio]) + " |")
    print("|---" * (1 + len(names) + len(ratio)) + "|")
    for figure in results[names[0]]:
        values = [results[name].get(figure) for name in names]
        cells = ["-" if value is None else f"{value:.2f}" for value in values]
        if ratio:
            cells.append(f"1/{values[1] / values[0]:.1f}" if values[0] and values[1] is not None else "-")
        print("| " + " | ".join([figure, *cells]) + " |")


def exponent(points: list[tuple[float, float]]) -> float:
    """The power of x with which y grows: the slope of a line through the logarithms."""
    xs, ys = zip(*((math.log(x), math.log(y)) for x, y in points if x > 0 and y > 0), strict=True)
    return statistics.linear_regression(xs, ys).slope


def report_growth(kind: str, sizes: dict[int, dict[str, float]]) -> None:
    """How our costs grow; below 100 clients the clock's ticks of 10 ms say too little."""
    large = {peers: figures for peers, figures in sizes.items() if figures["clients"] >= 100}
    if len(large) < 3:
        return
    print(f"\n### policy `{kind}`, growth of ours: exponent of the cost against visible peers\n")
    print("| cost | exponent |\n|---|---|")
    for figure in ("join: CPU ms a client", "reconnect: CPU ms a client", "endpoint change: CPU ms"):
        power = exponent([(peers, figures[figure]) for peers, figures in large.items()])
        print(f"| {figure} | {power:.2f} |")


def main() -> None:
    """Run everything asked for and print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--clients", default="50,100,200,400,1000,2000", help="comma list")
    parser.add_argument("--policies", default="all,tenth", help="all, tenth")
    parser.add_argument("--peer-most", type=int, default=200, help="the peer takes part up to this")
    arguments = parser.parse_args()
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()}, loopback"
    )
    for kind in arguments.policies.split(","):
        ours: dict[int, dict[str, float]] = {}
        for count in (int(text) for text in arguments.clients.split(",")):
            results = {
                server.name: asyncio.run(measure(server, kind, count))
                for server in servers()
                if server.name == OURS or count <= arguments.peer_most
            }
            report(kind, count, results)
            peers = count - 1 if kind == "all" else 5 * count // TAGS - 1
            ours[peers] = {**results[OURS], "clients": float(count)}
        report_growth(kind, ours)


if __name__ == "__main__":
    main()
