"""One server, its API through the unix socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.server_in_process import Running, running_server

POLICY = """{
  "tagOwners": {"tag:ci": ["alice@"]},
  "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],
}"""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    (tmp_path / "acls.hujson").write_text(POLICY)
    async with running_server(tmp_path, POLICY) as running:
        yield running


@pytest.fixture
async def api(server: Running) -> AsyncIterator[aiohttp.ClientSession]:
    async with server.api() as session:
        yield session
