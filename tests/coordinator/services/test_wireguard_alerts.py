"""Alerts are recorded before anything is said of them."""

from __future__ import annotations

import pytest

from coordinator.services.wireguard_alerts import ALERT, Alert, WireGuardAlerts
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import UnavailableError
from coordinator.telemetry.metrics import METRICS
from tests.support.tailnets import make_tailnet

ACTOR = Actor(kind="system", name="test")


async def test_alerts() -> None:
    tailnet, store, _ = make_tailnet()
    alerts = WireGuardAlerts(tailnet)
    tailnet.start()
    alert = Alert(kind="drift", detail="not as wished", target="wggateway:1", name="gw")
    counter = METRICS.wireguard_alerts.labels(kind="drift")
    before = counter._value.get()
    await alerts.raise_all([], ACTOR)
    assert store.commits == []
    store.broken = True
    with pytest.raises(UnavailableError):
        await alerts.raise_all([alert], ACTOR)
    store.broken = False
    assert counter._value.get() == before
    await alerts.raise_all([alert, alert], ACTOR)
    assert counter._value.get() == before + 2
    (entry, _) = store.commits[0].audit
    assert (entry.action, entry.target, entry.object_name) == (ALERT, "wggateway:1", "gw")
    await tailnet.close()
