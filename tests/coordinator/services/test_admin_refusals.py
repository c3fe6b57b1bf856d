"""Refused requests in the audit log."""

from __future__ import annotations

from coordinator.audit.budget import BURST
from coordinator.services.admin_refusals import MAX_PATH, AdminRefusals
from coordinator.tailnet.actors import Actor
from tests.support.tailnets import make_tailnet

ACTOR = Actor(kind="api_key", name="abc")


async def test_entries_are_bounded_in_number_and_size() -> None:
    tailnet, store, clock = make_tailnet()
    tailnet.start()
    refusals = AdminRefusals(tailnet)
    for _ in range(BURST + 5):
        await refusals.record(ACTOR, "GET", "/api/v1/node/" + "x" * 1000, "no")
    clock.forward(seconds=1)
    await refusals.record(ACTOR, "GET", "/api/v1/node", "no")
    await tailnet.close()
    entries = [entry for commit in store.commits for entry in commit.audit]
    assert len(entries) == BURST + 1
    assert (entries[0].action, entries[0].target) == ("api.refused", "api:node")
    assert len(entries[0].after["path"]) == MAX_PATH
    assert entries[-1].after == {"method": "GET", "path": "/api/v1/node", "not_recorded_before": 5}
