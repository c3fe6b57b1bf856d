"""One UDP packet out of the bytes of an IP packet. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address

UDP_BYTES = 8
"""UDP's header."""

_UDP = 17
_IPV4_BYTES, _IPV6_BYTES = 20, 40
_FRAGMENT = 0x3FFF
"""Of an IPv4 header: more fragments follow, or this is not the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Datagram:
    """One UDP packet: where from, to which port, and what it holds."""

    address: str
    source_port: int
    port: int
    data: bytes

    @property
    def endpoint(self) -> str:
        """As `wg` writes it."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.source_port}"


def datagram(packet: bytes) -> Datagram | None:
    """An IP packet that is one whole UDP datagram; None for anything else."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= _IPV4_BYTES:
        start, protocol = (packet[0] & 15) * 4, packet[9]
        whole = not int.from_bytes(packet[6:8]) & _FRAGMENT and start >= _IPV4_BYTES
        source = packet[12:16]
    elif version == 6 and len(packet) >= _IPV6_BYTES:
        start, protocol, whole, source = _IPV6_BYTES, packet[6], True, packet[8:24]
    else:
        return None
    if protocol != _UDP or not whole or len(packet) < start + UDP_BYTES:
        return None
    source_port, port, length, _ = struct.unpack_from("!HHHH", packet, start)
    data = packet[start + UDP_BYTES : start + length]
    if len(data) != length - UDP_BYTES:
        return None
    return Datagram(address=str(ip_address(source)), source_port=source_port, port=port, data=data)
