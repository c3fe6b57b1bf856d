"""What every request goes through: an id, headers, and errors turned into answers."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

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
        return problem(error.status, error.text or error.reason)
    except ConnectionError:
        raise
    except Exception:
        request_id = secrets.token_hex(6)
        log.exception("request failed", request_id=request_id, method=request.method, path=request.path)
        return problem(500, f"internal error, see the server's log for request {request_id}")


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Security headers on every answer."""
    response.headers.update(SECURITY_HEADERS)
