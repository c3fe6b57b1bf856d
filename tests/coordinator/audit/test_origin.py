"""The way of an origin into tasks."""

from __future__ import annotations

import asyncio

from coordinator.audit.origin import acting_from, current_origin
from coordinator.tailnet.actors import NOWHERE, Origin


async def test_it_holds_inside_and_in_tasks_started_there() -> None:
    async def ask() -> Origin:
        await asyncio.sleep(0)
        return current_origin()

    here = Origin(source="192.0.2.1", request_id="r1")
    with acting_from(here):
        task = asyncio.create_task(ask())
        assert current_origin() == here
    assert current_origin() == NOWHERE
    assert await task == here
