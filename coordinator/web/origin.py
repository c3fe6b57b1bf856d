"""Where an API request comes from, for the audit log."""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable
from urllib.parse import unquote

import structlog
from aiohttp import web

from coordinator.audit.origin import acting_from
from coordinator.tailnet.actors import Origin
from coordinator.tailnet.errors import InvalidError

REASON_HEADER = "X-Audit-Reason"
"""Why somebody does what the request asks for; UTF-8, percent-encoded."""
MAX_REASON = 500
_CREDENTIALS = struct.Struct("3i")
"""Process, user and group at the other end of a unix socket. Source: unix(7), SO_PEERCRED."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def take_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Everything a request does carries its source, its id in the log, and the reason given.

    Goes inside of `log_request`, which makes the id, and of `errors`.
    """
    reason = unquote(request.headers.get(REASON_HEADER, "")).strip()
    if len(reason) > MAX_REASON:
        raise InvalidError(f"the reason is too long: {len(reason)} characters, {MAX_REASON} are allowed")
    with acting_from(origin_of(request, reason)):
        return await handler(request)


def origin_of(request: web.Request, reason: str = "") -> Origin:
    """What is known of a request beside who sends it."""
    request_id = str(structlog.contextvars.get_contextvars().get("request_id", ""))
    return Origin(source=source_of(request), request_id=request_id, reason=reason)


def source_of(request: web.Request) -> str:
    """An IP address, or `unix:uid=0` for whoever is behind a unix socket."""
    transport = request.transport
    sock = None if transport is None else transport.get_extra_info("socket")
    if sock is None or sock.family != socket.AF_UNIX:
        return request.remote or ""
    raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(raw)
    return f"unix:uid={user}"
