"""Which texts are host names, domains and listening addresses. Called by `convert` and `checks`."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network

_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_MAX_NAME = 253
_PLAIN_HTTP = tuple(
    ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8")
)


def require_domain(text: str) -> str:
    """A domain name without its dots at the ends.

    Raises:
        ValueError: it is none, with a sentence fit to be shown.
    """
    name = text.strip(".")
    if len(name) > _MAX_NAME or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(f"`{text}` is not a domain name such as corp.example.com")
    return name


def require_host(text: str) -> str:
    """A host: a name or an address.

    Raises:
        ValueError: it is neither.
    """
    if not is_address(text):
        try:
            require_domain(text)
        except ValueError:
            raise ValueError(f"`{text}` is neither a host name nor an address") from None
    return text


def is_address(text: str) -> bool:
    """Whether a text is an IPv4 or IPv6 address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def plain_http_works(host: str) -> bool:
    """Whether clients keep using http with this host.

    They do for localhost and private IPv4 addresses; with everything else a reconnect within two minutes
    dials port 443 only. Source: observed with the stock clients 1.80.3 and 1.102.3.
    """
    if host == "localhost":
        return True
    if not is_address(host):
        return False
    address = ip_address(host)
    return any(address.version == 4 and address in network for network in _PLAIN_HTTP)
