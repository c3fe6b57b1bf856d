"""/api/v1/inventory."""

from __future__ import annotations

import csv
import io

import aiohttp
import pytest

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import Running


async def test_keys_as_json_and_as_csv(server: Running, api: aiohttp.ClientSession) -> None:
    key = await server.auth_key(description="=evil()")
    client = FakeTailscaled(server.url, hostname="web")
    await client.connect()
    await client.register(key)
    await client.close()
    (shown,) = (await server.call("GET", "/api/v1/inventory"))["keys"]  # type: ignore[misc]
    assert (shown["kind"], shown["id"], shown["name"], shown["key"]) == (
        "tailnet",
        "1",
        "web",
        client.node_key,
    )
    assert (shown["owner"], shown["ownerKind"], shown["state"]) == ("alice", "person", "valid")
    assert (shown["keySinceExact"], shown["keyAgeDays"], shown["until"]) == (True, 0.0, None)
    assert shown["keySince"] == shown["since"]
    assert shown["findings"] == ["no-expiry"]
    async with api.get("/api/v1/inventory?format=csv") as response:
        assert response.content_type == "text/csv"
        (row,) = csv.DictReader(io.StringIO(await response.text(), newline=""))
    assert (row["owner"], row["reason"]) == ("alice", "auth key 1: =evil()")
    report = await server.call("GET", "/api/v1/inventory/report?unseen=1d&olderThan=7d")
    assert (report["rotationAgeDays"], report["unseenDays"], report["total"]) == (7.0, 1.0, 1)
    counts = {each["finding"]: each["count"] for each in report["findings"]}  # type: ignore[attr-defined]
    assert counts == {"stale": 0, "rotate": 0, "unseen": 0, "no-expiry": 1}


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("unseen=soon", "`unseen`"),
        ("olderThan=0", "positive"),
        ("format=xls", "`xls`"),
        ("older=1d", "unknown parameter `older`"),
    ],
)
async def test_mistakes(api: aiohttp.ClientSession, query: str, named: str) -> None:
    for path in ("inventory", "inventory/report"):
        async with api.get(f"/api/v1/{path}?{query}") as response:
            assert response.status == 400
            assert named in (await response.json(content_type=None))["message"]
