"""`apikeys`, and the command line from elsewhere."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.coordinator.cli.conftest import CommandLine


async def elsewhere(cli: CommandLine, key: str, folder: Path, *arguments: str) -> tuple[int, str]:
    """Run a command without configuration, only with an address and a key."""
    env = {
        **os.environ,
        "HEADSCALE_CLI_ADDRESS": cli.server.url,
        "HEADSCALE_CLI_API_KEY": key,
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "coordinator", *arguments, cwd=folder, env=env,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


async def test_verbs(cli: CommandLine) -> None:
    text = await cli.json("apikeys", "create", "--expiration", "24h")
    assert text.startswith("hskey-api-")
    (key,) = await cli.json("apikeys", "list")
    assert "all rights" in await cli.ok("apikeys", "list")
    await cli.ok("apikeys", "expire", "--prefix", key["prefix"])
    await cli.ok("apikeys", "delete", "--id", key["id"])
    assert await cli.json("apikeys", "list") == []
    assert "not both" in await cli.refused("apikeys", "expire")
    assert "does not exist" in await cli.refused("apikeys", "delete", "--prefix", "nothing")
    assert "--expiration" in await cli.refused("apikeys", "create", "-e", "soon")


async def test_from_elsewhere_with_a_key(cli: CommandLine, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    text = await cli.json("apikeys", "create")
    code, out = await elsewhere(cli, text, folder, "users", "create", "frank", "-o", "json")
    assert (code, json.loads(out)["name"]) == (0, "frank")
    code, out = await elsewhere(cli, "hskey-api-wrong", folder, "users", "list")
    assert code == 1
    assert "does not take this API key" in out
    code, out = await elsewhere(cli, "", folder, "users", "list")
    assert code == 1
    assert "cli.api_key is missing" in out
