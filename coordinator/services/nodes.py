"""Nodes: list, delete, rename, expire, tag, approve routes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from ipaddress import ip_network

from coordinator.services.node_changes import moment, node_summary, record_hostinfo_change
from coordinator.services.ownership import require_single
from coordinator.services.tags import validated_tags
from coordinator.services.tailnet import Tailnet
from coordinator.tailcfg.hostinfo import hostname, routable_ips
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError, InvalidError, NotFoundError
from coordinator.tailnet.facts import node_fact
from coordinator.tailnet.names import label_from_hostname, unique_label, validate_given_name
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.preauth_keys import PreAuthKey
from coordinator.tailnet.users import User, require_active

EXIT_ROUTES = ("0.0.0.0/0", "::/0")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """A node with what administrators want to see beside it."""

    node: Node
    user: User | None
    preauth_key: PreAuthKey | None
    available_routes: tuple[str, ...]
    subnet_routes: tuple[str, ...]
    """The approved routes that are advertised now and that this node serves: primary ones and exit routes."""
    fqdn: str
    expired: bool


class NodeService:
    """Verbs on nodes."""

    def __init__(self, tailnet: Tailnet) -> None:
        self._tailnet = tailnet

    def list(self, user: str | None = None) -> list[NodeView]:
        """All nodes, or those of the user with this name, by id."""
        views = [self.view(node) for node in self._tailnet.snapshot.nodes()]
        return [view for view in views if user is None or (view.user is not None and view.user.name == user)]

    def get(self, node_id: int) -> NodeView:
        """One node; NotFoundError when there is none."""
        record = self._tailnet.snapshot.record(NodeID(node_id))
        if record is None:
            raise NotFoundError(f"node {node_id} does not exist")
        return self.view(record.node)

    def view(self, node: Node) -> NodeView:
        """A node with its surroundings."""
        snapshot, world = self._tailnet.snapshot, self._tailnet.world
        available = routable_ips(node.hostinfo)
        serving: tuple[str, ...] = ()
        record = snapshot.record(node.id)
        if node.approved_routes and record is not None:
            primary = world.policy.self_view(node.id).primary_routes
            exits = tuple(route for route in node.approved_routes if route in EXIT_ROUTES)
            serving = tuple(route for route in (*primary, *exits) if route in available)
        return NodeView(
            node=node,
            user=None if node.tags or node.user_id is None else snapshot.users.get(node.user_id),
            preauth_key=snapshot.preauth_keys.get(node.auth_key_id) if node.auth_key_id else None,
            available_routes=available,
            subnet_routes=serving,
            fqdn=world.config.fqdn(node.given_name),
            expired=node.expired(self._tailnet.clock()),
        )

    async def delete(self, node_id: int, *, actor: Actor) -> None:
        """Remove a node; its client is told at once."""

        def command(directory: Directory) -> None:
            node = directory.delete_node(NodeID(node_id))
            now = self._tailnet.clock()
            target, before = f"node:{node_id}", node_summary(node)
            directory.audit(now, actor, "node.delete", target, before=before, name=node.given_name)

        await self._tailnet.execute(command)

    async def rename(self, node_id: int, new_name: str, *, actor: Actor) -> NodeView:
        """Give a node another name, which later host name changes leave alone."""
        name = validate_given_name(new_name)

        def command(directory: Directory) -> Node:
            node = directory.node(NodeID(node_id))
            if name != node.given_name and directory.name_taken(name):
                raise ConflictError(f"another node is named `{name}` already")
            renamed = replace(node, given_name=name, given_name_fixed=True)
            if renamed == node:
                return node
            directory.put_node(renamed)
            before, after = {"given_name": node.given_name}, {"given_name": name}
            now, target = self._tailnet.clock(), f"node:{node_id}"
            directory.audit(now, actor, "node.rename", target, after, before=before, name=name)
            return renamed

        await self._tailnet.execute(command)
        return self.get(node_id)

    async def expire(
        self, node_id: int, *, at: datetime | None = None, disable: bool = False, actor: Actor
    ) -> NodeView:
        """Set when a node's key expires: now by default, at a moment, or never (`disable`)."""
        if at is not None and disable:
            raise InvalidError("give an expiry or disable it, not both")

        def command(directory: Directory) -> None:
            node = directory.node(NodeID(node_id))
            now = self._tailnet.clock()
            self._put_expiry(directory, node, None if disable else max(at, now) if at else now, actor)

        await self._tailnet.execute(command)
        return self.get(node_id)

    async def extend(self, node_id: int, by: timedelta, *, actor: Actor) -> NodeView:
        """Let a node's key live longer: from its expiry on, or from now where that has passed.

        Raises:
            InvalidError: the key never expires, or the new expiry is out of range.
            ForbiddenError: the node's user is suspended.
        """
        if by <= timedelta():
            raise InvalidError("a key is extended by a positive time, such as 30d")

        def command(directory: Directory) -> None:
            node = directory.node(NodeID(node_id))
            if node.expiry is None:
                raise InvalidError(f"the key of node `{node.given_name}` never expires; nothing to extend")
            try:
                expiry = max(node.expiry, self._tailnet.clock()) + by
            except OverflowError:
                raise InvalidError("the new expiry is beyond the last day of the calendar") from None
            self._put_expiry(directory, node, expiry, actor)

        await self._tailnet.execute(command)
        return self.get(node_id)

    def _put_expiry(self, directory: Directory, node: Node, expiry: datetime | None, actor: Actor) -> None:
        """A node of a suspended user may be expired (again), and never brought back."""
        now = self._tailnet.clock()
        if node.user_id is not None and not node.tags and (expiry is None or expiry > now):
            require_active(directory.user(node.user_id))
        if expiry == node.expiry:
            return
        directory.put_node(replace(node, expiry=expiry))
        before, after = {"expiry": moment(node.expiry)}, {"expiry": moment(expiry)}
        target, name = f"node:{node.id}", node.given_name
        directory.audit(now, actor, "node.expire", target, after, before=before, name=name)

    async def set_tags(self, node_id: int, tags: Sequence[str], *, actor: Actor) -> NodeView:
        """Replace a node's tags; a tagged node has no user and no expiry of its own."""
        if not tags:
            raise InvalidError("give at least one tag: a node without tags would belong to nobody")
        wanted = validated_tags(self._tailnet.world.policy, tags)

        def command(directory: Directory) -> None:
            node = directory.node(NodeID(node_id))
            require_single(directory, node, None)
            expiry = node.expiry if node.tags else None
            if (wanted, None, expiry) == (node.tags, node.user_id, node.expiry):
                return
            directory.put_node(replace(node, tags=wanted, user_id=None, expiry=expiry))
            before = {"tags": list(node.tags), "user": node.user_id, "expiry": moment(node.expiry)}
            after = {"tags": list(wanted), "user": None, "expiry": moment(expiry)}
            now, target, name = self._tailnet.clock(), f"node:{node_id}", node.given_name
            directory.audit(now, actor, "node.tag", target, after, before=before, name=name)

        await self._tailnet.execute(command)
        return self.get(node_id)

    async def approve_routes(self, node_id: int, routes: Sequence[str], *, actor: Actor) -> NodeView:
        """Replace the approved routes; either exit route stands for both."""
        wanted = _canonical_routes(routes)

        def command(directory: Directory) -> None:
            node = directory.node(NodeID(node_id))
            if wanted == node.approved_routes:
                return
            directory.put_node(replace(node, approved_routes=wanted))
            before, after = {"routes": list(node.approved_routes)}, {"routes": list(wanted)}
            now, target, name = self._tailnet.clock(), f"node:{node_id}", node.given_name
            directory.audit(now, actor, "route.approve", target, after, before=before, name=name)

        await self._tailnet.execute(command)
        return self.get(node_id)

    async def hostinfo_changed(self, node_id: NodeID) -> None:
        """Make durable what a new Hostinfo implies: another name, routes the policy approves by itself."""
        record = self._tailnet.snapshot.record(node_id)
        if record is None or not self._implies_change(record.node):
            return

        def command(directory: Directory) -> None:
            current = self._tailnet.snapshot.record(node_id)
            if current is None:
                return
            node = directory.node(node_id)
            info = current.node.hostinfo
            name = hostname(info)
            given = node.given_name
            if name and name != node.hostname and not node.given_name_fixed:
                label = label_from_hostname(name)
                given = unique_label(
                    label, lambda taken: taken != node.given_name and directory.name_taken(taken)
                )
            routes = tuple(sorted({*node.approved_routes, *self._auto_approved(current.node, current.index)}))
            changed = replace(node, hostname=name or node.hostname, given_name=given, approved_routes=routes)
            if changed != node:
                directory.put_node(changed)
                record_hostinfo_change(directory, self._tailnet.clock(), node, changed)

        await self._tailnet.execute(command)

    async def approve_by_policy(self) -> None:
        """After a policy change: approve what it approves now among the routes that are advertised."""
        for record in list(self._tailnet.snapshot.records.values()):
            approved = self._auto_approved(record.node, record.index)
            if not set(approved) <= set(record.node.approved_routes):
                await self.hostinfo_changed(record.node.id)

    def _implies_change(self, node: Node) -> bool:
        name = hostname(node.hostinfo)
        record = self._tailnet.snapshot.record(node.id)
        assert record is not None
        approved = self._auto_approved(node, record.index)
        return (bool(name) and name != node.hostname) or not set(approved) <= set(node.approved_routes)

    def _auto_approved(self, node: Node, index: int) -> tuple[str, ...]:
        advertised = routable_ips(node.hostinfo)
        if not advertised:
            return ()
        return self._tailnet.world.policy.auto_approved(node_fact(node, index), advertised)


def _canonical_routes(routes: Sequence[str]) -> tuple[str, ...]:
    canonical: set[str] = set()
    for text in routes:
        try:
            canonical.add(str(ip_network(text.strip(), strict=False)))
        except ValueError:
            raise InvalidError(f"route `{text}` is not a prefix such as 10.0.0.0/24") from None
    if canonical & set(EXIT_ROUTES):
        canonical.update(EXIT_ROUTES)
    return tuple(sorted(canonical))
