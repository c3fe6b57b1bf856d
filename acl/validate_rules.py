"""Checks of `acls` and `grants`.

Here: what one rule may say, with the official service's message where it has one. Not here: other sections
(`validate`, `validate_ssh`). Called by `validate`.
"""

from __future__ import annotations

from collections.abc import Iterator

from acl.document import Acl, AppCapability, Grant, Word, Words
from acl.placement import Names, Place, check_selector, problem
from acl.ports import ALL_PORTS, PORT_PROTOCOLS, PortError, parse_grant_ip, parse_ports, parse_protocol
from acl.problems import Problem
from acl.selectors import ROLE_AUTOGROUPS, Selector, SelectorKind, parse_selector, split_destination

__all__ = ["check_acl", "check_capability_name", "check_grant", "check_postures", "check_via"]

# Capabilities under tailscale.com that a policy may grant. The service's list is not public; these are the
# ones its documentation and the open clients use.
GRANTABLE = frozenset(
    f"tailscale.com/cap/{name}"
    for name in ("drive", "relay", "webui", "kubernetes", "tsidp", "secrets", "tailsql", "golink")
)
SELF = "autogroup:self"
ALL_ADDRESSES = ("0.0.0.0/0", "::/0")


def _may_use_self(selector: Selector, wildcard: bool) -> bool:
    if selector.kind is SelectorKind.WILDCARD:
        return wildcard
    if selector.kind is SelectorKind.AUTOGROUP:
        return selector.text == "autogroup:member" or selector.text in ROLE_AUTOGROUPS
    return selector.kind in (SelectorKind.USER, SelectorKind.GROUP, SelectorKind.DOMAIN)


def _check_self(sources: Words, span_of: Word, *, wildcard: bool) -> Iterator[Problem]:
    for word in sources:
        if not _may_use_self(parse_selector(word.text), wildcard):
            message = "autogroup:self can only be used with users, groups, or supported autogroups"
            yield problem("self-source", message, span_of.span)
            return


def check_postures(words: Words, names: Names) -> Iterator[Problem]:
    """Every posture named must be declared."""
    for word in words:
        if word.text.strip() not in names.postures:
            message = f'posture not found: "{word.text}"'
            yield problem("unknown-posture", message, word.span, names.postures, word.text)


def check_acl(acl: Acl, names: Names) -> Iterator[Problem]:
    """The problems of one ACL."""
    action = "" if acl.action is None else acl.action.text.strip()
    if action != "accept":
        span = acl.span if acl.action is None else acl.action.span
        yield problem("unsupported-action", f'action="{action}" is not supported', span)
    for word in acl.src:
        found = check_selector(word, Place.SRC, names)
        if found is not None:
            yield found
    protocol: int | None = None
    if acl.proto is not None and acl.proto.text.strip():
        try:
            protocol = parse_protocol(acl.proto.text)
        except PortError as error:
            yield problem("bad-protocol", str(error), acl.proto.span)
    for word in acl.dst:
        yield from _check_destination(word, protocol, acl, names)
    yield from check_postures(acl.src_posture, names)


def _check_destination(word: Word, protocol: int | None, acl: Acl, names: Names) -> Iterator[Problem]:
    host, ports = split_destination(word.text)
    try:
        ranges = parse_ports(ports)
    except PortError as error:
        yield problem("bad-port", f'dst="{word.text.strip()}": {error}', word.span)
        return
    if protocol is not None and protocol not in PORT_PROTOCOLS and ranges != (ALL_PORTS,):
        message = f'dst="{word.text.strip()}": protocol {protocol} has no ports, use "*"'
        yield problem("bad-port", message, word.span)
    found = check_selector(word, Place.DST, names, host=host)
    if found is not None:
        yield found
    elif parse_selector(host).text == SELF:
        yield from _check_self(acl.src, word, wildcard=True)


def check_capability_name(capability: AppCapability) -> Problem | None:
    """A capability is named `{domain}/{path}`, and few names under tailscale.com are anybody's to grant."""
    name, span = capability.name.text, capability.name.span
    domain, slash, path = name.partition("/")
    if not slash or not domain or not path or ":" in domain or " " in name:
        return problem("capability-form", "capability name must have the form {domain}/{path}", span)
    if (domain == "tailscale.com" or domain.endswith(".tailscale.com")) and name not in GRANTABLE:
        message = "capability name must not be in the tailscale.com domain"
        return problem("capability-domain", message, span)
    return None


def check_grant(grant: Grant, names: Names) -> Iterator[Problem]:
    """The problems of one grant."""
    if not grant.ip and not grant.app:
        yield problem("empty-grant", "ip and app can not both be empty", grant.span)
    for word in grant.src:
        found = check_selector(word, Place.SRC, names)
        if found is not None:
            yield found
    for word in grant.ip:
        try:
            parse_grant_ip(word.text)
        except PortError as error:
            yield problem("bad-port", str(error), word.span)
    for capability in grant.app:
        found = check_capability_name(capability)
        if found is not None:
            yield found
    for word in grant.dst:
        yield from _check_grant_destination(word, grant, names)
    yield from check_via(grant.via, names)
    yield from check_postures(grant.src_posture, names)


def check_via(via: Words, names: Names) -> Iterator[Problem]:
    """Routers are named by declared tags."""
    for word in via:
        selector = parse_selector(word.text)
        if selector.kind is not SelectorKind.TAG:
            yield problem("via-not-tag", "via can only be a tag", word.span)
        elif selector.text not in names.tags:
            message = f'tag "{selector.text}" not found'
            yield problem("unknown-tag", message, word.span, names.tags, selector.text)


def _check_grant_destination(word: Word, grant: Grant, names: Names) -> Iterator[Problem]:
    found = check_selector(word, Place.DST, names)
    text = word.text.strip()
    if found is not None:
        yield found
    elif text in ALL_ADDRESSES:
        message = f'dst "{text}": to allow all IP addresses, use "*" or "autogroup:internet"'
        yield problem("all-addresses", message, word.span)
    elif text == "autogroup:internet" and grant.app:
        yield problem("app-internet", "cannot use app grants with autogroup:internet", word.span)
    elif text == SELF:
        yield from _check_self(grant.src, word, wildcard=False)
