"""What a device needs to be a peer: as JSON fields, as a `wg-quick` file, as a QR code.

The private key is the device's own and never came here: the file has a comment in its place. Source of the
file's form: wg(8) and wg-quick(8).
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import segno

from coordinator.wireguard.model import Gateway, Peer
from coordinator.wireguard.pools import host_prefix

PRIVATE_KEY_LINE = "# PrivateKey = put the device's own private key here, and remove the # before it"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfig:
    """Everything a device needs but its private key. `gateway_key` is empty while the gateway never spoke."""

    name: str
    public_key: str
    addresses: tuple[str, ...]
    dns: tuple[str, ...]
    mtu: int
    gateway_key: str
    endpoint: str
    allowed_ips: tuple[str, ...]
    keepalive: int
    preshared_key: str = field(default="", repr=False)


def device_config(peer: Peer, gateway: Gateway, routes: Sequence[str]) -> DeviceConfig:
    """The configuration for a peer's newest key.

    Args:
        peer: The peer.
        gateway: Its gateway.
        routes: What its profile opens. Without any the tunnel leads to the gateway alone: a configuration
            without AllowedIPs would not be one.
    """
    key, theirs = peer.newest_key(), gateway.current_key()
    own = {":" in address for address in peer.addresses}
    reachable = [host_prefix(address) for address in gateway.addresses if (":" in address) in own]
    wanted = [route for route in routes if (":" in route) in own]
    host = f"[{gateway.host}]" if ":" in gateway.host else gateway.host
    return DeviceConfig(
        name=peer.name,
        public_key=key.public_key,
        addresses=tuple(host_prefix(address) for address in peer.addresses),
        dns=gateway.dns,
        mtu=gateway.mtu,
        gateway_key=theirs.public_key,
        endpoint=f"{host}:{theirs.listen_port}",
        allowed_ips=tuple(dict.fromkeys(wanted or reachable)),
        keepalive=gateway.keepalive if peer.keepalive is None else peer.keepalive,
        preshared_key=key.preshared_key,
    )


def wg_quick(config: DeviceConfig) -> str:
    """The file `wg-quick` and the WireGuard apps read."""
    lines = [
        "[Interface]",
        f"# {config.name}, the device with the public key {config.public_key}",
        PRIVATE_KEY_LINE,
        f"Address = {', '.join(config.addresses)}",
    ]
    if config.dns:
        lines.append(f"DNS = {', '.join(config.dns)}")
    lines += [
        f"MTU = {config.mtu}",
        "",
        "[Peer]",
        f"PublicKey = {config.gateway_key}",
    ]
    if config.preshared_key:
        lines.append(f"PresharedKey = {config.preshared_key}")
    lines += [f"Endpoint = {config.endpoint}", f"AllowedIPs = {', '.join(config.allowed_ips)}"]
    if config.keepalive:
        lines.append(f"PersistentKeepalive = {config.keepalive}")
    return "\n".join(lines) + "\n"


class TooLongForQRError(ValueError):
    """A text of more bytes than any QR code holds: a profile with hundreds of networks."""


def qr_text(text: str) -> str:
    """A QR code of a text in half blocks, for a terminal; TooLongForQRError."""
    drawn = io.StringIO()
    _code(text).terminal(drawn, compact=True)
    return drawn.getvalue()


def qr_svg(text: str) -> str:
    """A QR code of a text as an SVG document; TooLongForQRError."""
    return str(_code(text).svg_inline(scale=4))


def _code(text: str) -> segno.QRCode:
    try:
        return segno.make_qr(text, error="l")
    except segno.DataOverflowError:
        raise TooLongForQRError(
            f"{len(text.encode())} bytes are too many for a QR code (2953 at most): take the file"
        ) from None
