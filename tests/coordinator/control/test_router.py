"""Dispatch and errors."""

from __future__ import annotations

import pytest

from coordinator.control.router import STATUS, Router
from coordinator.tailcfg.errors import WireError
from coordinator.tailnet.errors import ConflictError, NotFoundError, RateLimitedError, UnavailableError


class Stream:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self.finished = False

    async def send_head(self, status: int, headers: dict[str, str]) -> None:
        self.status = status

    async def send(self, data: bytes) -> None:
        self.body += data

    async def finish(self) -> None:
        self.finished = True


class Request:
    method = "POST"
    path = "/x"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (WireError("w"), 400),
        (NotFoundError("n"), 404),
        (UnavailableError("u"), 503),
        (ConflictError("c"), 400),
    ],
)
async def test_errors_are_short_texts(error: Exception, status: int) -> None:
    async def handler(request: object, stream: object) -> None:
        raise error

    stream = Stream()
    await Router({("POST", "/x"): handler})(Request(), stream)  # type: ignore[arg-type, dict-item]
    assert (stream.status, stream.body, stream.finished) == (status, str(error).encode(), True)


async def test_unknown_paths() -> None:
    stream = Stream()
    await Router({})(Request(), stream)  # type: ignore[arg-type]
    assert stream.status == 404


async def test_a_folder_takes_what_is_below_it() -> None:
    seen = []

    async def handler(request: Request, stream: Stream) -> None:
        seen.append(request.path)

    router = Router({("POST", "/f/"): handler, ("POST", "/f/own"): handler})  # type: ignore[dict-item]
    for path in ("/f/a/b", "/f/own", "/f", "/g/f/"):
        request, stream = Request(), Stream()
        request.path = path
        await router(request, stream)  # type: ignore[arg-type]
    assert seen == ["/f/a/b", "/f/own"]


def test_only_repeated_failures_are_answered_429() -> None:
    """Pitfall: a 429 makes `tailscale up` fail, a 503 is retried silently."""
    assert [error for error, status in STATUS.items() if status == 429] == [RateLimitedError]
