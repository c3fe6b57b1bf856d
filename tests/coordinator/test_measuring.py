"""The server's own figures."""

from __future__ import annotations

import asyncio

import pytest

from coordinator import measuring
from coordinator.measuring import measure
from coordinator.telemetry.metrics import METRICS
from tests.support.builders import make_node, make_user
from tests.support.tailnets import make_tailnet


async def test_nodes_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "LAG_INTERVAL", 0.001)
    tailnet, _, _ = make_tailnet()
    tailnet.start()
    await tailnet.execute(lambda directory: directory.put_user(make_user(1)))
    await tailnet.execute(lambda directory: directory.put_node(make_node(1, user_id=1)))
    tailnet.update_volatile(make_node(1).id, online=True)
    task = asyncio.create_task(measure(tailnet))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await tailnet.close()
    assert METRICS.nodes.labels(presence="online")._value.get() == 1
    assert METRICS.nodes.labels(presence="offline")._value.get() == 0
