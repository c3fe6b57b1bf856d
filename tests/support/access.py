"""A server with a profile to ask for: alice asks from her laptop, bob and carol decide."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import Running, running_server

POLICY = """{
  "groups": {"group:ops": ["alice@"], "group:leads": ["bob@", "carol@"]},
  "tagOwners": {"tag:mgmt": []},
  "acls": [],
  "access": {"profiles": {"mgmt": {
    "src": ["group:ops"], "dst": ["tag:mgmt:22"], "approvers": ["group:leads"], "breakGlass": ["group:leads"],
    "defaultDuration": "90m", "maxDuration": "4h",
  }}},
}"""


@asynccontextmanager
async def access_server(directory: Path, more: str = "", policy: str = POLICY) -> AsyncIterator[Running]:
    """Alice and bob have a machine each; `more` is appended to the configuration."""
    async with running_server(directory, policy, more) as server:
        for user, name in (("alice", "laptop"), ("bob", "bobs-laptop")):
            client = FakeTailscaled(server.url, hostname=name)
            await client.connect()
            await client.register(await server.auth_key(user))
            await client.close()
        await server.call("POST", "/api/v1/user", json={"name": "carol"})
        yield server


async def ask(server: Running, **fields: object) -> dict[str, Any]:
    """A request of alice for her laptop."""
    body = {"profile": "mgmt", "user": "alice", "node": "laptop", "reason": "disk full", **fields}
    answer = await server.call("POST", "/api/v1/access/requests", json=body)
    return dict(answer["request"])  # type: ignore[call-overload]
