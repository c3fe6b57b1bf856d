"""The shape of the `derpMap` section, with positions.

Here: what a relay region must have so that clients can use it. Not here: merging with the relays a server has
of its own (the server does that). Called by `reading`.
"""

from __future__ import annotations

from collections.abc import Iterator

from acl.hujson import Member, Value
from acl.problems import Problem

__all__ = ["check_relays"]


def check_relays(section: Value) -> Iterator[Problem]:
    """Problems of a `derpMap` object; keys match without regard to case, unknown ones are ignored."""
    for member in section.members():
        key = member.key.lower()
        if key == "omitdefaultregions" and not isinstance(member.value.data, bool | None):
            yield _wrong("derpMap.OmitDefaultRegions", "true or false", member.value)
        elif key == "regions" and member.value.data is not None:
            if not member.value.is_object:
                yield _wrong("derpMap.Regions", "an object", member.value)
                continue
            for region in member.value.members():
                yield from _check_region(region)


def _check_region(region: Member) -> Iterator[Problem]:
    where = f"derpMap.Regions[{region.key}]"
    if not (region.key.isascii() and region.key.isdecimal() and 0 < int(region.key[:10]) < 1 << 31):
        message = f"{where}: a region is named by its number, such as 901"
        yield Problem(code="bad-relay", message=message, span=region.key_span)
        return
    if region.value.data is None:
        return  # takes the server's own region away
    if not region.value.is_object:
        yield _wrong(where, "an object, or null to leave the region out", region.value)
        return
    fields = {member.key.lower(): member.value for member in region.value.members()}
    number = fields.get("regionid")
    if number is not None and number.data != int(region.key):
        message = f"{where}: RegionID is not {region.key}"
        yield Problem(code="bad-relay", message=message, span=number.span)
    nodes = fields.get("nodes")
    if nodes is None or nodes.data is None:
        message = f"{where}: a region needs Nodes"
        yield Problem(code="bad-relay", message=message, span=region.key_span)
        return
    if nodes.is_object or not isinstance(nodes.data, tuple):
        yield _wrong(f"{where}.Nodes", "a list", nodes)
        return
    for node in nodes.items():
        host = {member.key.lower(): member.value for member in node.members()}.get("hostname")
        if host is None or not isinstance(host.data, str) or not host.data:
            message = f"{where}: a relay needs a HostName"
            yield Problem(code="bad-relay", message=message, span=node.span)


def _wrong(where: str, expected: str, value: Value) -> Problem:
    message = f"{where}: expected {expected}, found {value.kind}"
    return Problem(code="wrong-type", message=message, span=value.span)
