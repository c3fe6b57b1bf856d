"""`GET /derp`: from an HTTP request to a DERP connection.

The HTTP server knows no upgrade of this name, so its transport is taken over: our protocol is installed, the
server's is told that the connection is lost, and the head is written by hand. No await may come between these
steps, and none before them: bytes that arrive while the server still reads are lost. Stock clients wait for
our head (or, with fast start, for nothing, but that needs a certificate we never show).
Source: tailscale derp/derpserver/handler.go.
"""

from typing import Final

from aiohttp import web

from derp.connection import Connection, RelayContext
from derp.handshake import PROTOCOL_VERSION
from derp.websocket import SUBPROTOCOL, serve_websocket

__all__ = ["handle_upgrade", "switching_protocols"]

_UPGRADE_REQUIRED: Final = "DERP requires connection upgrade\n"


def switching_protocols(public_key: bytes) -> bytes:
    """The HTTP head before the first frame."""
    return (
        "HTTP/1.1 101 Switching Protocols\r\n"
        "Upgrade: DERP\r\n"
        "Connection: Upgrade\r\n"
        f"Derp-Version: {PROTOCOL_VERSION}\r\n"
        f"Derp-Public-Key: {public_key.hex()}\r\n"
        "\r\n"
    ).encode("ascii")


async def handle_upgrade(request: web.Request, relay: RelayContext) -> web.StreamResponse:
    """Take the connection over, or say why not: 426 without an upgrade, 503 when the relay is full."""
    wanted = request.headers.get("Upgrade", "").strip().lower()
    if wanted not in ("derp", "websocket"):
        return _refuse(
            relay, 426, "no_upgrade", _UPGRADE_REQUIRED, {"Upgrade": "DERP", "Connection": "Upgrade"}
        )
    if wanted == "websocket" and SUBPROTOCOL not in _subprotocols(request):
        return _refuse(relay, 400, "no_subprotocol", f"WebSocket needs the subprotocol {SUBPROTOCOL}\n")
    limits, stats = relay.limits, relay.stats
    if stats.connections >= limits.max_connections:
        return _refuse(relay, 503, "too_many_connections", "the relay is full\n")
    if stats.unauthenticated >= limits.max_unauthenticated:
        return _refuse(relay, 503, "too_many_unauthenticated", "too many handshakes at once\n")
    source = (request.remote or "").partition("%")[0]
    if wanted == "websocket":
        return await serve_websocket(request, relay, source)
    return _take_over(request, relay, source)


def _take_over(request: web.Request, relay: RelayContext, source: str) -> web.StreamResponse:
    http = request.protocol
    transport = http.transport
    if transport is None:
        # The client left before its request was looked at; there is nobody to answer.
        return web.Response(status=400)
    connection = Connection(relay, source)
    transport.set_protocol(connection)
    # Without a transport the HTTP server can neither write into the stream nor close it later, and
    # connection_lost makes it forget the connection and cancel its keep-alive timer.
    http.transport = None
    http.connection_lost(None)
    # With fast start the client reads frames from the first byte on.
    fast_start = request.headers.get("Derp-Fast-Start", "").strip() == "1"
    connection.begin(transport, b"" if fast_start else switching_protocols(relay.public_key))
    # Never sent: the server finds no transport and ends its task.
    return web.Response()


def _refuse(
    relay: RelayContext, status: int, reason: str, text: str, headers: dict[str, str] | None = None
) -> web.Response:
    relay.stats.refused(reason)
    return web.Response(status=status, text=text, headers=headers)


def _subprotocols(request: web.Request) -> set[str]:
    values = request.headers.getall("Sec-WebSocket-Protocol", [])
    return {name.strip().lower() for value in values for name in value.split(",")}
