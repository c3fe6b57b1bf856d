"""docs/wireguard.md: every command of it works, in its order, with the policy and the file it shows."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from nacl.bindings import crypto_scalarmult_base

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


def made_key(folder: Path, name: str) -> str:
    """`wg genkey > NAME.key`; returns the public half."""
    raw = sha256(name.encode()).digest()
    (folder / f"{name}.key").write_text(b64encode(raw).decode())
    return b64encode(crypto_scalarmult_base(raw)).decode()


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
                r"\$\(wg pubkey < (\w+)\.key\)", lambda match: made_key(tmp_path, match[1]), command
            ).replace("wireguard.yaml", str(file))
            spelled = re.sub(r"--private-key (\w+\.key)", rf"--private-key {tmp_path}/\1", spelled)
            outputs[command] = await run_shown(server, command, spelled)
    listed = next(each for command, each in outputs.items() if command.startswith("wireguard peers list"))
    assert "adas-laptop | active" in re.sub(" +", " ", listed)
    assert outputs["wireguard apply wireguard.yaml"].strip() == "Nothing to change."
    assert re.search(r"video .* apply", outputs["access profiles"])
    assert "active" in outputs["wireguard peers show adas-tablet"]
    assert "video" in outputs["audit list --action profile.create"]
    code = next(each for command, each in outputs.items() if "--qr" in command)
    assert "AllowedIPs = 10.20.0.5/32" in code
    assert "\nPrivateKey = " in code
    assert "█" in code or "▀" in code
