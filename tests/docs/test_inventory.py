"""docs/inventory.md: every command of it works."""

from __future__ import annotations

import re
from pathlib import Path

from coordinator.tailnet.inventory import FINDINGS
from coordinator.tailnet.inventory_csv import COLUMNS
from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.page_commands import run_shown
from tests.support.server_in_process import running_server

PAGE = Path(__file__).parents[2] / "docs" / "inventory.md"


async def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    commands = re.findall(r"^    coordinator (.+)$", PAGE.read_text(), re.MULTILINE)
    assert len(commands) >= 8
    async with running_server(tmp_path) as server:
        client = FakeTailscaled(server.url, hostname="laptop")
        await client.connect()
        await client.register(await server.auth_key("ada"))
        await client.close()
        for command in commands:
            await run_shown(server, command)


def test_the_page_knows_the_columns_and_the_findings() -> None:
    text = PAGE.read_text()
    plain = {"id", "name", "key", "addresses", "online", "until", "lastSeen"}
    named = set(re.findall(r"`([a-zA-Z-]+)", text))
    assert set(COLUMNS) - plain <= named
    assert set(FINDINGS) <= named
