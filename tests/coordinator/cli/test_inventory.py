"""`inventory`."""

from __future__ import annotations

import csv
import io
import json

from tests.coordinator.cli.conftest import CommandLine
from tests.support.fake_tailscaled import FakeTailscaled


async def test_list_export_report(cli: CommandLine) -> None:
    key = await cli.server.auth_key(reusable=True, description="laptops")
    for name in ("web", "db"):
        client = FakeTailscaled(cli.server.url, hostname=name)
        await client.connect()
        await client.register(key)
        await client.close()
    await cli.ok("nodes", "tag", "-i", "2", "-t", "tag:ci")
    listed = await cli.ok("inventory", "list")
    assert "auth key 1: laptops" in listed
    assert "web" in listed
    assert [row["name"] for row in await cli.json("inventory", "list", "--owner", "tag:ci")] == ["db"]
    assert await cli.json("inventory", "list", "--kind", "wireguard") == []
    exported = json.loads(await cli.ok("inventory", "export"))
    assert [row["owner"] for row in exported] == ["alice", "tag:ci"]
    lines = (await cli.ok("inventory", "export", "--format", "jsonl")).splitlines()
    assert [json.loads(line) for line in lines] == exported
    rows = list(
        csv.DictReader(io.StringIO(await cli.ok("inventory", "export", "--format", "csv"), newline=""))
    )
    assert [row["ownerKind"] for row in rows] == ["person", "service"]
    report = await cli.ok("inventory", "report", "--unseen", "30d")
    assert "2 keys" in report
    assert "2 no-expiry" in report
    assert (await cli.json("inventory", "report", "--older-than", "7d"))["rotationAgeDays"] == 7.0
    assert "`xls`" in await cli.refused("inventory", "export", "--format", "xls")
    assert "`unseen`" in await cli.refused("inventory", "report", "--unseen", "soon")
