"""Figures of the whole server that nobody else has a place for: the event loop's lag, and how many nodes."""

from __future__ import annotations

import asyncio

from coordinator.services.tailnet import Tailnet
from coordinator.telemetry.metrics import METRICS

LAG_INTERVAL = 0.25
COUNT_INTERVAL = 1.0


async def measure(tailnet: Tailnet) -> None:
    """Keep the figures fresh, for ever."""
    loop = asyncio.get_running_loop()
    counted = 0.0
    while True:
        due = loop.time() + LAG_INTERVAL
        await asyncio.sleep(LAG_INTERVAL)
        METRICS.loop_lag_seconds.observe(max(0.0, loop.time() - due))
        if loop.time() - counted < COUNT_INTERVAL:
            continue
        counted = loop.time()
        METRICS.waiting_commands.set(tailnet.waiting)
        records = tailnet.snapshot.records.values()
        online = sum(record.node.online for record in records)
        METRICS.nodes.labels(presence="online").set(online)
        METRICS.nodes.labels(presence="offline").set(len(records) - online)
