"""The metrics listener."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web


def metrics_app(render: Callable[[], bytes]) -> web.Application:
    """An application with /metrics in the Prometheus text format."""

    async def metrics(request: web.Request) -> web.Response:
        content_type = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        return web.Response(body=render(), headers=content_type)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    return app
