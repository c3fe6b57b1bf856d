"""Where devices dial a gateway: a DNS name, or an address of one host."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address

MAX_NAME = 253
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")


class HostError(ValueError):
    """A text that nothing could be dialled by; says why."""


def parse_host(text: str) -> str:
    """Check a name or an address, without brackets and without a port.

    Raises:
        HostError: neither of both, or an address that is not that of one host.
    """
    if text.replace(".", "").isdecimal() or ":" in text:
        return _address(text)
    if len(text) > MAX_NAME or not all(_LABEL.fullmatch(label) for label in text.split(".")):
        raise HostError(f"`{text[:80]}` is not a host name or address devices could dial")
    return text


def _address(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        raise HostError(
            f"`{text[:80]}` is not a host name or address devices could dial; the port is said apart, "
            "and IPv6 goes without brackets"
        ) from None
    if isinstance(address, IPv6Address) and (address.scope_id or address.ipv4_mapped):
        raise HostError(f"`{text[:80]}` means nothing on another machine")
    if address.is_unspecified or address.is_multicast:
        raise HostError(f"`{text[:80]}` is not the address of a host")
    return text
