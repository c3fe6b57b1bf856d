"""Who may reach what under a policy, spelled out by node, and what a change of policy opens and closes.

Here: the answers of an index as plain facts (ports by pair of nodes, SSH logins, tags, approved routes), and
their difference. Not here: rules; they are asked of the index, so that this can never disagree with what
clients get. Called by the command line's `policy diff`. Cost grows with the pairs of nodes: for reviews, not
for servers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from acl.addresses import AddressRange, parse_prefix, parse_range
from acl.facts import NodeFact, UserFact
from acl.index import PolicyIndex
from acl.ports import DEFAULT_PROTOCOLS, PROTOCOLS
from acl.profile_changes import ON_REQUEST, profile_facts, term_changes

__all__ = ["AccessChange", "access_changes"]

Span = tuple[int, int]
Access = dict[tuple[str, str, str], list[Span]]
"""(source, destination, protocol or kind of access) to merged, inclusive spans of ports."""

_NAMES = {number: name for name, number in reversed(list(PROTOCOLS.items()))}
_NO_PORTS: Span = (-1, -1)
_ALL_PORTS: Span = (0, 65535)


@dataclass(frozen=True, slots=True, order=True)
class AccessChange:
    """One thing that opens or closes. `what` is ready to be shown, such as `tcp 22, 80-443`."""

    source: str
    destination: str
    what: str
    opens: bool

    def __str__(self) -> str:
        return f"{'+' if self.opens else '-'} {self.source} -> {self.destination}: {self.what}"


def access_changes(
    old: PolicyIndex,
    new: PolicyIndex,
    nodes: Sequence[NodeFact],
    users: Sequence[UserFact],
    advertised: Mapping[int, Sequence[str]],
) -> list[AccessChange]:
    """What `new` opens and closes against `old`.

    Args:
        old, new: two policies over the same nodes and users.
        nodes, users: those nodes and users.
        advertised: routes each node (by id) advertises, for auto-approval.

    Returns:
        Sorted; empty when nothing changes for anybody, however differently the policies are written.
    """
    before = _access(old, nodes, users, advertised)
    after = _access(new, nodes, users, advertised)
    changes: dict[tuple[str, str, bool], list[str]] = {}
    for key in sorted({*before, *after}):
        source, destination, kind = key
        for opens, left, right in ((True, after, before), (False, before, after)):
            spans = _subtract(left.get(key, []), right.get(key, []))
            if spans:
                changes.setdefault((source, destination, opens), []).append(_spell(kind, spans))
    found = [
        AccessChange(source, destination, ", ".join(_joined(whats)), opens)
        for (source, destination, opens), whats in changes.items()
    ]
    terms = term_changes(old.policy, new.policy)
    return sorted([*found, *(AccessChange(*each) for each in terms)])


def _access(
    index: PolicyIndex,
    nodes: Sequence[NodeFact],
    users: Sequence[UserFact],
    advertised: Mapping[int, Sequence[str]],
) -> Access:
    found: Access = {}
    peers = _named_peers(index)
    sources = _Sources(nodes, peers)
    for node in nodes:
        _add_ports(found, index, node, sources, peers)
        _add_logins(found, index, node, sources)
        for route in index.auto_approved(node, advertised.get(node.id, ())):
            found[node.name, "the tailnet", f"route {route} approved unasked"] = [_NO_PORTS]
    _add_reach(found, index, nodes)
    policy = index.policy
    for tag in sorted(policy.tags()) if policy is not None else ():
        for user in users:
            if index.tag_allowed(tag, user.id):
                found[user.login, tag, "may apply the tag"] = [_NO_PORTS]
    for source, destination, kind, span in profile_facts(index, users):
        found.setdefault((source, destination, kind), []).append(span)
    return {key: _merge(spans) for key, spans in found.items()}


def _named_peers(index: PolicyIndex) -> list[tuple[AddressRange, str]]:
    """The addresses of plain WireGuard peers, and how a policy calls them."""
    return [
        (address, f"wg:{name}")
        for name, texts in index.facts.peers.items()
        for address in map(parse_prefix, texts)
        if address is not None
    ]


def _add_ports(
    found: Access,
    index: PolicyIndex,
    node: NodeFact,
    sources: _Sources,
    peers: Sequence[tuple[AddressRange, str]],
) -> None:
    own = [parse_prefix(str(address)) for address in (node.ipv4, node.ipv6) if address is not None]
    routes = [parse_prefix(route) for route in node.approved_routes]
    for rule in index.filter_rules(node.id):
        names = sources.names(rule.src)
        kinds = [_NAMES.get(number, str(number)) for number in rule.ip_proto or DEFAULT_PROTOCOLS]
        for target in rule.dst_ports:
            places = _places(target.ip, node, own, routes, peers)
            for name in names:
                for place in places:
                    for kind in kinds:
                        if name != node.name:
                            found.setdefault((name, place, kind), []).append((target.first, target.last))
        for grant in rule.cap_grants:
            for name in names:
                for capability, values in grant.cap_map:
                    kind = f"app {capability} {', '.join(values or ())}".rstrip()
                    if name != node.name:
                        found[name, node.name, kind] = [_NO_PORTS]


def _add_reach(found: Access, index: PolicyIndex, nodes: Sequence[NodeFact]) -> None:
    """What plain WireGuard peers reach through their gateways: no node has a filter for it."""
    addresses = [address for node in nodes for address in (node.ipv4, node.ipv6) if address is not None]
    texts = [*map(str, addresses), *(route for node in nodes for route in node.approved_routes)]
    told = [each for each in map(parse_prefix, texts) if each is not None]
    named = _named_peers(index)
    for peer in index.facts.peers:
        for rule in index.reach(peer).outbound:
            kinds = [_NAMES.get(number, str(number)) for number in rule.protocols or DEFAULT_PROTOCOLS]
            for text in rule.networks:
                network = parse_prefix(text)
                if network is None or any(each.covers(network) for each in told):
                    continue
                places = [name for address, name in named if address == network] or [text]
                for place in places:
                    for kind in kinds:
                        spans = found.setdefault((f"wg:{peer}", place, kind), [])
                        spans += rule.ports or [_ALL_PORTS]


def _places(
    text: str,
    node: NodeFact,
    own: Iterable[AddressRange | None],
    routes: Iterable[AddressRange | None],
    peers: Iterable[tuple[AddressRange, str]],
) -> list[str]:
    """What a destination means on a node: itself, or what lies behind it, WireGuard peers by their names."""
    target = None if text == "*" else parse_prefix(text) or parse_range(text)
    places = []
    if any(address is not None and (target is None or target.overlaps(address)) for address in own):
        places.append(node.name)
    for route in routes:
        if route is None or (target is not None and not target.overlaps(route)):
            continue
        behind = [name for address, name in peers if route.covers(address) and address == target]
        places += behind or [f"{route.text} behind {node.name}"]
    return places


def _add_logins(found: Access, index: PolicyIndex, node: NodeFact, sources: _Sources) -> None:
    for rule in index.ssh_rules(node.id):
        for name in sources.names(rule.principals):
            for wanted, local in rule.ssh_users:
                if local:
                    checked = " after a check" if rule.action.kind == "check" else ""
                    who = "any user" if wanted == "*" else wanted
                    found[name, node.name, f"ssh as {who}{checked}"] = [_NO_PORTS]


class _Sources:
    """Source strings to names: nodes where they are nodes, the string itself where it is no node of ours."""

    def __init__(self, nodes: Sequence[NodeFact], peers: Sequence[tuple[AddressRange, str]]) -> None:
        self._addresses = [
            (parse_prefix(str(address)), node.name)
            for node in nodes
            for address in (node.ipv4, node.ipv6)
            if address is not None
        ]
        self._addresses += peers
        self._routes = [(parse_prefix(route), route) for node in nodes for route in node.approved_routes]
        self._known: dict[tuple[str, ...], list[str]] = {}

    def names(self, texts: tuple[str, ...]) -> list[str]:
        """Sorted and unique; remembered, since whole classes of nodes share their sources."""
        known = self._known.get(texts)
        if known is None:
            found: set[str] = set()
            for text in texts:
                found |= self._of(text)
            known = self._known[texts] = sorted(found)
        return known

    def _of(self, text: str) -> set[str]:
        if text == "*":
            return {"anybody"}
        item = parse_prefix(text) or parse_range(text)
        if item is None:
            return {text}
        names = {name for address, name in self._addresses if address is not None and item.overlaps(address)}
        behind = {route for address, route in self._routes if address is not None and item.covers(address)}
        return names | behind or {text}


def _merge(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def _subtract(left: Sequence[Span], right: Sequence[Span]) -> list[Span]:
    rest = list(left)
    for first, last in right:
        pieces: list[Span] = []
        for start, end in rest:
            if last < start or end < first:
                pieces.append((start, end))
                continue
            if start < first:
                pieces.append((start, first - 1))
            if last < end:
                pieces.append((last + 1, end))
        rest = pieces
    return rest


def _spell(kind: str, spans: Sequence[Span]) -> str:
    if spans[0] == _NO_PORTS:
        return kind
    shown = ",".join(
        "*" if span == (0, 65535) else str(span[0]) if span[0] == span[1] else f"{span[0]}-{span[1]}"
        for span in spans
    )
    kind, on_request, profile = kind.partition(ON_REQUEST)
    return f"{kind}:{shown}{on_request}{profile}"


def _joined(whats: list[str]) -> list[str]:
    """`tcp:22`, `udp:22`, `icmp:22` … of a rule without protocol read better as one."""
    by_ports: dict[str, list[str]] = {}
    for what in whats:
        kind, colon, ports = what.partition(":")
        by_ports.setdefault(ports if colon and " " not in kind else "", []).append(what)
    names = sorted(_NAMES[number] for number in DEFAULT_PROTOCOLS)
    joined = by_ports.pop("", [])
    for ports, group in by_ports.items():
        if sorted(what.partition(":")[0] for what in group) == names:
            joined.append(f"any:{ports}")
        else:
            joined += group
    return sorted(joined)
