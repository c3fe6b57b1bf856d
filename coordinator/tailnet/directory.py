"""The writer's view of the tailnet: every durable fact, indexed, with undo.

Commands of the single writer read and change it; the published `Snapshot` follows only after the commit. A
failed command, or a failed commit, is rolled back by its undo log, so nothing is ever half applied. No I/O:
the writer itself is in `services.tailnet`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from coordinator.tailcfg.keys import MachineKey, NodeKey
from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.actors import NOWHERE, Actor, Origin
from coordinator.tailnet.addresses import Address
from coordinator.tailnet.api_keys import ApiKey
from coordinator.tailnet.declared_profiles import DeclaredProfile
from coordinator.tailnet.errors import NotFoundError
from coordinator.tailnet.identities import LinkedIdentity
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.preauth_keys import PreAuthKey
from coordinator.tailnet.state import AuditEntry, ChangeSet, StoredPolicy, TailnetState
from coordinator.tailnet.users import User, UserID
from coordinator.tailnet.wireguard import WireGuardRecords
from coordinator.wireguard.model import Record as WireGuardRecord

UNNAMED = Actor(kind="system", name="writer")
"""Of changes whose command said nothing of them."""


class Directory:
    """Users, nodes and keys with their unique indexes, plus the changes since the last `take_changes`."""

    def __init__(self, state: TailnetState) -> None:
        self._users = dict(state.users)
        self._nodes = dict(state.nodes)
        self._keys = dict(state.preauth_keys)
        self._access = dict(state.access)
        self._api_keys = dict(state.api_keys)
        self._identities = dict(state.identities)
        self.wireguard = WireGuardRecords(state.wireguard)
        self._declared = dict(state.declared)
        self._counters = dict(state.counters)
        self.policy = state.policy
        self._by_node_key: dict[NodeKey, NodeID] = {}
        self._by_machine: dict[MachineKey, set[NodeID]] = {}
        self._by_name: dict[str, NodeID] = {}
        self._by_address: dict[Address, NodeID] = {}
        self._key_by_prefix = {key.prefix: key.id for key in self._keys.values()}
        for node in self._nodes.values():
            self._index(node)
        self._changes = ChangeSet()
        self._undo: list[Callable[[], object]] = []
        self.origin = NOWHERE
        """Of the command that runs now."""
        self._touched: list[str] = []
        self._recorded = 0

    # reading

    def node(self, node_id: NodeID) -> Node:
        """A node by id; NotFoundError when there is none."""
        found = self._nodes.get(node_id)
        if found is None:
            raise NotFoundError(f"node {node_id} does not exist")
        return found

    def node_by_key(self, node_key: NodeKey) -> Node | None:
        """The node that holds a NodeKey now."""
        node_id = self._by_node_key.get(node_key)
        return None if node_id is None else self._nodes[node_id]

    def nodes_of_machine(self, machine_key: MachineKey) -> list[Node]:
        """All nodes of one machine (several users may have logged in there), oldest first."""
        return [self._nodes[node_id] for node_id in sorted(self._by_machine.get(machine_key, ()))]

    def nodes_of_user(self, user_id: UserID) -> list[Node]:
        """The untagged nodes a user owns."""
        return [node for node in self._nodes.values() if node.user_id == user_id and not node.tags]

    def name_taken(self, given_name: str) -> bool:
        """Whether a node has this given name."""
        return given_name in self._by_name

    def address_taken(self, address: Address) -> bool:
        """Whether a node has this address."""
        return address in self._by_address

    def node_by_address(self, address: Address) -> Node | None:
        """The node that has an address."""
        node_id = self._by_address.get(address)
        return None if node_id is None else self._nodes[node_id]

    def user(self, user_id: UserID) -> User:
        """A user by id; NotFoundError when there is none."""
        found = self._users.get(user_id)
        if found is None:
            raise NotFoundError(f"user {user_id} does not exist")
        return found

    def users(self) -> Iterator[User]:
        """All users."""
        return iter(self._users.values())

    def preauth_key(self, key_id: int) -> PreAuthKey:
        """A pre-auth key by id; NotFoundError when there is none."""
        found = self._keys.get(key_id)
        if found is None:
            raise NotFoundError(f"pre-auth key {key_id} does not exist")
        return found

    def preauth_key_by_prefix(self, prefix: str) -> PreAuthKey | None:
        """A pre-auth key by the public part of its text."""
        key_id = self._key_by_prefix.get(prefix)
        return None if key_id is None else self._keys[key_id]

    def preauth_keys_of_user(self, user_id: UserID) -> list[PreAuthKey]:
        """The keys that make nodes of a user."""
        return [key for key in self._keys.values() if key.user_id == user_id]

    def counter(self, name: str) -> int:
        """The last value of a persistent counter, 0 at first."""
        return self._counters.get(name, 0)

    # changing

    def next_id(self, name: str) -> int:
        """Advance a counter and return it; ids are never given twice."""
        value = self.counter(name) + 1
        self.set_counter(name, value)
        return value

    def set_counter(self, name: str, value: int) -> None:
        """Set a persistent counter."""
        before = self._counters.get(name)
        self._counters[name] = value
        self._record(self._changes.counters, name, value)
        self._undo.append(lambda: _restore(self._counters, name, before))

    def put_node(self, node: Node) -> None:
        """Add or replace a node."""
        before = self._nodes.get(node.id)
        if before is not None:
            self._unindex(before)
        self._nodes[node.id] = node
        self._index(node)
        self._record(self._changes.put_nodes, node.id, node)
        self._touched.append(f"node:{node.id}")

        def undo() -> None:
            self._unindex(node)
            _restore(self._nodes, node.id, before)
            if before is not None:
                self._index(before)

        self._undo.append(undo)

    def delete_node(self, node_id: NodeID) -> Node:
        """Remove a node and return it as it was."""
        node = self.node(node_id)
        del self._nodes[node_id]
        self._unindex(node)
        self._forget(self._changes.put_nodes, self._changes.delete_nodes, node_id)
        self._touched.append(f"node:{node_id}")

        def undo() -> None:
            self._nodes[node_id] = node
            self._index(node)

        self._undo.append(undo)
        return node

    def put_user(self, user: User) -> None:
        """Add or replace a user."""
        before = self._users.get(user.id)
        self._users[user.id] = user
        self._record(self._changes.put_users, user.id, user)
        self._touched.append(f"user:{user.id}")
        self._undo.append(lambda: _restore(self._users, user.id, before))

    def delete_user(self, user_id: UserID) -> User:
        """Remove a user and return it as it was; the caller has checked that nothing depends on it."""
        user = self.user(user_id)
        del self._users[user_id]
        self._forget(self._changes.put_users, self._changes.delete_users, user_id)
        self._touched.append(f"user:{user_id}")
        self._undo.append(lambda: _restore(self._users, user_id, user))
        return user

    def put_preauth_key(self, key: PreAuthKey) -> None:
        """Add or replace a pre-auth key."""
        before = self._keys.get(key.id)
        self._keys[key.id] = key
        self._key_by_prefix[key.prefix] = key.id
        self._record(self._changes.put_preauth_keys, key.id, key)
        self._touched.append(f"preauthkey:{key.id}")

        def undo() -> None:
            if before is None:
                del self._key_by_prefix[key.prefix]
            _restore(self._keys, key.id, before)

        self._undo.append(undo)

    def delete_preauth_key(self, key_id: int) -> PreAuthKey:
        """Remove a pre-auth key and return it as it was."""
        key = self.preauth_key(key_id)
        del self._keys[key_id]
        del self._key_by_prefix[key.prefix]
        self._forget(self._changes.put_preauth_keys, self._changes.delete_preauth_keys, key_id)
        self._touched.append(f"preauthkey:{key_id}")

        def undo() -> None:
            self._keys[key_id] = key
            self._key_by_prefix[key.prefix] = key_id

        self._undo.append(undo)
        return key

    def access(self, request_id: int) -> AccessRequest:
        """A request for access by id; NotFoundError when there is none."""
        found = self._access.get(request_id)
        if found is None:
            raise NotFoundError(f"access request {request_id} does not exist; `access list` shows them")
        return found

    def access_requests(self) -> list[AccessRequest]:
        """All requests, oldest first."""
        return list(self._access.values())

    def put_access(self, request: AccessRequest) -> None:
        """Add or replace a request for access."""
        before = self._access.get(request.id)
        self._access[request.id] = request
        self._record(self._changes.put_access, request.id, request)
        self._touched.append(f"access:{request.id}")
        self._undo.append(lambda: _restore(self._access, request.id, before))

    def api_key(self, key_id: int) -> ApiKey:
        """An API key by id; NotFoundError when there is none."""
        found = self._api_keys.get(key_id)
        if found is None:
            raise NotFoundError(f"API key {key_id} does not exist")
        return found

    def put_api_key(self, key: ApiKey) -> None:
        """Add or replace an API key."""
        before = self._api_keys.get(key.id)
        self._api_keys[key.id] = key
        self._record(self._changes.put_api_keys, key.id, key)
        self._touched.append(f"apikey:{key.id}")
        self._undo.append(lambda: _restore(self._api_keys, key.id, before))

    def delete_api_key(self, key_id: int) -> None:
        """Remove an API key; NotFoundError when there is none."""
        key = self.api_key(key_id)
        del self._api_keys[key_id]
        self._forget(self._changes.put_api_keys, self._changes.delete_api_keys, key_id)
        self._touched.append(f"apikey:{key_id}")
        self._undo.append(lambda: _restore(self._api_keys, key_id, key))

    def identity(self, identifier: str) -> LinkedIdentity | None:
        """An identity at a provider, if it is linked to a user."""
        return self._identities.get(identifier)

    def identities(self) -> list[LinkedIdentity]:
        """All of them."""
        return list(self._identities.values())

    def identities_of_user(self, user_id: UserID) -> list[LinkedIdentity]:
        """Those of one user."""
        return [identity for identity in self._identities.values() if identity.user_id == user_id]

    def put_identity(self, identity: LinkedIdentity, *, noteworthy: bool = True) -> None:
        """Add or replace an identity; the renewal of a token alone is not noteworthy."""
        before = self._identities.get(identity.id)
        self._identities[identity.id] = identity
        self._record(self._changes.put_identities, identity.id, identity)
        if noteworthy:
            self._touched.append(f"identity:{identity.id}")
        self._undo.append(lambda: _restore(self._identities, identity.id, before))

    def delete_identity(self, identifier: str) -> None:
        """Remove an identity that is there."""
        identity = self._identities.pop(identifier)
        self._forget(self._changes.put_identities, self._changes.delete_identities, identifier)
        self._touched.append(f"identity:{identifier}")
        self._undo.append(lambda: _restore(self._identities, identifier, identity))

    def put_wireguard(self, record: WireGuardRecord, *, noteworthy: bool = True) -> None:
        """Add or replace a record of plain WireGuard; what was merely seen is not noteworthy."""
        self._undo.append(self.wireguard.put(record))
        self._record(self._changes.put_wireguard, record.key, record)
        if noteworthy:
            self._touched.append(record.key)

    def delete_wireguard(self, key: str, *, noteworthy: bool = True) -> None:
        """Remove a record of plain WireGuard that is there."""
        self._undo.append(self.wireguard.delete(key))
        self._forget(self._changes.put_wireguard, self._changes.delete_wireguard, key)
        if noteworthy:
            self._touched.append(key)

    def declared_profiles(self) -> Mapping[str, DeclaredProfile]:
        """The access profiles declared beside the policy, by name."""
        return self._declared

    def put_declared(self, profile: DeclaredProfile) -> None:
        """Add or replace a declared profile."""
        before = self._declared.get(profile.name)
        self._declared[profile.name] = profile
        self._record(self._changes.put_declared, profile.name, profile)
        self._touched.append(f"profile:{profile.name}")
        self._undo.append(lambda: _restore(self._declared, profile.name, before))

    def delete_declared(self, name: str) -> None:
        """Remove a declared profile that is there."""
        profile = self._declared.pop(name)
        self._forget(self._changes.put_declared, self._changes.delete_declared, name)
        self._touched.append(f"profile:{name}")
        self._undo.append(lambda: _restore(self._declared, name, profile))

    def put_policy(self, policy: StoredPolicy) -> None:
        """Add a policy version; it is the one in force from now on."""
        before = self.policy
        self.policy = policy
        self._changes.put_policies.append(policy)
        self._touched.append(f"policy:{policy.id}")

        def undo() -> None:
            self.policy = before
            self._changes.put_policies.remove(policy)

        self._undo.append(undo)

    def audit(
        self,
        now: datetime,
        actor: Actor,
        action: str,
        target: str,
        after: Mapping[str, Any] | None = None,
        *,
        before: Mapping[str, Any] | None = None,
        name: str = "",
        reason: str = "",
    ) -> None:
        """Record who did what; it becomes durable together with what was done.

        Args:
            now: When.
            actor: Who; from where and why is the command's `origin`.
            action: `noun.verb`.
            target: Kind and id of the object, such as `node:7`.
            after: What is so now; or what is worth knowing where nothing changed.
            before: What it was.
            name: What people call the object.
            reason: Why, if the command knows better than whoever asked for it.
        """
        kind, _, object_id = target.partition(":")
        entry = AuditEntry(
            at=now,
            actor=actor,
            action=action,
            object_kind=kind,
            object_id=object_id,
            object_name=name,
            before=dict(before or {}),
            after=dict(after or {}),
            reason=reason or self.origin.reason,
            origin=self.origin,
        )
        self._changes.audit.append(entry)
        self._undo.append(self._changes.audit.pop)

    # the writer's side

    def begin(self, origin: Origin) -> None:
        """The next command comes from there."""
        self.origin = origin
        self._touched.clear()
        self._recorded = len(self._changes.audit)

    def complete(self, now: datetime) -> None:
        """The command has ended well; if it changed something and said nothing, that is recorded."""
        if self._touched and len(self._changes.audit) == self._recorded:
            objects = list(dict.fromkeys(self._touched))
            self.audit(now, UNNAMED, "change.unnamed", objects[0], {"objects": objects})

    def mark(self) -> int:
        """A point to roll back to."""
        return len(self._undo)

    def rollback(self, mark: int) -> None:
        """Undo everything since a mark, newest first."""
        while len(self._undo) > mark:
            self._undo.pop()()

    def pending(self) -> ChangeSet:
        """What has changed since the last `settle`."""
        return self._changes

    def absorb(self, changes: ChangeSet) -> None:
        """Take over what another instance has committed; nothing of ours may be pending."""
        concerned = [*changes.delete_nodes, *changes.put_nodes]
        # Nodes may have exchanged names: what was goes first.
        for node in [self._nodes.pop(each) for each in concerned if each in self._nodes]:
            self._unindex(node)
        for node in changes.put_nodes.values():
            self._nodes[node.id] = node
            self._index(node)
        for key_id in [*changes.delete_preauth_keys, *changes.put_preauth_keys]:
            if (former := self._keys.pop(key_id, None)) is not None:
                del self._key_by_prefix[former.prefix]
        for key in changes.put_preauth_keys.values():
            self._keys[key.id] = key
            self._key_by_prefix[key.prefix] = key.id
        _merge(self._users, changes.put_users, changes.delete_users)
        _merge(self._access, changes.put_access, ())
        _merge(self._api_keys, changes.put_api_keys, changes.delete_api_keys)
        _merge(self._identities, changes.put_identities, changes.delete_identities)
        _merge(self._declared, changes.put_declared, changes.delete_declared)
        self.wireguard.absorb(changes.put_wireguard.values(), changes.delete_wireguard)
        self._counters.update(changes.counters)
        if changes.put_policies:
            self.policy = changes.put_policies[-1]

    def settle(self) -> None:
        """Forget the undo log and the pending changes: they are committed."""
        self._undo.clear()
        self._changes = ChangeSet()

    # inner

    def _index(self, node: Node) -> None:
        self._by_node_key[node.node_key] = node.id
        self._by_machine.setdefault(node.machine_key, set()).add(node.id)
        self._by_name[node.given_name] = node.id
        for address in node.addresses:
            self._by_address[address] = node.id

    def _unindex(self, node: Node) -> None:
        del self._by_node_key[node.node_key]
        machine = self._by_machine[node.machine_key]
        machine.discard(node.id)
        if not machine:
            del self._by_machine[node.machine_key]
        del self._by_name[node.given_name]
        for address in node.addresses:
            del self._by_address[address]

    def _record(self, puts: dict[Any, Any], key: Any, value: Any) -> None:
        before = puts.get(key)
        puts[key] = value
        self._undo.append(lambda: _restore(puts, key, before))

    def _forget(self, puts: dict[Any, Any], deletes: set[Any], key: Any) -> None:
        """A deletion cancels a put of the same batch;

        the delete is written all the same, it may be an older row.
        """
        before = puts.pop(key, None)
        deleted_before = key in deletes
        deletes.add(key)

        def undo() -> None:
            if not deleted_before:
                deletes.discard(key)
            if before is not None:
                puts[key] = before

        self._undo.append(undo)


def _merge(mapping: dict[Any, Any], puts: Mapping[Any, Any], deletes: Collection[Any]) -> None:
    for key in deletes:
        mapping.pop(key, None)
    mapping.update(puts)


def _restore(mapping: dict[Any, Any], key: Any, before: Any) -> None:
    if before is None:
        del mapping[key]
    else:
        mapping[key] = before
