"""Whose a node is, and which addresses it has: move, untag, set addresses.

A machine may be several nodes, one for each owner: a login as somebody else makes another node of it.
No owner has two nodes of one machine, or a login could not tell which of them comes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import cast

from coordinator.services.registration import RegistrationSettings
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.addresses import Address, Prefixes, usable
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import ConflictError, InvalidError
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.users import UserID, require_active


class OwnershipService:
    """Gives nodes to other users and fixes their addresses; clients follow on their open streams."""

    def __init__(self, tailnet: Tailnet, settings: RegistrationSettings) -> None:
        self._tailnet = tailnet
        self._settings = settings

    async def move(self, node_id: int, user_id: int, *, actor: Actor) -> Node:
        """Give a user's node to another user; key, expiry, name and addresses stay.

        Raises:
            NotFoundError: no such node or user.
            InvalidError: the node is tagged, so it is nobody's to move.
            ConflictError: the other user has a node of this machine already.
            ForbiddenError: the other user is suspended.
        """

        def command(directory: Directory) -> Node:
            node, owner = directory.node(NodeID(node_id)), UserID(user_id)
            user = require_active(directory.user(owner))
            if node.tags:
                raise InvalidError(
                    f"node `{node.given_name}` belongs to its tags ({', '.join(node.tags)}); "
                    f"`nodes untag --identifier {node.id} --user {user.name}` makes it the user's"
                )
            if node.user_id == owner:
                return node
            require_single(directory, node, owner)
            moved = replace(node, user_id=owner)
            directory.put_node(moved)
            self._record(directory, actor, "node.move", node, {"user": node.user_id}, {"user": owner})
            return moved

        return await self._tailnet.execute(command)

    async def untag(self, node_id: int, user_id: int, *, actor: Actor) -> Node:
        """Make a tagged node a user's; its key gets the lifetime a new login would have.

        Raises:
            NotFoundError: no such node or user.
            InvalidError: the node has no tags.
            ConflictError: the user has a node of this machine already.
            ForbiddenError: the user is suspended.
        """

        def command(directory: Directory) -> Node:
            node, owner = directory.node(NodeID(node_id)), UserID(user_id)
            require_active(directory.user(owner))
            if not node.tags:
                raise InvalidError(f"node `{node.given_name}` has no tags; `nodes move` changes its user")
            require_single(directory, node, owner)
            now = self._tailnet.clock()
            untagged = replace(node, tags=(), user_id=owner, expiry=self._expiry(node, now))
            directory.put_node(untagged)
            self._record(directory, actor, "node.untag", node, {"tags": list(node.tags)}, {"user": owner})
            return untagged

        return await self._tailnet.execute(command)

    async def set_addresses(self, node_id: int, texts: Sequence[str], *, actor: Actor) -> Node:
        """Fix a node's addresses: each given one replaces the one of its family, the other family stays.

        A node so keeps exactly one address of each family the tailnet has.

        Args:
            node_id: The node.
            texts: One IPv4 address, one IPv6 address, or one of each.
            actor: Who asks.

        Raises:
            NotFoundError: no such node.
            InvalidError: no address, two of a family, or one that is not in the tailnet's prefix or reserved.
            ConflictError: another node has it.
        """
        v4, v6 = parse_addresses(texts, self._settings.prefixes)

        def command(directory: Directory) -> Node:
            node = directory.node(NodeID(node_id))
            for address in (v4, v6):
                holder = directory.node_by_address(address) if address is not None else None
                if holder is not None and holder.id != node.id:
                    raise ConflictError(
                        f"address {address} belongs to node `{holder.given_name}` (id {holder.id}); "
                        "give that one another address first"
                    )
            changed = replace(node, ipv4=v4 or node.ipv4, ipv6=v6 or node.ipv6)
            if changed.addresses == node.addresses:
                return node
            directory.put_node(changed)
            before, after = {"addresses": _texts(node)}, {"addresses": _texts(changed)}
            self._record(directory, actor, "node.addresses", node, before, after)
            return changed

        return await self._tailnet.execute(command)

    def _record(
        self,
        directory: Directory,
        actor: Actor,
        action: str,
        node: Node,
        before: Mapping[str, object],
        after: Mapping[str, object],
    ) -> None:
        now, target = self._tailnet.clock(), f"node:{node.id}"
        directory.audit(now, actor, action, target, after, before=before, name=node.given_name)

    def _expiry(self, node: Node, now: datetime) -> datetime | None:
        """A key that expires, or has, keeps its moment; a tagged node's endless one gets the usual end."""
        if node.expiry is not None or self._settings.key_lifetime is None:
            return node.expiry
        return now + self._settings.key_lifetime


def require_single(directory: Directory, node: Node, owner: UserID | None) -> None:
    """Refuse a second node of one machine for an owner; owner None stands for tags.

    Raises:
        ConflictError: the message names the node that is in the way.
    """
    for other in directory.nodes_of_machine(node.machine_key):
        same = bool(other.tags) if owner is None else other.user_id == owner and not other.tags
        if same and other.id != node.id:
            what = "there is a tagged" if owner is None else f"user `{directory.user(owner).name}` has a"
            raise ConflictError(
                f"{what} node of this machine already: `{other.given_name}` (id {other.id}); "
                "delete one of the two first"
            )


def parse_addresses(
    texts: Sequence[str], prefixes: Prefixes
) -> tuple[IPv4Address | None, IPv6Address | None]:
    """Wanted addresses by family, each checked against the tailnet's prefix.

    Raises:
        InvalidError: which text is wrong, and why.
    """
    found: dict[int, Address] = {}
    for text in texts:
        address = _parse_address(text)
        network = prefixes.v4 if address.version == 4 else prefixes.v6
        if network is None:
            raise InvalidError(f"this tailnet has no IPv{address.version} addresses (configure `prefixes`)")
        if address not in network:
            raise InvalidError(f"address {address} is not in the tailnet's prefix {network}")
        if not usable(network, address):
            raise InvalidError(f"address {address} is reserved; no node may have it")
        other = found.setdefault(address.version, address)
        if other != address:
            raise InvalidError(f"{other} and {address} are both IPv{address.version}: give one of a family")
    if not found:
        raise InvalidError("give at least one address, such as 100.64.0.7")
    return cast("IPv4Address | None", found.get(4)), cast("IPv6Address | None", found.get(6))


def _parse_address(text: str) -> Address:
    try:
        address = ip_address(text.strip())
    except ValueError:
        raise InvalidError(f"`{text}` is not an address such as 100.64.0.7") from None
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise InvalidError(f"address `{text}` has a zone; leave out what follows the `%`")
    return address


def _texts(node: Node) -> list[str]:
    return [str(address) for address in node.addresses]
