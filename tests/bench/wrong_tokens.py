"""What 200 requests a second with wrong tokens do to everybody else.

    python -m tests.bench.wrong_tokens [--rate 200] [--seconds 10]

A server process on loopback with a gateway and a few peers. Good requests (a gateway's wish, a device's own
configuration, an administrator's list) go on at a steady pace, first alone, then beside strangers who show
wrong tokens: from one address, which is turned away after its first 300; from a thousand, which never are;
and from the address the good ones have, too.
Reported: latencies of the good ones, what they were refused, memory, CPU, the audit table and the log.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sqlite3
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp

from coordinator.wireguard.wire import REPORT_PATH, WISH_PATH
from tests.bench.process import MeasuredServer, servers
from tests.support.wireguard_records import public_key

PEERS = "/api/v1/wireguard/peers"
GOOD_EVERY = 0.05
ADDRESSES = 1000
WRONG = (f"{WISH_PATH}?wait=0", f"{PEERS}/p1/config", "/api/v1/node", PEERS)


@dataclass
class Figures:
    """What was measured of one phase."""

    good: dict[str, list[float]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    wrong: Counter[int] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """Latencies in milliseconds: median, 99th percentile, worst."""
        found = []
        for name, seconds in self.good.items():
            ms = sorted(each * 1000 for each in seconds)
            shown = f"{statistics.median(ms):.1f} / {ms[int(len(ms) * 0.99)]:.1f} / {ms[-1]:.1f}"
            found.append(f"  {name:<26}{shown:>22}   refused {self.refused[name]} of {len(ms)}")
        return found


def wrong_token(number: int, known: list[str]) -> str:
    """Every third has the public part of a token there is; the others are nobody's."""
    if number % 3 == 0:
        real = known[number // 3 % len(known)]
        return real[:-32] + secrets.token_hex(16)
    kind = ("wggw-", "hskey-api-", "wgenrol-")[number % 3]
    return f"{kind}{secrets.token_hex(6)}-{secrets.token_hex(32)}"


async def good_ones(
    session: aiohttp.ClientSession, asked: dict[str, tuple[str, str]], figures: Figures, until: float
) -> None:
    """Ask each good question at its pace."""

    async def one(name: str, path: str, token: str) -> None:
        while time.monotonic() < until:
            began = time.monotonic()
            headers = {"Authorization": f"Bearer {token}"}
            async with session.get(path, headers=headers) as answer:
                await answer.read()
                figures.refused[name] += answer.status not in (200, 204)
            took = time.monotonic() - began
            figures.good.setdefault(name, []).append(took)
            await asyncio.sleep(max(0.0, GOOD_EVERY - took))

    await asyncio.gather(*(one(name, *what) for name, what in asked.items()))


async def wrong_ones(
    url: str, rate: int, known: list[str], figures: Figures, until: float, address_of: Callable[[int], str]
) -> None:
    """Send so many a second whatever becomes of them, each from an address."""
    sessions: dict[str, aiohttp.ClientSession] = {}
    pending: set[asyncio.Task[None]] = set()

    async def one(number: int) -> None:
        address = address_of(number)
        if address not in sessions:
            connector = aiohttp.TCPConnector(local_addr=(address, 0), limit=0)
            sessions[address] = aiohttp.ClientSession(url, connector=connector)
        headers = {"Authorization": f"Bearer {wrong_token(number, known)}"}
        async with sessions[address].get(WRONG[number % len(WRONG)], headers=headers) as answer:
            await answer.read()
            figures.wrong[answer.status] += 1

    began, number = time.monotonic(), 0
    while time.monotonic() < until:
        while number < (time.monotonic() - began) * rate:
            task = asyncio.create_task(one(number))
            pending.add(task)
            task.add_done_callback(pending.discard)
            number += 1
        await asyncio.sleep(0.005)
    await asyncio.gather(*pending)
    for session in sessions.values():
        await session.close()


async def prepare(server: MeasuredServer) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """A gateway with peers and an administrator; returns the good questions and the tokens there are."""
    created = ("wireguard", "gateways", "create", "gw", "--host", "h", "--pool", "10.90.0.0/24")
    gateway = (await server.cli(*created))["token"]  # type: ignore[index,call-overload]
    api_key = str(await server.cli("apikeys", "create")).strip().strip('"')
    report = {"version": "", "now": "2026-01-01T00:00:00Z", "publicKeys": {"key-1": public_key("gw")}}
    async with aiohttp.ClientSession(server.url) as session:
        headers = {"Authorization": f"Bearer {gateway}"}
        async with session.post(REPORT_PATH, json=report, headers=headers) as answer:
            assert answer.status == 204, await answer.text()
    for number in range(5):
        standing = ("--service", "lab", "--permanent", "--reason", "r")
        key = public_key(number)
        await server.cli("wireguard", "peers", "create", key, "--name", f"p{number}", *standing)
    asked = {
        "gateway: its wish": (f"{WISH_PATH}?wait=0", gateway),
        "device: configuration": (f"{PEERS}/p1/config", api_key),
        "administrator: nodes": ("/api/v1/node", api_key),
    }
    return asked, [gateway, api_key]


def stored(server: MeasuredServer) -> str:
    """Audit entries, and the sizes of database and log."""
    folder = server.config.parent
    with sqlite3.connect(f"file:{folder / 'db.sqlite'}?mode=ro", uri=True) as connection:
        (entries,) = connection.execute("SELECT count(*) FROM audit").fetchone()
        (bytes_,) = connection.execute("SELECT sum(length(after) + length(reason)) FROM audit").fetchone()
    size = sum(path.stat().st_size for path in folder.glob("db.sqlite*"))
    log = (folder / "log").stat().st_size
    sizes = f"database {size / 1024:.0f} KiB, log {log / 1024:.0f} KiB"
    return f"audit {entries} entries ({bytes_ / 1024:.0f} KiB), {sizes}"


async def phase(
    server: MeasuredServer,
    name: str,
    asked: dict[str, tuple[str, str]],
    known: list[str],
    arguments: argparse.Namespace,
    address_of: Callable[[int], str] | None,
) -> None:
    """One phase, and its figures."""
    figures, before = Figures(), server.usage()
    until = time.monotonic() + arguments.seconds
    # The good ones come from an address of their own, as on a network.
    connector = aiohttp.TCPConnector(local_addr=(arguments.good_address, 0))
    async with aiohttp.ClientSession(server.url, connector=connector) as session:
        work = [good_ones(session, asked, figures, until)]
        if address_of is not None:
            work.append(wrong_ones(server.url, arguments.rate, known, figures, until, address_of))
        await asyncio.gather(*work)
    after = server.usage()
    print(f"{name}: wrong ones answered {dict(figures.wrong)}")
    print("\n".join(figures.lines()))
    cpu = (after.cpu - before.cpu) / arguments.seconds
    print(f"  CPU {cpu:.0%}, resident {before.resident:.0f} -> {after.resident:.0f} MiB; {stored(server)}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--good-address", default="127.0.0.1")
    arguments = parser.parse_args()
    server = servers()[0]
    await server.start()
    try:
        asked, known = await prepare(server)
        await phase(server, "alone", asked, known, arguments, None)
        await phase(server, "one stranger", asked, known, arguments, lambda number: "127.0.9.9")
        many = [f"127.0.{1 + each // 250}.{1 + each % 250}" for each in range(ADDRESSES)]
        await phase(server, "a thousand strangers", asked, known, arguments, lambda n: many[n % ADDRESSES])
        await phase(
            server, "a stranger next door", asked, known, arguments, lambda number: arguments.good_address
        )
    finally:
        server.stop()


if __name__ == "__main__":
    asyncio.run(main())
