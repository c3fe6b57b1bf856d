"""Running `wg`, `ip` and `nft`: the only door to them, with a time limit and errors that say what to do."""

from __future__ import annotations

import asyncio
import os
import re
import shutil

from coordinator.gateway.checked import shown

_TIMEOUT_S = 30.0
# Where Debian keeps what only root used to need.
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_KEY = re.compile(r"[A-Za-z0-9+/]{43}=")
_NEEDED = {"wg": "wireguard-tools", "ip": "iproute2", "nft": "nftables"}


class CommandError(Exception):
    """A command could not be run, failed, or took too long; the text quotes it without keys."""


def missing_commands() -> list[str]:
    """What has to be installed first, one sentence each."""
    return [
        f"`{command}` is not installed (Debian: apt install {package})"
        for command, package in _NEEDED.items()
        if shutil.which(command, path=_PATH) is None
    ]


async def run(argv: tuple[str, ...], stdin: str = "") -> str:
    """Run a command to its end.

    Args:
        argv: the command and its arguments.
        stdin: its standard input; never part of an error.
    Returns:
        Its standard output.
    Raises:
        CommandError: see there.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
        )
    except OSError as error:
        raise CommandError(f"`{argv[0]}` cannot be run: {error.strerror}") from error
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            out, err = await process.communicate(stdin.encode() if stdin else None)
    except TimeoutError:
        raise CommandError(f"{_quoted(argv)} did not end within {_TIMEOUT_S:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise CommandError(f"{_quoted(argv)} failed: {_reason(err.decode(errors='replace'))}")
    return out.decode(errors="replace")


async def run_detached(argv: tuple[str, ...]) -> None:
    """Run a program that goes on in the background by itself, and wait until it has done so.

    Nothing of ours is left open in it: its output goes nowhere, and signals to our group do not reach it.

    Raises:
        CommandError: it could not be started or said no.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,
        )
    except OSError as error:
        raise CommandError(f"`{argv[0]}` cannot be run: {error.strerror}") from error
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            code = await process.wait()
    except TimeoutError:
        process.kill()
        raise CommandError(f"{_quoted(argv)} did not go to the background") from None
    if code != 0:
        raise CommandError(f"{_quoted(argv)} failed with exit code {code}")


def _environment() -> dict[str, str]:
    # Messages are read: not in the language of whoever started us.
    return {"PATH": _PATH, "LC_ALL": "C"}


def _quoted(argv: tuple[str, ...]) -> str:
    words = _KEY.sub("KEY", " ".join(argv[:6]))
    return f"`{words}{' …' if len(argv) > 6 else ''}`"


def _reason(stderr: str) -> str:
    lines = [_KEY.sub("KEY", line.strip()) for line in stderr.splitlines() if line.strip()]
    return "; ".join(shown(line) for line in lines[:2]) or "it gave no reason"
