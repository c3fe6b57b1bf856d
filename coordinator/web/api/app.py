"""The API application, as served on the unix socket: whoever may open the socket may do everything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import web

from coordinator.services.admin_refusals import AdminRefusals
from coordinator.web.api.bearer import recording_refusals
from coordinator.web.api.body import MAX_BODY
from coordinator.web.middleware import Handler, errors, keeping_up, log_request
from coordinator.web.origin import take_origin


class Routes(Protocol):
    """A noun's handlers."""

    def routes(self) -> list[web.RouteDef]:
        """All routes of the noun."""


def api_app(
    nouns: list[Routes],
    healthy: Callable[[], Awaitable[bool]],
    version: dict[str, object],
    refusals: AdminRefusals,
    catch_up: Callable[[], Awaitable[None]],
) -> web.Application:
    """Put the nouns together. `catch_up` is awaited before each request, see `keeping_up`."""

    @web.middleware
    async def record_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await recording_refusals(refusals, handler)(request)

    async def health(request: web.Request) -> web.Response:
        return web.json_response({"databaseConnectivity": await healthy()})

    async def get_version(request: web.Request) -> web.Response:
        return web.json_response(version)

    app = web.Application(
        client_max_size=MAX_BODY,
        middlewares=[log_request, errors, keeping_up(catch_up), take_origin, record_refusals],
    )
    app.router.add_get("/api/v1/health", health)
    app.router.add_get("/version", get_version)
    for noun in nouns:
        app.router.add_routes(noun.routes())
    return app
