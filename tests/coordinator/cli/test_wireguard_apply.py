"""`wireguard apply`."""

from __future__ import annotations

from pathlib import Path

from tests.coordinator.cli.conftest import CommandLine
from tests.support.wireguard_records import public_key

TEXT = f"""\
gateways:
  - {{name: gw, host: vpn.example.com, pools: [10.90.0.0/24]}}
peers:
  - {{name: lab, publicKey: {public_key(1)}, gateway: gw, service: lab, permanent: true, reason: r}}
"""


async def test_twice_changes_nothing(cli: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "wireguard.yaml"
    file.write_text(TEXT)
    apply = ("wireguard", "apply", str(file))
    dry = await cli.ok(*apply, "--dry-run")
    assert dry.splitlines() == ["+ gateway gw", "+ peer lab", "2 changes; nothing was done."]
    assert "token of gateway gw: wggateway-" in await cli.ok(*apply)
    assert await cli.ok(*apply) == "Nothing to change.\n"
    assert await cli.json(*apply) == {"changes": [], "tokens": {}}
    file.write_text(TEXT.replace("service: lab", "service: hall"))
    assert await cli.ok(*apply) == "~ peer lab: service\n"


async def test_mistakes(cli: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "wireguard.yaml"
    file.write_text(TEXT.replace("publicKey", "publickey").replace("host", "hots"))
    error = await cli.refused("wireguard", "apply", str(file))
    assert f"{file}: line 2, column 16: unknown key `hots`" in error
    assert f"{file}: line 4, column 17: unknown key `publickey`" in error
    assert "cannot read" in await cli.refused("wireguard", "apply", str(tmp_path / "none"))


async def test_profiles(cli: CommandLine, tmp_path: Path) -> None:
    await cli.server.call("POST", "/api/v1/user", json={"name": "ada"})
    file = tmp_path / "wireguard.yaml"
    file.write_text('profiles:\n  db:\n    src: ["ada@"]\n    dst: ["10.20.0.5:5432"]\n')
    apply = ("wireguard", "apply", str(file))
    assert await cli.ok(*apply, "--dry-run") == "+ profile db\n1 changes; nothing was done.\n"
    assert await cli.json("access", "profiles") == []
    assert await cli.ok(*apply) == "+ profile db\n"
    assert await cli.ok(*apply) == "Nothing to change.\n"
    file.write_text(file.read_text().replace("5432", "6432") + "    maxDuration: 2h\n")
    assert await cli.ok(*apply) == "~ profile db: dst, maxDuration\n"
    file.write_text(file.read_text().replace("ada@", "group:none"))
    error = await cli.refused(*apply)
    assert f'{file}: line 3, column 11: [access] group not found: "group:none"' in error
