"""Reading the upgrade request of `/ts2021`, and taking the connection over from aiohttp.

aiohttp's parser does not know this upgrade: it sees an ordinary POST with an empty body. Nothing useful can
lie behind the request head, because a Noise initiator may not send before it has our response. Called from
`h2_server` only.
Source: tailscale control/controlhttp/controlhttpserver (POST and WebSocket variants).
"""

from __future__ import annotations

import base64
import binascii

from aiohttp import web

from coordinator.control.limits import ControlLimits
from coordinator.control.noise_stream import NoiseStream, watch_liveness
from coordinator.noise.connection import NoiseConnection
from coordinator.noise.errors import RemoteProtocolError
from coordinator.noise.messages import Initiation, parse_initiation

UPGRADE = "tailscale-control-protocol"
HANDSHAKE_HEADER = "X-Tailscale-Handshake"
# Clients compare the Upgrade value case-sensitively.
SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: " + UPGRADE.encode() + b"\r\nConnection: upgrade\r\n\r\n"
)


class BadUpgradeError(Exception):
    """The request cannot be upgraded; the text is shown to whoever sent it."""


def read_initiation(request: web.Request) -> Initiation:
    """The Noise initiation in a POST's headers.

    Raises:
        BadUpgradeError: a header is missing or malformed.
    """
    if request.headers.get("Upgrade", "").lower() != UPGRADE:
        raise BadUpgradeError(
            f"missing `Upgrade: {UPGRADE}`. If a reverse proxy stands before this server,"
            " it must pass upgrades of POST requests on, over HTTP/1.1"
        )
    return _decode(request.headers.get(HANDSHAKE_HEADER, ""))


def read_websocket_initiation(request: web.Request) -> Initiation:
    """The Noise initiation in the query of the WebSocket variant.

    Raises:
        BadUpgradeError: not a WebSocket upgrade, or the parameter is missing or malformed.
    """
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise BadUpgradeError("GET is for WebSocket clients only; others upgrade with POST")
    return _decode(request.query.get(HANDSHAKE_HEADER, ""))


def _decode(text: str) -> Initiation:
    if not text:
        raise BadUpgradeError(f"missing `{HANDSHAKE_HEADER}`")
    try:
        return parse_initiation(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise BadUpgradeError(f"`{HANDSHAKE_HEADER}` is not standard base64") from None
    except RemoteProtocolError as error:
        raise BadUpgradeError(str(error)) from error


def take_over(request: web.Request, noise: NoiseConnection, limits: ControlLimits) -> NoiseStream | None:
    """Detach the transport from aiohttp and give it to a NoiseStream.

    The caller writes the 101 in the same turn of the loop: no await in between, or bytes may be lost.

    Returns:
        None when the client has left meanwhile.
    """
    protocol = request.protocol
    # Not an isinstance check: uvloop's transports are none of asyncio's.
    transport = protocol.transport
    if transport is None or transport.is_closing():
        return None
    stream = NoiseStream(transport, noise)
    transport.set_protocol(stream)
    # aiohttp can now neither write its own response into the channel nor close it …
    protocol.transport = None
    # … and forgets the connection: its keep-alive timer and its place in the server's list.
    protocol.connection_lost(None)
    transport.set_write_buffer_limits(high=limits.write_high_water)
    watch_liveness(transport, limits)
    return stream
