"""docs/wireguard.md: every command of it works, in its order, with the policy and the file it shows."""

from __future__ import annotations

import re
from pathlib import Path

from coordinator.tailnet.actors import Actor
from tests.support.page_commands import run_shown
from tests.support.server_in_process import Running, running_server
from tests.support.wireguard_records import public_key

PAGE = Path(__file__).parents[2] / "docs" / "wireguard.md"
ACTOR = Actor(kind="system", name="test")


async def report_keys(server: Running) -> None:
    """What the program on each gateway does when it starts."""
    gateways = server.server._services.wireguard.gateways
    for gateway in gateways.all():
        keys = {key.key_id: public_key(f"{gateway.name} {key.key_id}") for key in gateway.keys}
        await gateways.reported(gateway, keys, actor=ACTOR)


async def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    text = PAGE.read_text()
    policy = re.search(r"```hujson\n(.*?)```", text, re.DOTALL)
    declared = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert policy is not None
    assert declared is not None
    file = tmp_path / "wireguard.yaml"
    file.write_text(declared[1])
    commands = re.findall(r"^    coordinator (.+)$", text, re.MULTILINE)
    assert len(commands) >= 25
    outputs: dict[str, str] = {}
    async with running_server(tmp_path, policy[1]) as server:
        for name in ("ada", "bob"):
            await server.call("POST", "/api/v1/user", json={"name": name})
        for command in commands:
            await report_keys(server)
            spelled = re.sub(
                r"\$\(wg pubkey < (\w+)\.key\)", lambda match: public_key(match[1]), command
            ).replace("wireguard.yaml", str(file))
            outputs[command] = await run_shown(server, command, spelled)
    listed = next(each for command, each in outputs.items() if command.startswith("wireguard peers list"))
    assert "adas-laptop | active" in re.sub(" +", " ", listed)
    assert outputs["wireguard apply wireguard.yaml"].strip() == "Nothing to change."
    assert re.search(r"video .* apply", outputs["access profiles"])
    assert "active" in outputs["wireguard peers show adas-tablet"]
    assert "video" in outputs["audit list --action profile.create"]
    code = next(each for command, each in outputs.items() if "--qr" in command)
    assert "AllowedIPs = 10.20.0.5/32" in code
    assert "█" in code or "▀" in code
