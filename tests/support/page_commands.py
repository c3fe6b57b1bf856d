"""Runs the commands that a page of the documentation shows."""

from __future__ import annotations

import asyncio
import shlex
import sys

from tests.support.server_in_process import Running


async def run_shown(server: Running, command: str, spelled: str | None = None) -> str:
    """What a command prints; it has to succeed, and to print something.

    Args:
        command: As shown, without `coordinator`.
        spelled: As it is run, where that differs.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "coordinator", "-c", str(server.config), *shlex.split(spelled or command),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0, f"{command}: {out.decode()}"
    assert out.strip(), command
    return out.decode()
