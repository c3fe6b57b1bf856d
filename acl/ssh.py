"""Tailscale SSH rules of one node.

Here: the `ssh` section compiled for a node, and who is affected when a node comes or goes. Not here: the
wire form, and asking a user to check in (the server does that when the client calls back). Called by
`engine` and `index`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from acl.document import Policy, SshEntry
from acl.facts import NodeFact
from acl.nodes import bits
from acl.resolve import TAGGED, AddressSet, login_domain
from acl.selectors import Selector, parse_selector
from acl.validate_ssh import LOCALPART, period_seconds

if TYPE_CHECKING:
    from acl.engine import Engine

__all__ = ["LoginEntry", "SSHAction", "SSHRule", "SshTable", "login_entry"]

SELF = "autogroup:self"
RECORDER_PORT = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHAction:
    """What happens to a matching session.

    Attributes:
        kind: `accept`, or `check`: the client asks the server, which may ask the user.
        check_period: seconds one check lasts; 0 asks every time.
        recorders: `address:port` of session recorders, lowest address first.
        enforce_recorder: whether a session that cannot be recorded is refused.
    """

    kind: Literal["accept", "check"]
    check_period: int = 0
    recorders: tuple[str, ...] = ()
    enforce_recorder: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SSHRule:
    """Source addresses, pairs of wanted and local user (`""`: refused, `"="`: as wanted), action.

    `expires` is when the rule ends by itself: that of an open window.
    """

    principals: tuple[str, ...]
    ssh_users: tuple[tuple[str, str], ...]
    action: SSHAction
    accept_env: tuple[str, ...] = ()
    expires: datetime | None = None


@dataclass(slots=True, eq=False)
class LoginEntry:
    """One `ssh` entry with its sets; `units` caches the principals per source user (None: the tagged).

    `expires` and `order` are a window's: the end of its rules, and their place behind the policy's own.
    """

    sources: list[tuple[AddressSet, bool]]
    destinations: list[AddressSet]
    to_self: bool
    users: tuple[tuple[str, str], ...]
    domains: tuple[str, ...]
    kind: Literal["accept", "check"]
    check_period: int
    recorders: list[AddressSet]
    enforce_recorder: bool
    accept_env: tuple[str, ...]
    expires: datetime | None = None
    order: int = -1
    units: dict[int | None, tuple[str, ...]] | None = None
    everybody: tuple[str, ...] | None = None

    def source_nodes(self) -> int:
        out = 0
        for item_set, _ in self.sources:
            out |= item_set.nodes
        return out

    def destination_nodes(self) -> int:
        out = 0
        for item_set in self.destinations:
            out |= item_set.nodes
        return out

    def recorder_nodes(self) -> int:
        out = 0
        for item_set in self.recorders:
            out |= item_set.nodes
        return out

    def signature(self) -> tuple[object, ...]:
        """Equal for two entries that come to the same rules for the same users."""
        sets = (self.sources, [(item_set, False) for item_set in (*self.destinations, *self.recorders)])
        nodes = tuple(tuple((s.spec, s.nodes, per_tag) for s, per_tag in part) for part in sets)
        return (
            nodes,
            len(self.recorders),
            self.to_self,
            self.users,
            self.domains,
            self.kind,
            self.check_period,
            self.enforce_recorder,
            self.accept_env,
            self.expires,
        )

    def forget(self) -> None:
        self.units = self.everybody = None


def _user_map(entry: SshEntry) -> tuple[tuple[str, str], ...]:
    """Logins a rule admits. Root is refused unless listed, because `"*"` would let it in."""
    found: dict[str, str] = {}
    for word in entry.users or ():
        name = word.text.strip()
        if name == "autogroup:nonroot":
            found["*"] = "="
        elif not name.startswith(LOCALPART):
            found[name] = name
    found.setdefault("root", "")
    return tuple(found.items())


def _nodes_of(engine: Engine, selector: Selector, postures: tuple[str, ...] = ()) -> AddressSet:
    """Logins are between nodes; an address (of an open window) means the node that has it."""
    spec = engine.maker.spec([selector], postures)
    return engine.address_set(replace(spec, nodes_at=True) if spec.ranges else spec)


def login_entry(entry: SshEntry, engine: Engine) -> LoginEntry:
    """One entry of the `ssh` section over an engine's sets, which are made if need be."""
    postures = engine.maker.postures(entry.src_posture)
    sources = []
    for word in entry.src:
        selector = parse_selector(word.text)
        sources.append((_nodes_of(engine, selector, postures), selector.text == TAGGED))
    destinations = [parse_selector(word.text) for word in entry.dst]
    return LoginEntry(
        sources=sources,
        destinations=[_nodes_of(engine, selector) for selector in destinations if selector.text != SELF],
        to_self=any(selector.text == SELF for selector in destinations),
        users=_user_map(entry),
        domains=tuple(
            word.text.strip().removeprefix(LOCALPART)
            for word in entry.users or ()
            if word.text.strip().startswith(LOCALPART)
        ),
        kind="check" if entry.action is not None and entry.action.text.strip() == "check" else "accept",
        check_period=period_seconds(entry.check_period),
        recorders=[
            engine.address_set(engine.maker.spec([parse_selector(word.text)])) for word in entry.recorder
        ],
        enforce_recorder=entry.enforce_recorder,
        accept_env=tuple(word.text for word in entry.accept_env),
    )


@dataclass(slots=True, eq=False)
class SshTable:
    """The SSH entries of one policy over an engine's nodes."""

    policy: Policy | None
    engine: Engine
    entries: list[LoginEntry] = field(default_factory=list)
    _rules: dict[int, tuple[SSHRule, ...]] = field(default_factory=dict)
    _valid: int = 0

    def __post_init__(self) -> None:
        if self.policy is not None:
            self.entries = [login_entry(entry, self.engine) for entry in self.policy.ssh]

    # -- principals ------------------------------------------------------------------------------------------

    def _listed(self, entry: LoginEntry) -> Iterator[tuple[NodeFact, str]]:
        """(node, address) for every principal: selector by selector, nodes in joining order.

        `autogroup:tagged` lists a node once for each tag it carries; other overlaps are listed again, too.
        """
        table = self.engine.nodes
        for item_set, per_tag in entry.sources:
            nodes = sorted(
                (table.by_index[i] for i in bits(item_set.nodes)), key=lambda n: (n.created_order, n.id)
            )
            for node in nodes:
                for _ in range(len(node.tags) if per_tag else 1):
                    for text in table.strings(node.index):
                        yield node, text

    def _everybody(self, entry: LoginEntry) -> tuple[str, ...]:
        if entry.everybody is None:
            entry.everybody = tuple(text for _, text in self._listed(entry))
        return entry.everybody

    def _units(self, entry: LoginEntry) -> dict[int | None, tuple[str, ...]]:
        """Principals by source user in order of creation, tagged nodes last."""
        if entry.units is None:
            found: dict[int | None, list[str]] = {}
            for node, text in self._listed(entry):
                found.setdefault(node.owner, []).append(text)
            users = sorted(owner for owner in found if owner is not None)
            order: list[int | None] = [*users, None] if None in found else [*users]
            entry.units = {owner: tuple(found[owner]) for owner in order}
        return entry.units

    # -- rules -----------------------------------------------------------------------------------------------

    def _action(self, entry: LoginEntry) -> SSHAction:
        recorders: list[str] = []
        table = self.engine.nodes
        nodes = [table.by_index[index] for index in bits(entry.recorder_nodes())]
        recorders.extend(
            f"{ip}:{RECORDER_PORT}" for ip in sorted(n.ipv4 for n in nodes if n.ipv4 is not None)
        )
        recorders.extend(
            f"[{ip}]:{RECORDER_PORT}" for ip in sorted(n.ipv6 for n in nodes if n.ipv6 is not None)
        )
        return SSHAction(
            kind=entry.kind,
            check_period=entry.check_period if entry.kind == "check" else 0,
            recorders=tuple(recorders),
            enforce_recorder=entry.enforce_recorder,
        )

    def _unit_rules(
        self, entry: LoginEntry, owner: int | None, principals: tuple[str, ...]
    ) -> Iterator[SSHRule]:
        """The rule of one source user; and one for the user's own login name where `localpart:` admits it."""
        action = self._action(entry)
        rule = SSHRule(
            principals=principals,
            ssh_users=entry.users,
            action=action,
            accept_env=entry.accept_env,
            expires=entry.expires,
        )
        yield rule
        user = self.engine.directory.users.get(owner) if owner is not None else None
        if user is None:
            return
        for domain in entry.domains:
            if login_domain(user) == domain:
                local = user.login.rpartition("@")[0]
                yield replace(rule, ssh_users=((local, local),))

    def _rules_of(self, entry: LoginEntry, node: NodeFact) -> Iterator[SSHRule]:
        if entry.to_self and node.owner is not None:
            principals = self._units(entry).get(node.owner, ())
            if principals:
                yield from self._unit_rules(entry, node.owner, principals)
        is_destination = entry.destination_nodes() >> node.index & 1
        if not entry.domains:
            if is_destination and self._everybody(entry):
                yield SSHRule(
                    principals=self._everybody(entry),
                    ssh_users=entry.users,
                    action=self._action(entry),
                    accept_env=entry.accept_env,
                    expires=entry.expires,
                )
        elif is_destination:
            for owner, principals in self._units(entry).items():
                yield from self._unit_rules(entry, owner, principals)
        elif entry.destinations and entry.source_nodes() >> node.index & 1:
            # Seen from the service: a source outside the destinations gets the unit of its own user.
            principals = self._units(entry).get(node.owner, ())
            if node.owner is None:
                principals = tuple(text for other, text in self._listed(entry) if other.id == node.id)
            yield from self._unit_rules(entry, node.owner, principals)

    def rules(self, node: NodeFact) -> tuple[SSHRule, ...]:
        """The node's rules, check rules before accept rules; the same object while nothing changes."""
        if self._valid >> node.index & 1:
            return self._rules[node.index]
        found = [rule for entry in self.entries for rule in self._rules_of(entry, node)]
        rules = tuple(sorted(found, key=lambda rule: rule.action.kind != "check"))
        if self._rules.get(node.index) != rules:
            self._rules[node.index] = rules
        self._valid |= 1 << node.index
        return self._rules[node.index]

    def open(self, entry: LoginEntry) -> int:
        """Take an entry in behind the others. Returns the bit set of the nodes whose rules may change."""
        self.entries.append(entry)
        self.entries.sort(key=lambda each: each.order)  # stable: the policy's own come first, as written
        return self._forget_at(entry)

    def close(self, entry: LoginEntry) -> int:
        """Take out an entry that `open` took in; returns the same."""
        self.entries.remove(entry)
        return self._forget_at(entry)

    def _forget_at(self, entry: LoginEntry) -> int:
        nodes = entry.destination_nodes() | entry.source_nodes()
        self._valid &= ~nodes
        return nodes

    def signature(self) -> tuple[object, ...]:
        """Equal for two tables over the same nodes only if all their rules are equal."""
        logins = tuple((u.id, u.login) for u in self.engine.directory.users.values()) if self.entries else ()
        return (logins, *(entry.signature() for entry in self.entries))

    def affected(self, node: NodeFact) -> int:
        """Forget what depends on a node that is present now and will go, or has just come.

        Returns:
            Bit set of the nodes whose rules may change, the node itself included.
        """
        bit = 1 << node.index
        out = bit
        for entry in self.entries:
            if entry.source_nodes() & bit:
                entry.forget()
                out |= entry.destination_nodes()
                if node.owner is not None and (entry.to_self or entry.domains):
                    out |= self.engine.nodes.owned.get(node.owner, 0)
            if entry.recorder_nodes() & bit:
                out |= entry.destination_nodes() | entry.source_nodes()
                if entry.to_self:
                    for own in self.engine.nodes.owned.values():
                        out |= own
        self._valid &= ~out
        return out
