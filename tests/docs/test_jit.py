"""docs/jit.md: every command of it works, in its order, with the policy it shows."""

from __future__ import annotations

import re
from pathlib import Path

from coordinator.settings.load import load_settings
from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.page_commands import run_shown
from tests.support.server_in_process import running_server

PAGE = Path(__file__).parents[2] / "docs" / "jit.md"


def test_the_webhooks_of_the_page_are_read(tmp_path: Path) -> None:
    shown = re.search(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert shown is not None
    config = tmp_path / "config.yaml"
    config.write_text(
        "server_url: http://10.0.0.1:8080\ndns: {base_domain: tail.lab, override_local_dns: false}\n"
        + shown[1]
    )
    settings, notices = load_settings(config, {})
    assert [each.name for each in settings.access_webhooks] == ["slack", "mattermost", "ticketing"]
    assert not any("access" in notice for notice in notices)


async def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    text = PAGE.read_text()
    policy = re.search(r"```hujson\n(.*?)```", text, re.DOTALL)
    assert policy is not None
    commands = re.findall(r"^    coordinator (.+?)(?:  +#.*)?$", text, re.MULTILINE)
    assert len(commands) >= 12
    async with running_server(tmp_path, policy[1]) as server:
        for name in ("ada", "bob"):
            client = FakeTailscaled(server.url, hostname=f"{name}s-laptop")
            await client.connect()
            await client.register(await server.auth_key(name))
            await client.close()
        for command in commands:
            await run_shown(server, command)
