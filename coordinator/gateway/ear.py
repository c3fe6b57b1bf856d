"""Listening for knocks: the packet log of the kernel on the event loop, and the book it fills."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog

from coordinator.gateway.commands import CommandError
from coordinator.gateway.knocks import Knocks
from coordinator.gateway.nflog import listen, receive
from coordinator.gateway.rules import knock_rules

log = structlog.get_logger(__name__)

Runner = Callable[[tuple[str, ...], str], Awaitable[str]]

# Tried and not committed: whether the kernel takes such a rule. A name of its own, were it ever committed.
_TRIAL = "inet coordinator_gateway_trial"
_BEGINNING = (
    f"add table {_TRIAL}",
    f"add chain {_TRIAL} knocks {{ type filter hook input priority filter; policy accept; }}",
)


class Ear:
    """Hears while it is open; closed it knows no ports, and everything else goes on without it.

    Args:
        run: a command with its standard input; returns its output, raises `CommandError`.
        connect: makes the socket, raises OSError.
    """

    def __init__(self, run: Runner, connect: Callable[[], socket.socket] = listen) -> None:
        self.knocks = Knocks()
        self._run = run
        self._connect = connect
        self._channel: socket.socket | None = None

    @property
    def ports(self) -> tuple[int, ...]:
        """Whose handshake initiations the packet rules are to copy."""
        return self.knocks.ports if self._channel is not None else ()

    async def open(self, clock: Callable[[], datetime]) -> str:
        """Begin to listen.

        Args:
            clock: the server's time.
        Returns:
            Why nothing can be heard here; empty when it can.
        """
        try:
            await self._run(("nft", "--check", "--file", "-"), self._trial())
            self._channel = self._connect()
        except (CommandError, OSError) as error:
            reason = str(error) if isinstance(error, CommandError) else error.strerror or str(error)
            return f"handshakes outside of windows are not heard: the kernel logs no packets to us ({reason})"
        asyncio.get_running_loop().add_reader(self._channel, self.hear, clock)
        return ""

    def hear(self, clock: Callable[[], datetime]) -> bool:
        """Look at what has come; whether there was a knock."""
        if self._channel is None:
            return False
        try:
            now = clock()
            heard = [self.knocks.take(packet, now) for packet in receive(self._channel)]
        except OSError as error:
            log.warning("knocks are no longer heard", error=str(error))
            self.close()
            return False
        return any(heard)

    def close(self) -> None:
        """Stop listening."""
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel)
            self._channel.close()
            self._channel = None

    def _trial(self) -> str:
        return "\n".join([*_BEGINNING, *knock_rules(_TRIAL, (1, 2))]) + "\n"
