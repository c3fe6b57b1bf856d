"""A server in this process, and the command line as a program of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.server_in_process import Running, running_server

POLICY = """{
  "tagOwners": {"tag:ci": [], "tag:production": []},
  "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}],
}"""


@dataclass
class CommandLine:
    """Runs `coordinator -c CONFIG …`."""

    server: Running

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "coordinator", "-c", str(self.server.config), *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    async def ok(self, *arguments: str) -> str:
        code, out, err = await self.run(*arguments)
        assert code == 0, f"{arguments}: {out}{err}"
        return out

    async def json(self, *arguments: str) -> Any:
        return json.loads(await self.ok(*arguments, "-o", "json"))

    async def refused(self, *arguments: str) -> str:
        code, out, err = await self.run(*arguments)
        assert code == 1, f"{arguments}: {out}{err}"
        return err


@pytest.fixture
async def cli(tmp_path: Path) -> AsyncIterator[CommandLine]:
    async with running_server(tmp_path, POLICY) as server:
        yield CommandLine(server)
