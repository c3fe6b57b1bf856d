"""Selectors: the strings that say who or where in a policy.

Here: the kinds of selector and how a string is told apart. Not here: what a selector resolves to
(`resolve`) and where each kind may stand (`placement`). Called by `reading`, `validate` and `compile`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from acl.addresses import AddressRange, parse_prefix

__all__ = ["ROLE_AUTOGROUPS", "Selector", "SelectorKind", "parse_selector", "split_destination"]


class SelectorKind(enum.Enum):
    WILDCARD = "wildcard"
    AUTOGROUP = "autogroup"
    GROUP = "group"
    TAG = "tag"
    IPSET = "ipset"
    SERVICE = "service"
    DOMAIN = "domain"
    PREFIX = "prefix"
    USER = "user"
    HOST = "host"
    PEER = "peer"  # a plain WireGuard peer, `wg:name`


# Autogroups that stand for the untagged nodes of users with a role. An owner is an admin, too.
ROLE_AUTOGROUPS = {
    "autogroup:owner": frozenset({"owner"}),
    "autogroup:admin": frozenset({"admin", "owner"}),
    "autogroup:network-admin": frozenset({"network-admin"}),
    "autogroup:it-admin": frozenset({"it-admin"}),
    "autogroup:billing-admin": frozenset({"billing-admin"}),
    "autogroup:auditor": frozenset({"auditor"}),
}

_PREFIXES = (
    ("autogroup:", SelectorKind.AUTOGROUP),
    ("group:", SelectorKind.GROUP),
    ("tag:", SelectorKind.TAG),
    ("ipset:", SelectorKind.IPSET),
    ("svc:", SelectorKind.SERVICE),
    ("wg:", SelectorKind.PEER),
    ("user:*@", SelectorKind.DOMAIN),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """One selector.

    Attributes:
        kind: what the string is.
        text: the string without surrounding white space; `autogroup:members` is written `autogroup:member`.
        prefix: the addresses, for an address or CIDR only.
    """

    kind: SelectorKind
    text: str
    prefix: AddressRange | None = None

    @property
    def domain(self) -> str:
        """The part after `user:*@`; empty for other kinds."""
        return self.text[len("user:*@") :] if self.kind is SelectorKind.DOMAIN else ""


def parse_selector(text: str) -> Selector:
    """Tell what `text` is. Never fails: what is nothing else is a host alias.

    The prefixes are tried before the `@`, because a group synced from an identity provider may be called
    `group:x@example.com`.
    """
    text = text.strip()
    if text == "*":
        return Selector(kind=SelectorKind.WILDCARD, text=text)
    for prefix, kind in _PREFIXES:
        if text.startswith(prefix):
            if text == "autogroup:members":
                text = "autogroup:member"
            return Selector(kind=kind, text=text)
    addresses = parse_prefix(text)
    if addresses is not None:
        return Selector(kind=SelectorKind.PREFIX, text=text, prefix=addresses)
    if "@" in text:
        return Selector(kind=SelectorKind.USER, text=text)
    return Selector(kind=SelectorKind.HOST, text=text)


def split_destination(text: str) -> tuple[str, str]:
    """Split an ACL destination `host:ports` at its last colon; without one, all of it counts as the ports."""
    host, colon, ports = text.strip().rpartition(":")
    return (host, ports) if colon else ("", text.strip())
