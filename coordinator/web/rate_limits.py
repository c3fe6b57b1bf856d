"""Login pages answer only so many wrong guesses from one address."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from coordinator.services.rate_limits import RateLimits
from coordinator.tailnet.errors import RateLimitedError

GUESSABLE = ("/register/", "/auth/", "/access/links/")
"""Pages under an id that only those who were given it should find."""
NOT_FOUND = 404


def page_limits(limits: RateLimits) -> Middleware:
    """The middleware; a page that is not found counts as a wrong guess."""

    @web.middleware
    async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith(GUESSABLE):
            return await handler(request)
        remote = request.remote or ""
        try:
            limits.check("page", remote)
        except RateLimitedError as error:
            headers = {"Retry-After": str(error.retry_after)}
            return web.Response(status=429, text=f"{error.message}\n", headers=headers)
        response = await handler(request)
        if response.status == NOT_FOUND:
            limits.failed(remote)
        return response

    return limited
