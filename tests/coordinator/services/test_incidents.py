"""Incidents are tested with the windows they open, in test_access."""

from __future__ import annotations

import pytest

from coordinator.services.incidents import IncidentService
from coordinator.tailnet.errors import NotFoundError
from tests.coordinator.services.test_access import ACTOR, make_bench


async def test_an_unknown_incident() -> None:
    bench = await make_bench()
    with pytest.raises(NotFoundError, match="no incident `flood`"):
        await IncidentService(bench.tailnet, bench.access).close("flood", actor=ACTOR)
    await bench.tailnet.close()
