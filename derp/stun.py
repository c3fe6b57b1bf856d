"""The little of STUN that clients use to learn their public address: binding request in, binding response
out.

    request   0001 0014 2112a442 txid(12)
              8022 0008 "tailnode"          SOFTWARE
              8028 0004 crc32(before) ^ 5354554e   FINGERPRINT
    response  0101 len  2112a442 txid(12)
              0020 len  00 family port^2112 address^(cookie + txid)   XOR-MAPPED-ADDRESS

Bytes only; `stun_server` has the sockets. Requests without the software name and a right fingerprint get no
answer, so that the port is of no use to others. Source: tailscale net/stun/stun.go; RFC 5389.
"""

import ipaddress
import struct
import zlib

__all__ = [
    "REQUEST_LENGTH",
    "binding_request",
    "binding_response",
    "parse_binding_request",
    "parse_binding_response",
]

REQUEST_LENGTH = 40
_COOKIE = 0x2112A442
_COOKIE_BYTES = _COOKIE.to_bytes(4, "big")
_SOFTWARE = b"\x80\x22\x00\x08tailnode"
_FINGERPRINT_HEAD = b"\x80\x28\x00\x04"
_FINGERPRINT_XOR = 0x5354554E
_REQUEST_HEAD = b"\x00\x01\x00\x14" + _COOKIE_BYTES
_FINGERPRINT_AT = 32
_RESPONSE_HEAD = struct.Struct(">HHI12s")
_ATTRIBUTE_HEAD = struct.Struct(">HHBBH")


def parse_binding_request(datagram: bytes) -> bytes | None:
    """The transaction id (12 bytes) of a client's request, or None for anything else.

    Cheap tests come first: most junk fails on its length. Clients send exactly these 40 bytes, so no other
    attributes are looked for.
    """
    if len(datagram) != REQUEST_LENGTH or not datagram.startswith(_REQUEST_HEAD):
        return None
    if datagram[20:_FINGERPRINT_AT] != _SOFTWARE:
        return None
    return datagram[8:20] if datagram[_FINGERPRINT_AT:] == _fingerprint(datagram[:_FINGERPRINT_AT]) else None


def binding_response(transaction_id: bytes, address: str, port: int) -> bytes:
    """The answer that tells a client the address and port it was seen with.

    Args:
        transaction_id: 12 bytes of the request.
        address: IPv4 or IPv6 text; an IPv4 address in IPv6 form is unwrapped, a zone (`%eth0`) is left out.
    Returns:
        32 bytes for IPv4, 44 for IPv6.
    Raises:
        ValueError: not an IP address.
    """
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    family = 1 if ip.version == 4 else 2
    masked = bytes(a ^ b for a, b in zip(ip.packed, _COOKIE_BYTES + transaction_id, strict=False))
    attribute = _ATTRIBUTE_HEAD.pack(0x0020, 4 + len(masked), 0, family, port ^ (_COOKIE >> 16)) + masked
    return _RESPONSE_HEAD.pack(0x0101, len(attribute), _COOKIE, transaction_id) + attribute


def binding_request(transaction_id: bytes) -> bytes:
    """The client's half: a request with this transaction id (12 bytes)."""
    head = _REQUEST_HEAD + transaction_id + _SOFTWARE
    return head + _fingerprint(head)


def parse_binding_response(datagram: bytes, transaction_id: bytes) -> tuple[str, int] | None:
    """The client's half: the address and port in an answer to `transaction_id`, or None for anything else."""
    if len(datagram) not in (32, 44):
        return None
    kind, length, cookie, answered = _RESPONSE_HEAD.unpack_from(datagram)
    attribute, size, _, family, port = _ATTRIBUTE_HEAD.unpack_from(datagram, 20)
    packed_length = {1: 4, 2: 16}.get(family)
    if (kind, cookie, answered, attribute) != (0x0101, _COOKIE, transaction_id, 0x0020):
        return None
    if (
        packed_length is None
        or len(datagram) != 28 + packed_length
        or (length, size)
        != (
            8 + packed_length,
            4 + packed_length,
        )
    ):
        return None
    packed = bytes(a ^ b for a, b in zip(datagram[28:], _COOKIE_BYTES + transaction_id, strict=False))
    return str(ipaddress.ip_address(packed)), port ^ (_COOKIE >> 16)


def _fingerprint(head: bytes) -> bytes:
    return _FINGERPRINT_HEAD + (zlib.crc32(head) ^ _FINGERPRINT_XOR).to_bytes(4, "big")
