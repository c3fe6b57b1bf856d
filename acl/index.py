"""The policy over the tailnet's nodes: every answer, kept current as nodes, users and the policy change.

Here: `PolicyIndex`, the one object the server asks. Not here: how it is done (`engine` and below). Stateful
but pure: no clock, no I/O; for one thread.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Network

from acl.addresses import parse_prefix
from acl.auto_approvers import AutoApproverTable
from acl.difference import changed_nodes, same_for_present_users
from acl.document import Policy
from acl.draft import PolicyDraft
from acl.engine import Engine
from acl.facts import NodeFact, TailnetFacts
from acl.hujson import Json
from acl.node_attributes import disables_ipv4
from acl.overlay import Overlay
from acl.packet_filter import Filled, FilterRule, fill_plan, plan_of, unreduced
from acl.policy_tests import run_tests
from acl.postures import parse_assertion, satisfies
from acl.problems import Problem
from acl.reach import Reach, reach_of
from acl.resolve import IdentityDirectory
from acl.selectors import parse_selector
from acl.ssh import SSHRule
from acl.tag_owners import TagOwners
from acl.updates import add, refresh_record, remove
from acl.validate import check_against
from acl.visibility import PeerView, SelfView, peer_view, prefixes
from acl.windows import OpenWindow

__all__ = ["PolicyIndex"]

IS_OWNER = "https://tailscale.com/cap/is-owner"
IS_ADMIN = "https://tailscale.com/cap/is-admin"


class PolicyIndex:
    """One policy over the nodes of one tailnet.

    Bit sets are ints whose bit `i` stands for the node with `NodeFact.index == i`. Calls that change
    something return the bit set of nodes whose answers may have changed; the bit of a node that was removed
    may be among them. Questions about a node raise KeyError for an id that is not present.
    """

    def __init__(self, policy: Policy | None, facts: TailnetFacts, nodes: Iterable[NodeFact] = ()) -> None:
        """Start an index.

        Args:
            policy: None allows everything.
            nodes: those present from the start; cheaper than adding each.
        """
        self._facts = facts
        self._filters: dict[int, Filled] = {}
        self._views: dict[int, PeerView] = {}
        self._use(Engine(policy, facts, nodes))

    def _use(self, engine: Engine) -> None:
        self.engine = engine
        self._overlay = Overlay(engine)
        self._learn()

    def _learn(self) -> None:
        engine = self.engine
        self._tag_owners = TagOwners(engine.policy, engine.directory)
        self._approvers = AutoApproverTable(engine.policy, engine.directory)

    @property
    def policy(self) -> Policy | None:
        return self.engine.policy

    @property
    def facts(self) -> TailnetFacts:
        return self._facts

    @property
    def windows(self) -> Mapping[int, OpenWindow]:
        """The windows that are open, by id."""
        return self._overlay.windows

    # -- changes ---------------------------------------------------------------------------------------------

    def draft(self, policy: Policy | None) -> PolicyDraft:
        """A policy to be compiled elsewhere, for the users and nodes of now; then `adopt` it."""
        return PolicyDraft(policy=policy, facts=self._facts, nodes=tuple(self.engine.nodes.by_id.values()))

    def adopt(self, draft: PolicyDraft) -> int:
        """Put a compiled draft in force; names those whose answers differ, and the nodes of open windows."""
        return self._exchange(draft.engine(self._facts, self.engine.nodes.by_id))

    def replace_policy(self, policy: Policy | None) -> int:
        """Put another policy in force at once; names the same nodes."""
        return self._exchange(Engine(policy, self._facts, self.engine.nodes.by_id.values()))

    def replace_facts(self, facts: TailnetFacts) -> int:
        """Take other users, groups or settings into account."""
        if facts == self._facts:
            return 0
        self._facts = facts
        directory = IdentityDirectory(self.engine.policy, facts)
        if same_for_present_users(self.engine, facts, directory):
            self.engine.know(facts, directory)
            self._learn()
            return 0
        return self._exchange(Engine(self.engine.policy, facts, self.engine.nodes.by_id.values()))

    def set_windows(self, windows: Iterable[OpenWindow]) -> int:
        """Have exactly these windows of just-in-time access open; costs what the nodes concerned do.

        Windows stay open when the policy or facts change, and open what the profile of their name says then.
        Whoever calls this knows who may have one open.
        """
        return self._overlay.put(windows)

    def _exchange(self, engine: Engine) -> int:
        # The policies are compared without windows; the nodes of windows are named on top of that.
        windows = tuple(self._overlay.windows.values())
        changed = self._overlay.put(()) | changed_nodes(self.engine, engine)
        self._keep_views(engine)
        for filled in self._filters.values():
            filled.plan = None  # or the old engine would live on in here
            filled.parts.clear()
        self._use(engine)
        return changed | self._overlay.put(windows)

    def _keep_views(self, engine: Engine) -> None:
        """Without routes a node looks the same under every policy, unless its IPv4 address comes or goes."""
        old = self.engine
        routers = old.routers | engine.routers
        for index in list(self._views):
            before, after = old.class_of[index].attributes, engine.class_of[index].attributes
            if routers >> index & 1 or (
                before is not after and disables_ipv4(before) != disables_ipv4(after)
            ):
                del self._views[index]

    def upsert(self, node: NodeFact) -> int:
        """Add a node, or change one with the same id."""
        old = self.engine.nodes.by_id.get(node.id)
        if old is None:
            self._views.pop(node.index, None)
            return add(self.engine, node)
        if old == node:
            return 0
        if self._is_placed_alike(old, node):
            return refresh_record(self.engine, node)
        changed = self.remove(node.id)
        if old.index != node.index:
            changed &= ~(1 << old.index)
        return changed | add(self.engine, node)

    def _is_placed_alike(self, old: NodeFact, new: NodeFact) -> bool:
        """Whether only what does not decide a node's place differs: name, being online, idle attributes."""
        same = (
            old.index == new.index
            and old.user_id == new.user_id
            and old.tags == new.tags
            and old.ipv4 == new.ipv4
            and old.ipv6 == new.ipv6
            and old.approved_routes == new.approved_routes
            and old.created_order == new.created_order
        )
        return same and self.engine.postures_of(old) == self.engine.postures_of(new)

    def remove(self, node_id: int) -> int:
        """Remove a node; nothing happens when it is not there."""
        node = self.engine.nodes.by_id.get(node_id)
        if node is None:
            return 0
        self._views.pop(node.index, None)
        self._filters.pop(node.index, None)
        return remove(self.engine, node)

    def check(self, policy: Policy | None = None) -> tuple[Problem, ...]:
        """What is wrong with a policy (or the one in force) on this tailnet, its own tests included.

        Open windows are left aside.
        """
        subject = self.engine.policy if policy is None else policy
        if subject is None:
            return ()
        problems = check_against(subject, self._facts)
        if problems or not (subject.tests or subject.ssh_tests or subject.access_tests):
            return tuple(problems)
        engine = self.engine
        if policy is not None or self._overlay.windows:
            engine = Engine(subject, self._facts, self.engine.nodes.by_id.values())
        return tuple(run_tests(engine))

    # -- answers about nodes ---------------------------------------------------------------------------------

    def _node(self, node_id: int) -> NodeFact:
        return self.engine.nodes.by_id[node_id]

    def peers(self, node_id: int) -> int:
        """Bit set of the nodes it sees, itself excluded. Visibility is symmetric."""
        index = self._node(node_id).index
        return self.engine.row(self.engine.class_of[index]) & ~(1 << index)

    def filter_rules(self, node_id: int) -> tuple[FilterRule, ...]:
        """The packet filter, reduced to what concerns the node. Unchanged content is the same object."""
        node = self._node(node_id)
        cls = self.engine.class_of[node.index]
        plan = plan_of(self.engine, cls)
        filled = fill_plan(self.engine, cls, plan, node, self._filters.get(node.index))
        if plan.open:
            self._filters[node.index] = filled
        return filled.rules

    def ssh_rules(self, node_id: int) -> tuple[SSHRule, ...]:
        """The SSH policy of a node; empty when nothing applies. Unchanged content is the same object."""
        return self.engine.ssh.rules(self._node(node_id))

    def peer_view(self, viewer_id: int, peer_id: int) -> PeerView:
        """A peer as the viewer sees it, supposing it does see it."""
        viewer, peer = self._node(viewer_id), self._node(peer_id)
        if not peer.approved_routes and not self.viewer_is_special(viewer_id):
            return self.default_view(peer_id)
        return peer_view(self.engine, self.engine.class_of[viewer.index], peer)

    def default_view(self, peer_id: int) -> PeerView:
        """A peer as every viewer sees it that is not special, for peers outside `has_special_view`."""
        peer = self._node(peer_id)
        found = self._views.get(peer.index)
        if found is None:
            found = self._views[peer.index] = peer_view(self.engine, None, peer)
        return found

    def has_special_view(self) -> int:
        """Bit set of the nodes that different viewers may see differently: those with approved routes."""
        return self.engine.routers

    def viewer_is_special(self, viewer_id: int) -> bool:
        """Whether the viewer sees all peers without IPv4."""
        return disables_ipv4(self.engine.class_of[self._node(viewer_id).index].attributes)

    def self_view(self, node_id: int) -> SelfView:
        """A node as it sees itself: all its approved routes, and the capabilities the policy gives it."""
        node = self._node(node_id)
        cls = self.engine.class_of[node.index]
        addresses = prefixes(node, without_ipv4=disables_ipv4(cls.attributes))
        primary = []
        for text, _ in cls.routes.subnets:
            holder = self.engine.routes.primary(text)
            if holder is not None and holder.id == node.id:
                primary.append(text)
        routes = (*(text for text, _ in cls.routes.subnets), *cls.routes.exits)
        cap_map: dict[str, tuple[Json, ...] | None] = {
            name: None if values is None else tuple(json.loads(value) for value in values)
            for name, values in cls.attributes
        }
        cap_map["default-auto-update"] = (self._facts.auto_updates,)
        user = self.engine.directory.users.get(node.owner) if node.owner is not None else None
        if node.tags or (user is not None and user.role == "owner"):
            cap_map.setdefault(IS_OWNER, None)
        if user is not None and user.role in ("owner", "admin"):
            cap_map.setdefault(IS_ADMIN, None)
        return SelfView(
            addresses=addresses,
            allowed_ips=(*addresses, *sorted(routes)),
            primary_routes=tuple(sorted(primary)),
            cap_map=cap_map,
        )

    # -- answers about the policy ----------------------------------------------------------------------------

    def unreduced_rules(self) -> tuple[FilterRule, ...]:
        """The global rules before any node's share is cut out; self and via rules exist per node only."""
        return unreduced(self.engine)

    def tag_exists(self, tag: str) -> bool:
        """Whether the policy declares a tag."""
        return self._tag_owners.exists(tag)

    def tag_allowed(self, tag: str, user_id: int | None, tags: Sequence[str] = ()) -> bool:
        """Whether a user, or a key or node that carries `tags`, may apply a tag."""
        return self._tag_owners.allows(tag, user_id, tags)

    def auto_approved(self, node: NodeFact, advertised: Sequence[str]) -> tuple[str, ...]:
        """Those of the advertised routes that the policy approves unasked; the node need not be present."""
        return self._approvers.approved(node, advertised)

    def means_user(self, selectors: Iterable[str], user_id: int) -> bool:
        """Whether one of some identity selectors means a user."""
        users_of = self.engine.directory.users_of
        return any(user_id in users_of(parse_selector(text).text) for text in selectors)

    def has_posture(self, postures: Sequence[str], node: NodeFact) -> bool:
        """Whether a node has any of some postures of the policy; none asked for is none missing."""
        policy = self.engine.policy
        declared = {entry.name.text: entry.items for entry in (policy.postures if policy else ())}
        return not postures or any(
            satisfies(
                [parse_assertion(word.text) for word in declared.get(name.strip(), ())], node.attributes
            )
            for name in postures
            if name.strip() in declared
        )

    def reach(self, peer: str) -> Reach:
        """What a plain WireGuard peer of the facts may reach, and who may reach it, through its gateway."""
        found = map(parse_prefix, self._facts.peers.get(peer, ()))
        return reach_of(self.engine, [(item.version, item.first) for item in found if item is not None])

    def machines(self, identities: Iterable[str]) -> tuple[str, ...]:
        """The addresses of the nodes that identity selectors mean, as CIDRs of one address each."""
        wanted = tuple(identities)
        matches, table = self.engine.directory.matches, self.engine.nodes
        found = {
            f"{address}/{32 if address.version == 4 else 128}"
            for node in table.by_id.values()
            if any(matches(text, node.owner, node.tags) for text in wanted)
            for address in (node.ipv4, node.ipv6)
            if address is not None
        }
        return tuple(sorted(found))

    def ip_pool(self, node: NodeFact) -> tuple[IPv4Network, ...]:
        """The IPv4 pools a new node may draw from; empty for no restriction. The node need not be present."""
        return self.engine.attributes.pool(self.engine, node)
