"""The small HTTP routes beside `/derp`: latency probes, captive-portal detection, first-aid DNS.

`server.Relay` mounts them. Source: tailscale derp/derpserver/handler.go, net/captivedetection,
cmd/derper/bootstrap_dns.go.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from aiohttp import web

__all__ = ["BootstrapDns", "handle_generate_204", "handle_probe", "resolve"]

log = structlog.get_logger(__name__)

_CHALLENGE = re.compile(r"[A-Za-z0-9.:_-]{1,64}", re.ASCII)
_NO_CACHE = "no-cache, no-store, must-revalidate, no-transform, max-age=0"

Resolve = Callable[[str], Awaitable[list[str]]]


async def handle_probe(request: web.Request) -> web.Response:
    """`/derp/probe` and `/derp/latency-check`: 200 and no text; browsers of any origin may ask."""
    return web.Response(headers={"Access-Control-Allow-Origin": "*"})


async def handle_generate_204(request: web.Request) -> web.Response:
    """`/generate_204`: what a client gets if no captive portal is in between.

    A portal may fake a 204 but not the answer to the client's challenge. The challenge is repeated only when
    it is harmless in a header.
    """
    headers = {"Cache-Control": _NO_CACHE}
    challenge = request.headers.get("X-Tailscale-Challenge", "")
    if _CHALLENGE.fullmatch(challenge):
        headers["X-Tailscale-Response"] = f"response {challenge}"
    return web.Response(status=204, headers=headers)


async def resolve(name: str) -> list[str]:
    """All addresses of a host name, as the system knows them; empty if it knows none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        # UnicodeError: not even the form of a host name.
        log.warning("bootstrap name not resolved", name=name, error=str(error))
        return []
    return sorted({str(address[4][0]) for address in found})


class BootstrapDns:
    """`/bootstrap-dns?q=name`: addresses of a few names for clients whose own DNS is broken.

    Only the names it was given: anything else would make the relay an open resolver. Answers are kept, as a
    crowd of clients asks at the same moment.

    Args:
        names: host names that may be asked for, compared without case.
        keep: seconds an answer is used again.
    """

    def __init__(self, names: Sequence[str], *, keep: float = 600.0, resolve: Resolve = resolve) -> None:
        self._names = frozenset(name.lower() for name in names)
        self._keep = keep
        self._resolve = resolve
        self._answers: dict[str, tuple[float, list[str]]] = {}
        self._locks: Mapping[str, asyncio.Lock] = {name: asyncio.Lock() for name in self._names}

    async def handle(self, request: web.Request) -> web.Response:
        """JSON `{"name":["192.0.2.1",…]}`; `{}` for names that are not offered or not known."""
        name = request.query.get("q", "").lower()
        answer: dict[str, list[str]] = {}
        if name in self._names and (addresses := await self._lookup(name)):
            answer[name] = addresses
        return web.json_response(answer)

    async def _lookup(self, name: str) -> list[str]:
        now = asyncio.get_running_loop().time()
        async with self._locks[name]:
            kept = self._answers.get(name)
            if kept is None or kept[0] < now - self._keep:
                kept = (now, await self._resolve(name))
                # A failure is not kept: the next client may have more luck.
                if kept[1]:
                    self._answers[name] = kept
            return kept[1]
