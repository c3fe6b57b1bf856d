"""Why a connection is allowed or denied.

Here: one question, answered with the deciding rule and the selectors that matched. Not here: the decision
itself, which is the same code that runs a policy's tests. Called by the command line and the admin pages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acl.addresses import Version, parse_prefix
from acl.compile import Origin, RuleTemplate
from acl.nodes import node_addresses
from acl.policy_tests import deciding_rules, named_addresses, spec_holds
from acl.ports import DEFAULT_PROTOCOLS, parse_protocol
from acl.problems import Span
from acl.profile_hints import ProfileHint, opened_by, profile_hints
from acl.selectors import parse_selector

if TYPE_CHECKING:
    from acl.engine import Engine
    from acl.index import PolicyIndex

__all__ = ["Explanation", "explain"]

Address = tuple[Version, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The answer.

    Attributes:
        allowed: whether a rule lets the source reach the destination.
        rule: the deciding rule, such as `grants[2]`; "" when denied or when no policy is in force.
        span: where that rule stands.
        source, destination: the selectors of the rule that matched, such as `group:dev` and `tag:server`.
        reason: all of it as one sentence.
        profiles: access profiles that would open what is denied.
    """

    allowed: bool
    rule: str = ""
    span: Span | None = None
    source: str = ""
    destination: str = ""
    reason: str
    profiles: tuple[ProfileHint, ...] = ()


def _by_name(engine: Engine, name: str) -> list[Address]:
    return [
        address
        for node in engine.nodes.by_id.values()
        if node.name == name
        for address in node_addresses(node)
    ]


def _resolve(engine: Engine, text: str) -> list[Address]:
    """Addresses of a node name, an address, or anything a test may name."""
    found = _by_name(engine, text)
    if not found:
        parsed = parse_prefix(text)
        if parsed is not None and parsed.single:
            found = [(parsed.version, parsed.first)]
    return found or named_addresses(engine, text) or []


def _rule_name(origin: Origin) -> str:
    if origin.section.startswith("access."):
        return origin.section
    return "" if origin.section == "default" else f"{origin.section}[{origin.number}]"


def _matching_source(engine: Engine, template: RuleTemplate, address: Address) -> str:
    for text in template.origin.sources:
        spec = engine.maker.spec([parse_selector(text)])
        if spec_holds(engine, spec, None, address, source=True):
            return text
    return ""


def _pairs(sources: Iterable[Address], destinations: list[Address]) -> Iterable[tuple[Address, Address]]:
    return ((source, destination) for source in sources for destination in destinations)


def explain(index: PolicyIndex, src: str, dst: str, port: int, proto: str = "") -> Explanation:
    """Say whether `src` may reach `dst` on a port, and by which rule.

    Args:
        src, dst: a node's name, an address, a host alias, a user, a group or a tag. Of several nodes, one
            that is
            allowed decides.
        proto: name or number; "" for any of the default ones.
    Raises:
        PortError: `proto` is no protocol.
    """
    engine = index.engine
    protocols = (parse_protocol(proto),) if proto else DEFAULT_PROTOCOLS
    sources, destinations = _resolve(engine, src), _resolve(engine, dst)
    for side, found in ((src, sources), (dst, destinations)):
        if not found:
            return Explanation(allowed=False, reason=f"`{side}` has no addresses here")
    for source, destination in _pairs(sources, destinations):
        for template, target in deciding_rules(engine, source, destination, port, protocols):
            origin = template.origin
            name = _rule_name(origin)
            matched = _matching_source(engine, template, source)
            where = (
                f"{name} ({origin.span})"
                if origin.span is not None
                else "no rules are given, so everything is allowed"
            )
            reason = f"allowed by {where}: `{matched}` to `{target.text}`" if name else where
            return Explanation(
                allowed=True,
                rule=name,
                span=origin.span,
                source=matched,
                destination=target.text,
                reason=reason,
            )
    pairs = list(_pairs(sources, destinations))
    window = opened_by(index, pairs, port, protocols)
    if window is not None:
        until = f" until {window.closes_at:%Y-%m-%d %H:%M:%S %Z}" if window.closes_at is not None else ""
        return Explanation(
            allowed=True,
            rule=f"access.profiles[{window.profile}]",
            span=engine.window_rules[window.profile].span,
            source=src,
            reason=f"allowed{until} by request {window.id} through profile `{window.profile}`",
        )
    hints = profile_hints(index, pairs, port, protocols)
    reason = f"no rule lets `{src}` reach `{dst}` on port {port}"
    return Explanation(allowed=False, reason=reason, profiles=hints)
