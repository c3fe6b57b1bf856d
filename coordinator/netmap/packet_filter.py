"""Compiled filter rules in their wire form."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET

from acl import FilterRule as CompiledRule
from coordinator.tailcfg.codec import encode
from coordinator.tailcfg.filter_rule import CapGrant, FilterRule, NetPortRange, PortRange


def filters_json(rules: Sequence[CompiledRule]) -> bytes:
    """The value of `PacketFilters`:

    always the whole list under `base`, since `[]` blocks and absence means "unchanged".
    """
    return encode({"base": [wire_rule(rule) for rule in rules]})


def wire_rule(rule: CompiledRule) -> FilterRule:
    """One rule as clients read it."""
    return FilterRule(
        src_ips=rule.src,
        ip_proto=rule.ip_proto or UNSET,
        dst_ports=[NetPortRange(dst.ip, PortRange(dst.first, dst.last)) for dst in rule.dst_ports] or UNSET,
        cap_grant=[
            CapGrant(
                grant.dsts,
                {
                    name: None if values is None else [msgspec.Raw(value.encode()) for value in values]
                    for name, values in grant.cap_map
                },
            )
            for grant in rule.cap_grants
        ]
        or UNSET,
    )
