"""Who is really there when a reverse proxy stands before the server.

Headers that name another address are believed only from the peers in `trusted_proxies`; from everybody else
they do not exist. Everything behind the middleware (rate limits, the audit log, the log, the Noise listener,
the relay) then finds the client in `request.remote` and never has to ask.

`X-Forwarded-For` is read from its end, where the nearest proxy wrote: the first address that is not a
trusted proxy's is the client. What stands before it, the client may have made up. `X-Real-IP` counts where
that header is missing. A proxy that sets one of the two passes the other on as its client sent it; so when
they contradict each other, neither is believed, and the proxy's own address stands for the client.

Other headers (`Forwarded`, `True-Client-IP`, …) are not read: proxies that do not know them pass them on.
Source: RFC 7239 for the dangers; nginx's $proxy_add_x_forwarded_for, Caddy and Traefik for what is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from multidict import CIMultiDictProxy

log = structlog.get_logger(__name__)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_HOPS = 20
"""Proxies in a row; whoever claims more has written them himself."""
_SCHEMES = ("http", "https")
_TOLD_EVERY = 1000
"""One line for the first contradiction and then for every thousandth: anybody can cause them."""


class TrustedProxies:
    """The proxies whose word counts, and the middleware that takes them at it."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = tuple(networks)
        self._contradictions = 0

    def middleware(self) -> Middleware:
        """Goes around everything that looks at `request.remote`."""

        @web.middleware
        async def forwarded(request: web.Request, handler: Handler) -> web.StreamResponse:
            peer = request.remote or ""
            if not self._networks or not self.trusts(peer):
                return await handler(request)
            scheme = _last(request.headers, "X-Forwarded-Proto").lower()
            if scheme not in _SCHEMES:
                scheme = request.scheme
            return await handler(request.clone(remote=self.client(peer, request.headers), scheme=scheme))

        return forwarded

    def trusts(self, peer: str) -> bool:
        """Whether the headers of this peer are believed."""
        address = _address(peer)
        return address is not None and self._inside(address)

    def client(self, peer: str, headers: CIMultiDictProxy[str]) -> str:
        """The address of the client behind a trusted peer; the peer's own where its headers name nobody."""
        hops = self._hops(headers.getall("X-Forwarded-For", []))
        real = _address(_last(headers, "X-Real-IP"))
        if not hops:
            return peer if real is None else str(real)
        if real is not None and real not in hops and str(real) != peer:
            self._tell(peer, str(real), str(hops[-1]))
            return peer
        return str(hops[-1])

    def _hops(self, lines: Sequence[str]) -> list[Address]:
        """From the nearest on: trusted proxies, and at last the client; nothing behind a text that is no
        address.
        """
        hops: list[Address] = []
        # Several lines of one header are one list. Source: RFC 9110, 5.3.
        for text in reversed(",".join(lines).rsplit(",", MAX_HOPS)[-MAX_HOPS:]):
            address = _address(text)
            if address is None:
                break
            hops.append(address)
            if not self._inside(address):
                break
        return hops

    def _inside(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._networks)

    def _tell(self, peer: str, real: str, claimed: str) -> None:
        if self._contradictions % _TOLD_EVERY == 0:
            log.warning(
                "headers of a proxy contradict each other",
                remote=peer,
                reason=f"X-Real-IP says {real}, X-Forwarded-For says {claimed}: let the proxy set both, or"
                " name every proxy on the way in trusted_proxies",
                refused=self._contradictions + 1,
            )
        self._contradictions += 1


def _last(headers: CIMultiDictProxy[str], name: str) -> str:
    """The value that the nearest proxy wrote."""
    lines = headers.getall(name, [])
    return lines[-1].rpartition(",")[2].strip() if lines else ""


def _address(text: str) -> Address | None:
    """An address, with a port or in brackets as some proxies write it; None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text, _, port = text[1:].partition("]")
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
    else:
        port = ""
    if port and not (port.removeprefix(":").isascii() and port.removeprefix(":").isdecimal()):
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address
