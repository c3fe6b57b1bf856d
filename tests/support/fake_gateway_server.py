"""The server's side of `coordinator.wireguard.wire`, as a gateway notices it: a wish, long polls, reports.

Runs in a thread of its own, so that tests may block. Its clock can be wrong, it can be away, and it
can refuse the token.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeVar

import msgspec
from aiohttp import web

from coordinator.wireguard.wire import (
    REPORT_PATH,
    WISH_PATH,
    Noticed,
    Report,
    Wish,
    WishedInterface,
    WishedPeer,
)

T = TypeVar("T")

TOKEN = "a-gateway-token"


class FakeGatewayServer:
    """One gateway's server on `address`; started and stopped as often as wanted, on the same port."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.address = address
        self.port = 0
        self.ahead = timedelta(0)
        self.refusing = False
        self.reports: list[Report] = []
        self.asked: list[str] = []
        self.interfaces: tuple[WishedInterface, ...] = ()
        self.peers: tuple[WishedPeer, ...] = ()
        self.masquerade = True
        self.report_seconds = 2
        self.version = 0
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.address}:{self.port}"

    @property
    def events(self) -> list[Noticed]:
        """All events of all reports, each once."""
        return list(dict.fromkeys(event for report in self.reports for event in report.events))

    def kinds(self) -> list[str]:
        """The kinds of `events`."""
        return [event.kind for event in self.events]

    def wish(
        self,
        *,
        peers: tuple[WishedPeer, ...] | None = None,
        interfaces: tuple[WishedInterface, ...] | None = None,
    ) -> str:
        """Wish something else from now on; returns the version."""

        def change() -> None:
            self.peers = self.peers if peers is None else peers
            self.interfaces = self.interfaces if interfaces is None else interfaces
            self.version += 1
            self._changed.set()
            self._changed = asyncio.Event()

        self._call(change)
        return str(self.version)

    def start(self) -> None:
        """Listen."""
        self._await(self._start())

    def stop(self) -> None:
        """Be away: connections are cut, new ones refused."""
        self._await(self._stop())

    def close(self) -> None:
        """Stop for good."""
        if self._loop.is_closed():
            return
        self._await(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_get(WISH_PATH, self._wish)
        app.router.add_post(REPORT_PATH, self._report)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.address, self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _wish(self, request: web.Request) -> web.Response:
        self._authorize(request)
        have, wait = request.query["have"], float(request.query["wait"])
        self.asked.append(have)
        try:
            async with asyncio.timeout(wait):
                while have == str(self.version):
                    await self._changed.wait()
        except TimeoutError:
            return web.Response(status=204)
        self._authorize(request)
        wish = Wish(
            version=str(self.version),
            gateway="edge",
            now=datetime.now(UTC) + self.ahead,
            interfaces=self.interfaces,
            peers=self.peers,
            masquerade=self.masquerade,
            report_seconds=self.report_seconds,
        )
        return web.Response(body=msgspec.json.encode(wish), content_type="application/json")

    async def _report(self, request: web.Request) -> web.Response:
        self._authorize(request)
        self.reports.append(msgspec.json.decode(await request.read(), type=Report))
        return web.Response(status=204)

    def _authorize(self, request: web.Request) -> None:
        if self.refusing or request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise web.HTTPUnauthorized

    def _await(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def _call(self, work: Callable[[], T]) -> T:
        async def there() -> T:
            return work()

        return self._await(there())
