"""Every noun of the API is there, once."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from coordinator.api_nouns import api_nouns
from coordinator.services.audit import AuditService
from coordinator.web.api.bearer import needed_right
from tests.coordinator.test_assembly import services


async def test_no_two_handlers_share_a_path_and_each_needs_a_right(tmp_path: Path) -> None:
    (tmp_path / "acls.hujson").write_text("{}")
    async with AsyncExitStack() as stack:
        found = await services(tmp_path, stack)
        nouns = api_nouns(found, AuditService(found.store.audit))
        routes = [(route.method, route.path) for noun in nouns for route in noun.routes()]
    assert len(set(routes)) == len(routes) > 40
    assert [path for method, path in routes if needed_right(method, path) is None] == []
