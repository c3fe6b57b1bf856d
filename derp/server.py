"""The relay as one object, mounted on any aiohttp application, or on several at once.

    relay = Relay(private_key=load_or_create_private_key(path), admission=AllowAll())
    app.add_routes(relay.routes())
    await relay.start()
    ...
    await relay.close()

Listeners, TLS and STUN belong to whoever mounts it (`standalone` for a relay alone).
"""

import asyncio
import contextlib
from collections.abc import Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry

from derp import http
from derp.admission import Admission
from derp.connection import RelayContext
from derp.keepalive import KeepAliveWheel
from derp.keys import KEY_LENGTH, public_key_of
from derp.limits import Limits
from derp.metrics import RelayCollector, Stats
from derp.registry import Registry
from derp.tasks import TaskSet
from derp.upgrade import handle_upgrade

__all__ = ["Relay"]


class Relay:
    """A DERP relay.

    Args:
        private_key: 32 bytes, clamped. Clients learn the public half on connecting; it may change at a
        restart. admission: who may connect. An exception or a late answer means no.
        limits: every number; see `Limits`.
        metrics: where to show the numbers; one registry takes one relay.
        bootstrap_names: host names `/bootstrap-dns` answers for, usually the coordination server's.
    Raises:
        ValueError: the private key has another length.
    """

    def __init__(
        self,
        *,
        private_key: bytes,
        admission: Admission,
        limits: Limits | None = None,
        metrics: CollectorRegistry | None = None,
        bootstrap_names: Sequence[str] = (),
    ) -> None:
        if len(private_key) != KEY_LENGTH:
            raise ValueError(f"a private key has {KEY_LENGTH} bytes, got {len(private_key)}")
        limits = limits or Limits()
        self._bootstrap_dns = http.BootstrapDns(bootstrap_names)
        self._context = RelayContext(
            private_key=private_key,
            public_key=public_key_of(private_key),
            admission=admission,
            limits=limits,
            stats=Stats(),
            registry=Registry(),
            tasks=TaskSet(),
            wheel=KeepAliveWheel(limits.keepalive_interval),
        )
        self._metrics = metrics
        self._collector = RelayCollector(self._context.stats)
        if metrics is not None:
            metrics.register(self._collector)
        self._closing = False

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        return self._context.public_key

    @property
    def stats(self) -> Stats:
        """The relay's numbers, live: read, do not write."""
        return self._context.stats

    def routes(self) -> list[web.RouteDef]:
        """The routes to add to an application, as often as there are listeners.

        The application's access log should leave `/derp` out: the server below logs each take-over as a 200
        that was never sent. The relay itself logs one line when a connection ends.
        """
        return [
            web.get("/derp", self._handle_derp, allow_head=False),
            web.get("/derp/probe", http.handle_probe),
            web.get("/derp/latency-check", http.handle_probe),
            web.get("/generate_204", http.handle_generate_204),
            web.get("/bootstrap-dns", self._bootstrap_dns.handle),
        ]

    async def start(self) -> None:
        """Begin to send KeepAlive frames. Call once, before the first connection."""
        self._context.tasks.spawn("derp keep-alive", self._context.wheel.run())

    async def close(self) -> None:
        """End all connections and wait until they are gone; those that do not go in time are cut."""
        self._closing = True
        context = self._context
        for connection in tuple(context.open):
            connection.end("relay_closed")
        await context.tasks.close()
        await self._wait_until_gone(context.limits.close_deadline)
        for connection in tuple(context.open):
            connection.abort()
        # An aborted transport says so in the loop's next turns.
        await self._wait_until_gone(1.0)
        if self._metrics is not None:
            self._metrics.unregister(self._collector)
            self._metrics = None

    def disconnect(self, node_key: bytes) -> None:
        """End the connections of a node that may no longer use the relay, and those about to be admitted."""
        for connection in tuple(self._context.open):
            if connection.node_key == node_key:
                connection.end("disconnected")

    def connected(self, node_key: bytes) -> bool:
        """Whether a node is here."""
        return node_key in self._context.registry

    async def _handle_derp(self, request: web.Request) -> web.StreamResponse:
        if self._closing:
            self.stats.refused("relay_closed")
            return web.Response(status=503, text="the relay is closing\n")
        return await handle_upgrade(request, self._context)

    async def _wait_until_gone(self, timeout: float) -> None:
        if not self._context.open:
            return
        # Whoever is not gone in time is dealt with by the caller.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._context.all_gone.wait()
