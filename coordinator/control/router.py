"""Which handler answers which path inside the Noise channel, and how errors leave it.

Register refusals are answers (200 with `Error`), because clients show nothing of an HTTP error and retry it
silently. Unknown paths are 404 in plain text, which clients tolerate everywhere but on register and map.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import structlog

from coordinator.control.h2_server import BodyTooLargeError, Request, ResponseStream
from coordinator.tailcfg.errors import WireError
from coordinator.tailnet.errors import (
    CoordinatorError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    RateLimitedError,
    UnavailableError,
)

log = structlog.get_logger(__name__)

Handler = Callable[[Request, ResponseStream], Awaitable[None]]

STATUS: Mapping[type[Exception], int] = {
    WireError: 400,
    InvalidError: 400,
    ForbiddenError: 403,
    NotFoundError: 404,
    BodyTooLargeError: 413,
    # Only for those who failed again and again; the daemon obeys its Retry-After.
    RateLimitedError: 429,
    # Retried silently by clients, unlike 429, which makes `tailscale up` fail.
    UnavailableError: 503,
}


async def answer(
    stream: ResponseStream,
    status: int,
    body: bytes,
    content_type: str,
    headers: Mapping[str, str] | None = None,
) -> None:
    """A whole response."""
    head = {"content-type": content_type, "content-length": str(len(body)), **(headers or {})}
    await stream.send_head(status, head)
    if body:
        await stream.send(body)
    await stream.finish()


async def answer_json(stream: ResponseStream, body: bytes) -> None:
    """A 200 with a JSON document."""
    await answer(stream, 200, body, "application/json")


async def answer_text(
    stream: ResponseStream, status: int, text: str, headers: Mapping[str, str] | None = None
) -> None:
    """Plain text, of which clients log the first 200 characters."""
    await answer(stream, status, text.encode(), "text/plain; charset=utf-8", headers)


class Router:
    """Dispatch by method and path.

    Args:
        routes: By exact path; one that ends with `/` takes all paths below it that have no route.
    """

    def __init__(self, routes: Mapping[tuple[str, str], Handler]) -> None:
        self._routes = routes
        self._folders = [key for key in routes if key[1].endswith("/")]

    def _find(self, method: str, path: str) -> Handler | None:
        handler = self._routes.get((method, path))
        if handler is None:
            for key in self._folders:
                if method == key[0] and path.startswith(key[1]):
                    return self._routes[key]
        return handler

    async def __call__(self, request: Request, stream: ResponseStream) -> None:
        """Answer one request; unknown exceptions are left to the transport, which answers 500."""
        handler = self._find(request.method, request.path)
        if handler is None:
            await answer_text(stream, 404, "not found")
            return
        try:
            await handler(request, stream)
        except (CoordinatorError, WireError, BodyTooLargeError) as error:
            headers = {}
            if isinstance(error, RateLimitedError):
                headers["retry-after"] = str(error.retry_after)
            status = STATUS.get(type(error), 400)
            log.info("control request refused", path=request.path, status=status, reason=str(error))
            await answer_text(stream, status, str(error), headers)
