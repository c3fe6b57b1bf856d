"""What every request goes through: headers, errors turned into answers, and for the API a line in the log."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from time import perf_counter

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from acl import PolicyError
from coordinator.tailnet.errors import CoordinatorError
from coordinator.web.errors import from_error, problem

log = structlog.get_logger(__name__)

SECURITY_HEADERS = {
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_FOR_PEOPLE = ("/api/", "/register/", "/access", "/auth/", "/oidc/")
_HEALTH = "/api/v1/health"


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn exceptions into answers; an unknown one is logged under an id, and the id is all that is shown."""
    try:
        return await handler(request)
    except (CoordinatorError, PolicyError) as error:
        return from_error(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return problem(error.status, error.text or error.reason, headers=allowed)
    except ConnectionError:
        raise
    except Exception:
        # The API's requests have their id from `log_request` already.
        bound = structlog.contextvars.get_contextvars()
        request_id = bound.get("request_id") or secrets.token_hex(6)
        log.exception("request failed", request_id=request_id, method=request.method, path=request.path)
        return problem(500, f"internal error, see the server's log for request {request_id}")


def keeping_up(catch_up: Callable[[], Awaitable[None]]) -> Middleware:
    """Before a request of a person or a program is answered, this instance knows what the others know.

    So whoever makes something at one instance finds it at the next one. Clients' own connections, relays and
    health checks do not wait: `catch_up` asks the database.
    """

    @web.middleware
    async def keep_up(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(_FOR_PEOPLE) and request.path != _HEALTH:
            await catch_up()
        return await handler(request)

    return keep_up


@web.middleware
async def log_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """One line when a request ends: changes at level info, questions at debug. Goes around `errors`.

    The query is left out: it may hold a key.
    """
    request_id = secrets.token_hex(6)
    start = perf_counter()
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        response = await handler(request)
        write = log.debug if request.method in ("GET", "HEAD") and response.status < 500 else log.info
        write(
            "api request",
            method=request.method,
            path=request.path,
            status=response.status,
            seconds=round(perf_counter() - start, 4),
        )
    return response


def guarded(
    route: web.RouteDef, check: Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]
) -> web.RouteDef:
    """The same route, logged, with a check that decides whether its handler is called."""
    handler: Handler = route.handler

    async def checked(request: web.Request) -> web.StreamResponse:
        return await check(request, handler)

    async def logged(request: web.Request) -> web.StreamResponse:
        return await log_request(request, checked)

    return web.RouteDef(route.method, route.path, logged, route.kwargs)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Security headers on every answer."""
    response.headers.update(SECURITY_HEADERS)
