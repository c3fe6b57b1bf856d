"""From a policy document to rule templates: order, ports, companions, scopes. No nodes and no users yet.

Here: everything about rules that follows from the text alone. Not here: which nodes an address set holds
(`resolve`), and how templates become filters (`engine`, `packet_filter`). Called by `engine`,
`policy_tests` and `explain`.

The order of templates is the order of rules in an unreduced filter: all grants in file order, then all ACLs.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from acl.addresses import INTERNET, AddressRange, parse_prefix
from acl.document import Acl, Grant, Policy, Word, Words
from acl.ipsets import resolve_ipset
from acl.ports import ALL_PORTS, PortRange, parse_grant_ip, parse_ports, parse_protocol
from acl.problems import Span
from acl.selectors import Selector, SelectorKind, parse_selector, split_destination

__all__ = [
    "CapMap",
    "Origin",
    "RuleKind",
    "RuleTemplate",
    "Scope",
    "SetSpec",
    "SpecMaker",
    "Target",
    "compile_rules",
]

Peers = Mapping[str, Sequence[str]]
NO_PEERS: Peers = {}
CapMap = tuple[tuple[str, tuple[str, ...] | None], ...]

SELF = "autogroup:self"
# Granting one of these lets the other side know, too: the destination's filter entry has a mirror image.
COMPANIONS = (
    ("tailscale.com/cap/drive", "tailscale.com/cap/drive-sharer"),
    ("tailscale.com/cap/relay", "tailscale.com/cap/relay-target"),
)


# Kinds that stand for addresses as such, not for whatever nodes have them.
ADDRESSES = (SelectorKind.PREFIX, SelectorKind.HOST, SelectorKind.IPSET, SelectorKind.PEER)


class RuleKind(enum.Enum):
    PORTS = "ports"
    CAPABILITY = "capability"
    LINK = "link"  # makes nodes visible to each other and puts nothing into a filter


class Scope(enum.Enum):
    GLOBAL = "global"
    SELF = "self"  # instantiated once per user, between the user's own nodes
    VIA = "via"  # instantiated on each node that carries a via tag and routes a destination


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSpec:
    """What an address set is made of; equal specs are one set.

    Attributes:
        identities: selectors that mean nodes: users, groups, tags, autogroups, `user:*@domain`; sorted.
        ranges: addresses given as such, in the order written.
        wildcard: `*`. everything: `autogroup:danger-all`.
        postures: any one of these must hold for a node to count; empty for no condition.
        nodes_at: the ranges mean the nodes that have such an address, and nothing else.
    """

    identities: tuple[str, ...] = ()
    ranges: tuple[AddressRange, ...] = ()
    wildcard: bool = False
    everything: bool = False
    postures: tuple[str, ...] = ()
    nodes_at: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One destination of a rule: its set, its ports (none for capabilities), and how it was written."""

    spec: SetSpec
    ports: tuple[PortRange, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a rule comes from."""

    section: str
    number: int
    span: Span | None
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTemplate:
    """One rule of the unreduced filter.

    Attributes:
        ordinal: its place; ascending in the order of the filter.
        protocols: empty for the default ones.
        cap_map: of a capability rule; every target becomes one entry with this map.
        via: the tags of a via grant.
    """

    ordinal: int
    kind: RuleKind
    scope: Scope
    source: SetSpec
    targets: tuple[Target, ...]
    protocols: tuple[int, ...] = ()
    cap_map: CapMap = ()
    via: tuple[str, ...] = ()
    origin: Origin


class SpecMaker:
    """Selectors to set specs, with the names of one policy and the WireGuard peers there are."""

    def __init__(self, policy: Policy, peers: Peers = NO_PEERS) -> None:
        self._peers = peers
        self._hosts = policy.host_addresses()
        self._ipsets = {entry.name.text: tuple(word.text for word in entry.items) for entry in policy.ipsets}
        self._default_postures = tuple(sorted(word.text.strip() for word in policy.default_src_posture))

    def spec(self, selectors: Iterable[Selector], postures: tuple[str, ...] = ()) -> SetSpec:
        """One set of all the selectors; unknown names contribute nothing."""
        identities: set[str] = set()
        ranges: dict[AddressRange, None] = {}
        wildcard = everything = False
        for selector in selectors:
            text = selector.text
            if selector.kind is SelectorKind.WILDCARD:
                wildcard = True
            elif text == "autogroup:danger-all":
                everything = True
            elif text == "autogroup:internet":
                ranges.update(dict.fromkeys(INTERNET))
            elif selector.kind in ADDRESSES:
                ranges.update(dict.fromkeys(self._addresses(selector)))
            elif selector.kind is not SelectorKind.SERVICE:
                identities.add(text)
        return SetSpec(
            identities=tuple(sorted(identities)),
            ranges=tuple(ranges),
            wildcard=wildcard,
            everything=everything,
            postures=postures,
        )

    def _addresses(self, selector: Selector) -> list[AddressRange]:
        if selector.prefix is not None:
            return [selector.prefix]
        if selector.kind is SelectorKind.IPSET:
            return (
                resolve_ipset(selector.text, self._ipsets, self._hosts)
                if selector.text in self._ipsets
                else []
            )
        texts = [self._hosts.get(selector.text, "")]
        if selector.kind is SelectorKind.PEER and selector.text not in self._hosts:
            texts = list(self._peers.get(selector.text.removeprefix("wg:"), ()))
        return [found for found in map(parse_prefix, texts) if found is not None]

    def words(self, words: Words, postures: tuple[str, ...] = ()) -> SetSpec:
        return self.spec((parse_selector(word.text) for word in words), postures)

    def postures(self, own: Words) -> tuple[str, ...]:
        """The postures of a rule: its own replace the default ones."""
        return tuple(sorted({word.text.strip() for word in own})) if own else self._default_postures


def _rank(selector: Selector) -> int:
    """The service sorts the destinations of an ACL by kind and keeps file order within one."""
    if selector.kind is SelectorKind.WILDCARD:
        return 0
    if selector.kind in (SelectorKind.USER, SelectorKind.DOMAIN):
        return 1
    if selector.kind is SelectorKind.GROUP:
        return 2
    if selector.kind is SelectorKind.TAG:
        return 3
    return 5 if selector.kind is SelectorKind.AUTOGROUP else 4


class _Compiler:
    def __init__(self, policy: Policy, peers: Peers) -> None:
        self.maker = SpecMaker(policy, peers)
        self.out: list[RuleTemplate] = []

    def emit(
        self,
        origin: Origin,
        kind: RuleKind,
        scope: Scope,
        source: SetSpec,
        targets: tuple[Target, ...],
        *,
        protocols: tuple[int, ...] = (),
        cap_map: CapMap = (),
        via: tuple[str, ...] = (),
    ) -> None:
        self.out.append(
            RuleTemplate(
                ordinal=len(self.out),
                kind=kind,
                scope=scope,
                source=source,
                targets=targets,
                protocols=protocols,
                cap_map=cap_map,
                via=via,
                origin=origin,
            )
        )

    def target(self, selector: Selector, ports: tuple[PortRange, ...] = ()) -> Target:
        # The user's own nodes: "all untagged nodes", narrowed to one user when the rule is instantiated.
        identity = parse_selector("autogroup:member") if selector.text == SELF else selector
        return Target(spec=self.maker.spec([identity]), ports=ports, text=selector.text)

    def acl(self, number: int, acl: Acl) -> None:
        postures = self.maker.postures(acl.src_posture)
        source = self.maker.words(acl.src, postures)
        origin = Origin(section="acls", number=number, span=acl.span, sources=_texts(acl.src))
        protocols: tuple[int, ...] = ()
        if acl.proto is not None and acl.proto.text.strip():
            protocols = (parse_protocol(acl.proto.text),)
        ports: dict[str, list[PortRange]] = {}
        for word in acl.dst:
            host, spelled = split_destination(word.text)
            ports.setdefault(parse_selector(host).text, []).extend(parse_ports(spelled))
        segment: list[Target] = []
        for selector in sorted((parse_selector(host) for host in ports), key=_rank):
            target = self.target(selector, tuple(ports[selector.text]))
            if selector.text != SELF:
                segment.append(target)
                continue
            if segment:
                self.emit(origin, RuleKind.PORTS, Scope.GLOBAL, source, tuple(segment), protocols=protocols)
                segment = []
            self.emit(origin, RuleKind.PORTS, Scope.SELF, source, (target,), protocols=protocols)
        if segment:
            self.emit(origin, RuleKind.PORTS, Scope.GLOBAL, source, tuple(segment), protocols=protocols)

    def grant(self, number: int, grant: Grant) -> None:
        if not grant.src or not grant.dst:
            return
        postures = self.maker.postures(grant.src_posture)
        origin = Origin(section="grants", number=number, span=grant.span, sources=_texts(grant.src))
        destinations = [parse_selector(word.text) for word in grant.dst]
        if grant.via:
            self._via(origin, grant, destinations, postures)
            return
        own = [selector for selector in destinations if selector.text == SELF]
        others = [selector for selector in destinations if selector.text != SELF]
        if own:
            self._granted(origin, grant, own[:1], Scope.SELF, postures)
        if others:
            self._granted(origin, grant, others, Scope.GLOBAL, postures)

    def _granted(
        self,
        origin: Origin,
        grant: Grant,
        destinations: list[Selector],
        scope: Scope,
        postures: tuple[str, ...],
    ) -> None:
        source = self.maker.words(grant.src, postures)
        for protocols, ports in _by_protocol(grant.ip):
            targets = tuple(self.target(selector, ports) for selector in destinations)
            self.emit(origin, RuleKind.PORTS, scope, source, targets, protocols=protocols)
        if not grant.app:
            return
        cap_map = tuple((capability.name.text, capability.values) for capability in grant.app)
        targets = tuple(self.target(selector) for selector in destinations)
        self.emit(origin, RuleKind.CAPABILITY, scope, source, targets, cap_map=cap_map)
        granted = {capability.name.text for capability in grant.app}
        identities = [parse_selector("autogroup:member") if s.text == SELF else s for s in destinations]
        for capability, companion in COMPANIONS:
            if capability in granted:
                back = Target(spec=source, text=", ".join(origin.sources))
                reverse = self.maker.spec(identities)
                self.emit(origin, RuleKind.CAPABILITY, scope, reverse, (back,), cap_map=((companion, None),))

    def _via(
        self, origin: Origin, grant: Grant, destinations: list[Selector], postures: tuple[str, ...]
    ) -> None:
        """A via grant speaks about routed addresses only; its capabilities produce no rule."""
        source = self.maker.words(grant.src, postures)
        via = tuple(sorted({word.text.strip() for word in grant.via}))
        routed = [
            selector
            for selector in destinations
            if selector.kind in ADDRESSES or selector.text == "autogroup:internet"
        ]
        for protocols, ports in _by_protocol(grant.ip):
            targets = tuple(self.target(selector, ports) for selector in routed)
            self.emit(origin, RuleKind.PORTS, Scope.VIA, source, targets, protocols=protocols, via=via)
        targets = tuple(self.target(selector) for selector in routed)
        self.emit(origin, RuleKind.LINK, Scope.VIA, source, targets, via=via)


def _texts(words: Words) -> tuple[str, ...]:
    return tuple(word.text.strip() for word in words)


def _by_protocol(entries: Iterable[Word]) -> list[tuple[tuple[int, ...], tuple[PortRange, ...]]]:
    """The `ip` entries of a grant by protocol, in order of first appearance."""
    grouped: dict[tuple[int, ...], list[PortRange]] = {}
    for word in entries:
        protocols, ports = parse_grant_ip(word.text)
        grouped.setdefault(protocols, []).extend(ports)
    return [(protocols, tuple(ports)) for protocols, ports in grouped.items()]


def compile_rules(policy: Policy | None, peers: Peers = NO_PEERS) -> tuple[RuleTemplate, ...]:
    """Every rule of the unreduced filter, in order. `peers` are the facts' WireGuard peers.

    Without a policy, or with neither `acls` nor `grants` in it, everybody may reach everything; an empty
    list of either denies.
    """
    compiler = _Compiler(Policy() if policy is None else policy, peers)
    if policy is None or (policy.acls is None and policy.grants is None):
        everywhere = parse_selector("*")
        origin = Origin(section="default", number=0, span=None, sources=("*",))
        source = compiler.maker.spec([everywhere], compiler.maker.postures(()))
        target = compiler.target(everywhere, (ALL_PORTS,))
        compiler.emit(origin, RuleKind.PORTS, Scope.GLOBAL, source, (target,))
        return tuple(compiler.out)
    for number, grant in enumerate(policy.grants or ()):
        compiler.grant(number, grant)
    for number, acl in enumerate(policy.acls or ()):
        compiler.acl(number, acl)
    return tuple(compiler.out)
