"""The program around the agent: options checked, the log, signals, exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit

import structlog

from coordinator.gateway.agent import Agent
from coordinator.gateway.commands import missing_commands
from coordinator.gateway.link import Link
from coordinator.gateway.machine import Machine
from coordinator.gateway.options import Options, OptionsError, read_options
from coordinator.gateway.state import State, StateError
from coordinator.telemetry.logging import configure_logging
from coordinator.version import NUMBER

log = structlog.get_logger(__name__)

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def start(arguments: Sequence[str]) -> int:
    """Read the command line, set up the log and `run`.

    Raises:
        OptionsError: as `read_options` and `run`.
        SystemExit: as `read_options`.
    """
    options = read_options(arguments)
    configure_logging("info", options.log_format)
    return run(options)


def run(options: Options) -> int:
    """Follow the server until SIGTERM or SIGINT; returns the exit code.

    Raises:
        OptionsError: something is missing or wrong before anything was touched.
    """
    tls = _tls(options)
    if missing := missing_commands():
        raise OptionsError("; ".join(missing))
    try:
        state = State(options.state)
    except StateError as error:
        raise OptionsError(str(error)) from error
    try:
        return asyncio.run(_run(options, state, tls))
    except StateError as error:
        log.error("state cannot be kept", error=str(error))
        return 1
    finally:
        state.close()


async def _run(options: Options, state: State, tls: ssl.SSLContext | None) -> int:
    async with Link(options.server, options.token, tls) as link:
        agent = Agent(link, state, Machine(), prefix=options.prefix, agent=f"coordinator {NUMBER}")
        if options.once:
            return 0 if await agent.once() else 1
        loop, me = asyncio.get_running_loop(), asyncio.current_task()
        assert me is not None
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, me.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await agent.run()
        log.info("left; peers stay until their windows end in the kernel's rules")
    return 0


def _is_word(text: str) -> bool:
    return text.isprintable() and not any(char.isspace() for char in text)


def _tls(options: Options) -> ssl.SSLContext | None:
    try:
        parts = urlsplit(options.server)
        # The port is looked at when it is asked for.
        host = parts.hostname if parts.port != 0 else None
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not host:
        raise OptionsError(f"--server `{options.server}` is no address like https://coordinator.example.com")
    if not options.token or not options.token.isascii() or not _is_word(options.token):
        raise OptionsError(
            "the token is empty or more than one word: give what `wireguard gateways create` printed"
        )
    if parts.scheme == "http":
        if host not in _LOOPBACK:
            log.warning(
                "the token and preshared keys travel without encryption; use https", server_url=options.server
            )
        return None
    try:
        return ssl.create_default_context(cafile=str(options.authority) if options.authority else None)
    except (OSError, ssl.SSLError) as error:
        raise OptionsError(f"--ca {options.authority} cannot be used: {error}") from error
