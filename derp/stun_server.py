"""UDP sockets that answer STUN binding requests. `stun` knows the bytes.

`serve_stun` is called by `standalone` and by whoever mounts a relay.
"""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from typing import Any, cast

import structlog

from derp import stun

__all__ = ["StunServer", "serve_stun"]

log = structlog.get_logger(__name__)

_EVERY_ADDRESS = ("0.0.0.0", "::")


class _StunProtocol(asyncio.DatagramProtocol):
    """Answers each request at once. A datagram that cannot be sent is lost, as any datagram may be."""

    def __init__(self, counts: "StunServer") -> None:
        self._counts = counts
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Neither loop's transport is a subclass of the declared type.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        transaction_id = stun.parse_binding_request(data)
        if transaction_id is None:
            self._counts.ignored += 1
            return
        if self._transport is not None:
            self._counts.answered += 1
            self._transport.sendto(stun.binding_response(transaction_id, addr[0], addr[1]), addr)

    def error_received(self, exc: Exception) -> None:
        # An earlier answer met a closed port. Clients leave whenever they like.
        log.debug("stun answer bounced", error=str(exc))


class StunServer:
    """Running STUN sockets. `answered` and `ignored` count datagrams."""

    def __init__(self) -> None:
        self.answered = 0
        self.ignored = 0
        self._transports: list[asyncio.DatagramTransport] = []

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Address and port of each socket, as bound."""
        return tuple(transport.get_extra_info("sockname")[:2] for transport in self._transports)

    async def listen(self, sock: socket.socket) -> None:
        """Answer on a bound UDP socket, which is ours from now on."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _StunProtocol(self), sock=sock)
        self._transports.append(transport)

    async def close(self) -> None:
        """Close all sockets."""
        for transport in self._transports:
            transport.close()
        self._transports.clear()
        # The sockets themselves are closed in the loop's next turn.
        await asyncio.sleep(0)


async def serve_stun(host: str, port: int) -> StunServer:
    """Answer STUN requests until closed.

    Args:
        host: an address or name; every address of it is served. Empty, `0.0.0.0` or `*` means all of IPv4
            and, if the machine has it, IPv6; `::` alone means the same. A machine with several addresses does
            better with one of them: an answer from the wildcard may leave with another address than was
                asked.
        port: UDP port; 0 lets the system choose one, the same for all addresses.
    Raises:
        OSError: the name is not known, or an address cannot be bound.
    """
    server = StunServer()
    every = host in ("", "*", *_EVERY_ADDRESS)
    try:
        for address in _EVERY_ADDRESS if every else await _addresses(host):
            optional = every and address == "::" and server.addresses
            try:
                sock = _bind(address, port)
            except OSError as error:
                if not optional:
                    raise
                log.info("stun without IPv6", error=str(error))
                continue
            port = port or sock.getsockname()[1]
            await server.listen(sock)
    except BaseException:
        await server.close()
        raise
    return server


async def _addresses(host: str) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _bind(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.ExitStack() as on_failure:
        sock = on_failure.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        if family == socket.AF_INET6:
            # IPv4 has its own socket; without this the second bind would collide with it.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind((address, port))
        on_failure.pop_all()
    return sock
