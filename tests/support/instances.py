"""One of several instances with its services, driven by random commands, and what all must agree on."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

from acl import parse_policy
from coordinator.netmap.builder import full_map
from coordinator.netmap.delta import SessionLostError, next_message
from coordinator.netmap.session import SessionState
from coordinator.services.access import AccessService
from coordinator.services.access_rules import Asked
from coordinator.services.api_keys import ApiKeyService
from coordinator.services.declared_profiles import DeclaredProfiles
from coordinator.services.login import PendingLogins
from coordinator.services.nodes import NodeService
from coordinator.services.policy import PolicyService
from coordinator.services.preauth_keys import PreAuthKeyService
from coordinator.services.registration import RegistrationService, RegistrationSettings
from coordinator.services.tailnet import Tailnet
from coordinator.services.users import UserService
from coordinator.services.wireguard_book import WireGuardBook
from coordinator.tailcfg.framing import frame
from coordinator.tailcfg.keys import NodeKey
from coordinator.tailcfg.register import RegisterAuth, RegisterRequest
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.declared_profiles import DeclaredProfile
from coordinator.tailnet.directory import Directory
from coordinator.tailnet.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.snapshot import VOLATILE_FIELDS
from coordinator.tailnet.state import StoredPolicy, TailnetState
from coordinator.wireguard.model import Peer
from tests.support.builders import FakeClock, disco_key, machine_key, node_key
from tests.support.tailnets import PREFIXES, ClientModel, decode_message, make_world
from tests.support.wireguard_records import make_peer

ACTOR = Actor(kind="socket", name="test")
REFUSALS = (ConflictError, ForbiddenError, InvalidError, NotFoundError, UnavailableError)
_FRAME = """{"groups": {"group:ops": ["user1@", "user2@"]}, "tagOwners": {"tag:a": [], "tag:b": []},
  "access": {"profiles": {"p": {"src": ["autogroup:member"], "dst": ["tag:a:22"], "maxActive": 2}}},
  "acls": [%s]}"""
POLICIES = [
    _FRAME % each
    for each in (
        '{"action": "accept", "src": ["*"], "dst": ["*:*"]}',
        "",
        '{"action": "accept", "src": ["autogroup:member"], "dst": ["autogroup:self:*"]}',
        '{"action": "accept", "src": ["group:ops"], "dst": ["tag:a:443"]}',
    )
]
FIRST = StoredPolicy(id=0, text=POLICIES[0], created_at=FakeClock().now)
_numbers = count(1000)


async def _no_versions(limit: int) -> list[StoredPolicy]:
    return []


class Secrets:
    """What people were given, at whichever instance."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.node_keys: dict[int, NodeKey] = {}
        self.facts: dict[NodeID, dict[str, Any]] = {}


class RandomInstance:
    """Services on one tailnet; `step` is what somebody does here."""

    def __init__(self, store: Any, state: TailnetState, clock: FakeClock, given: Secrets, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock, self.given, self.store = clock, given, store
        policy = parse_policy((state.policy or FIRST).text)
        self.tailnet = tailnet = Tailnet(store, state, make_world(state, policy), clock, shared=True)
        stored = state.policy or FIRST
        self.policy = PolicyService(
            tailnet,
            path=None,
            database_mode=True,
            stored=stored,
            versions=_no_versions,
            declared=DeclaredProfiles(tailnet, state.declared),
        )
        self.policy.load()
        self.access = AccessService(tailnet, self.policy, state.access.values())
        self.api_keys = ApiKeyService(tailnet, state.api_keys.values(), _random_bytes)
        self.book = WireGuardBook(tailnet, state.wireguard)
        self.users, self.nodes = UserService(tailnet), NodeService(tailnet)
        self.keys = PreAuthKeyService(tailnet, _random_bytes)
        logins = PendingLogins("http://s", clock, lambda size: f"{next(_numbers):0{2 * size}x}")
        joining = RegistrationSettings(prefixes=PREFIXES, key_lifetime=timedelta(days=90))
        self.registration = RegistrationService(tailnet, logins, joining, lambda size: 0)
        self.clients: dict[NodeID, tuple[SessionState, ClientModel]] = {}
        self.refused = self.done = 0

    async def close(self) -> None:
        await self.policy.close()
        await self.tailnet.close()

    # what happens here

    async def step(self) -> None:
        """One random thing; what is refused is refused by a rule, never by the database."""
        moves: list[tuple[Callable[[], Awaitable[Any]], int]] = [
            (self._join, 8),
            (self._volatile, 4),
            (self._node, 6),
            (self._user, 4),
            (self._key, 3),
            (self._api_key, 2),
            (self._peer, 5),
            (self._declared, 1),
            (self._request, 3),
            (self._set_policy, 1),
        ]
        move = self.random.choices([move for move, _ in moves], [weight for _, weight in moves])[0]
        try:
            await move()
            self.done += 1
        except REFUSALS as error:
            self.refused += 1
            assert "the database refused" not in error.message, "rules find mistakes before the database does"
        if self.random.random() < 0.3:
            self.connect()

    def _pick(self, some: Any) -> Any:
        """One of those known here, or the id of none."""
        present = sorted(some)
        return self.random.choice([*present, 999]) if present else 999

    def _node_id(self) -> NodeID:
        return NodeID(self._pick(self.tailnet.snapshot.index_of))

    async def _join(self) -> None:
        if not self.given.keys:
            return await self._key()
        number = self.random.randrange(1, 40)
        key = self.given.node_keys.get(number)
        if key is None or self.random.random() < 0.3:
            key = self.given.node_keys[number] = node_key(next(_numbers))
        auth = RegisterAuth(auth_key=self.random.choice(self.given.keys))
        hostinfo = {"Hostname": f"host{number % 5}"}
        request = RegisterRequest(version=142, node_key=key, hostinfo=hostinfo, auth=auth)
        await self.registration.register(machine_key(number), request)
        record = self.tailnet.snapshot.record_by_key(key)
        if record is not None:
            self._heard(record.node.id, disco_key=disco_key(number))
        return None

    async def _volatile(self) -> None:
        change = self.random.choice(
            [{"home_derp": self.random.randrange(3)}, {"online": self.random.random() < 0.5}]
        )
        self._heard(self._node_id(), **change)

    def _heard(self, node_id: NodeID, **facts: Any) -> None:
        if self.tailnet.update_volatile(node_id, **facts) is not None:
            self.given.facts.setdefault(node_id, {}).update(facts)

    async def _node(self) -> None:
        node_id, choice = self._node_id(), self.random.randrange(5)
        if choice == 0:
            await self.nodes.delete(node_id, actor=ACTOR)
        elif choice == 1:
            await self.nodes.rename(node_id, f"name{self.random.randrange(12)}", actor=ACTOR)
        elif choice == 2:
            at = self.clock() + timedelta(minutes=self.random.randrange(-5, 60))
            await self.nodes.expire(node_id, at=at, actor=ACTOR)
        elif choice == 3:
            await self.nodes.set_tags(node_id, [self.random.choice(["tag:a", "tag:b"])], actor=ACTOR)
        else:
            await self._exchange_names()

    async def _exchange_names(self) -> None:
        """Two nodes take each other's name, at once."""
        ids = self._pick(self.tailnet.snapshot.index_of), self._pick(self.tailnet.snapshot.index_of)

        def command(directory: Directory) -> None:
            one, two = (directory.node(NodeID(each)) for each in ids)
            directory.put_node(replace(one, given_name=f"spare{next(_numbers)}"))
            directory.put_node(replace(two, given_name=one.given_name))
            directory.put_node(replace(one, given_name=two.given_name))

        if ids[0] != ids[1]:
            await self.tailnet.execute(command)

    async def _user(self) -> None:
        user_id, choice = self._pick(self.tailnet.snapshot.users), self.random.randrange(5)
        name = f"user{self.random.randrange(1, 8)}"
        if choice < 2:
            await self.users.create(name, actor=ACTOR)
        elif choice == 2:
            await self.users.rename(user_id, name, actor=ACTOR)
        elif choice == 3:
            await self.users.set_role(user_id, self.random.choice(["admin", "member"]), actor=ACTOR)
        else:
            await self.users.delete(user_id, with_nodes=self.random.random() < 0.5, actor=ACTOR)

    async def _key(self) -> None:
        if self.random.random() < 0.2:
            return await self.keys.expire(self._pick(self.tailnet.snapshot.preauth_keys), actor=ACTOR)
        _, text = await self.keys.create(
            user_id=self._pick(self.tailnet.snapshot.users),
            tags=self.random.choice([[], [], ["tag:a"]]),
            reusable=self.random.random() < 0.7,
            ephemeral=False,
            expiration=self.clock() + timedelta(days=30),
            actor=ACTOR,
        )
        self.given.keys.append(text)
        return None

    async def _api_key(self) -> None:
        known = [key.id for key in self.api_keys.list()]
        choice = self.random.randrange(4)
        if choice == 0 and known:
            await self.api_keys.delete(key_id=self.random.choice(known), actor=ACTOR)
        elif choice == 1 and known:
            await self.api_keys.expire(key_id=self.random.choice(known), actor=ACTOR)
        else:
            await self.api_keys.create(user_id=None, expiration=None, actor=ACTOR)

    async def _peer(self) -> None:
        """A record like those of plain WireGuard: name, key and addresses are unique among the living."""
        names, choice = self.random.sample(range(1, 9), 3), self.random.randrange(4)

        def put(directory: Directory) -> None:
            records = directory.wireguard
            living = [each for each in records.peers() if each.live]
            if choice == 0 and living:
                directory.put_wireguard(replace(living[names[0] % len(living)], ended_at=self.clock()))
            elif choice == 1 and living:
                directory.delete_wireguard(living[names[0] % len(living)].key)
            elif choice == 2 and len(living) > 1:
                one, two = living[0], living[-1]
                parts = [{"name": e.name, "keys": e.keys, "addresses": e.addresses} for e in (one, two)]
                directory.delete_wireguard(one.key)
                directory.put_wireguard(replace(two, **parts[0]))
                directory.put_wireguard(replace(one, **parts[1]))
            else:
                peer = make_peer(directory.next_id("wireguard_peers"))
                likeness = make_peer(names[1])
                peer = replace(
                    peer, name=f"p{names[0]}", keys=likeness.keys, addresses=make_peer(names[2]).addresses
                )
                if (
                    records.named("wgpeer", peer.name)
                    or records.holder_of_key(peer.keys[0].public_key)
                    or any(map(records.address_taken, peer.addresses))
                ):
                    raise ConflictError("taken")
                directory.put_wireguard(peer)

        await self.tailnet.execute(put)

    async def _declared(self) -> None:
        name = f"d{self.random.randrange(3)}"
        port = self.random.randrange(1, 99)
        body = f'{{"src":["autogroup:member"],"dst":["tag:b:{port}"]}}'

        def command(directory: Directory) -> None:
            if name in directory.declared_profiles() and port % 4 == 0:
                directory.delete_declared(name)
            else:
                profile = DeclaredProfile(name=name, body=body, declared_by="a", since=self.clock())
                directory.put_declared(profile)

        await self.tailnet.execute(command)

    async def _request(self) -> None:
        known = self.access.newest_first()
        if known and self.random.random() < 0.4:
            await self.access.revoke(self.random.choice(known).id, by=None, actor=ACTOR)
            return
        users = self.tailnet.snapshot.users
        user = users.get(self._pick(users))
        if user is not None:
            await self.access.request(
                Asked(profile="p", user=user, duration=timedelta(minutes=30)), actor=ACTOR
            )

    async def _set_policy(self) -> None:
        await self.policy.set(self.random.choice(POLICIES), actor=ACTOR)

    # clients

    def connect(self) -> None:
        """Some client opens its stream here."""
        record = self.tailnet.snapshot.record(self._node_id())
        if record is not None:
            frames, state = full_map(self.tailnet.world, record, pinning=True, now=self.clock())
            model = ClientModel()
            model.apply(decode_message(frame(frames)))
            self.clients[record.node.id] = state, model

    def tell(self) -> None:
        """Everybody with a stream here hears what is new."""
        for node_id, (state, model) in list(self.clients.items()):
            record = self.tailnet.snapshot.records.get(state.index)
            if record is None or record.node.id != node_id:
                del self.clients[node_id]
                continue
            try:
                document, state = next_message(self.tailnet.world, state)
            except SessionLostError:
                del self.clients[node_id]
                continue
            if document is not None:
                model.apply(decode_message(document))
            self.clients[node_id] = state, model

    # what all agree on

    async def settle(self) -> None:
        """Know what is stored, and have it in force."""
        await self.tailnet.catch_up()
        directory = self.tailnet._writer._directory
        newest = directory.policy or FIRST
        async with asyncio.timeout(20):
            while self.policy.text != newest.text or self.policy._replacing.locked() or self._rejoining():
                await asyncio.sleep(0.001)
        known = self.tailnet.snapshot.index_of
        self.tailnet.take_volatile({key: each for key, each in self.given.facts.items() if key in known})
        self.access.windows.refresh()
        self.tailnet.expire_due()

    def _rejoining(self) -> bool:
        task = self.policy._rejoining
        return task is not None and not task.done()

    def maps(self) -> dict[int, Any]:
        """A fresh full map of every node."""
        found = {}
        for record in self.tailnet.snapshot.records.values():
            frames, _ = full_map(self.tailnet.world, record, pinning=True, now=self.clock())
            model = ClientModel()
            model.apply(decode_message(frame(frames)))
            found[int(record.node.id)] = model.view()
        return found

    def told(self) -> dict[int, Any]:
        """What clients with a stream here made of all they heard."""
        return {int(node_id): model.view() for node_id, (_, model) in self.clients.items()}

    def published(self) -> dict[str, Any]:
        """Everything readers see."""
        snapshot = self.tailnet.snapshot
        return {
            "nodes": [(node, snapshot.record(node.id).expired) for node in map(durable, snapshot.nodes())],  # type: ignore[union-attr]
            "users": dict(snapshot.users),
            "keys": dict(snapshot.preauth_keys),
            "access": dict(sorted(self.access.requests.items())),
            "api_keys": self.api_keys.list(),
            "peers": self.book.peers,
            "policy": self.policy.text,
            "declared": dict(self.policy.declared.stored),
            "owners": {user: _ids(snapshot, bits) for user, bits in snapshot.owner_bits.items()},
            "by_key": {key: snapshot.records[index].node.id for key, index in snapshot.by_node_key.items()},
            "announced": _ids(snapshot, snapshot.announced),
        }


def _ids(snapshot: Any, bits: int) -> list[int]:
    return sorted(record.node.id for index, record in snapshot.records.items() if bits >> index & 1)


def durable(node: Node) -> Node:
    """Without what the volatile way tells."""
    blank = {"hostinfo": {}, "endpoints": (), "last_seen": None, "online": False, "disco_key": None}
    return replace(node, **blank | {"home_derp": 0, "cap_version": 0})


def contents(directory: Directory) -> dict[str, Any]:
    """Everything in a directory, with its indexes."""
    found = {
        name: dict(getattr(directory, name))
        for name in (
            "_users",
            "_keys",
            "_access",
            "_api_keys",
            "_identities",
            "_declared",
            "_counters",
            "_by_node_key",
            "_by_machine",
            "_by_name",
            "_by_address",
            "_key_by_prefix",
        )
    }
    records = directory.wireguard
    found |= {name: dict(getattr(records, name)) for name in ("_records", "_by_key", "_by_name")}
    found["wireguard addresses"] = dict(records._by_address)
    found["_nodes"] = {key: durable(node) for key, node in directory._nodes.items()}
    found["policy"] = directory.policy
    return found


def require_unique(directory: Directory) -> None:
    """No name, address or key twice, whoever gave them."""
    nodes = list(directory._nodes.values())
    for part in ("given_name", "ipv4", "ipv6", "node_key"):
        values = [getattr(node, part) for node in nodes]
        assert len(set(values)) == len(values), f"{part} twice"
    living = [each for each in directory.wireguard.peers() if isinstance(each, Peer) and each.live]
    for values in ([e.name for e in living], [k.public_key for e in living for k in e.keys]):
        assert len(set(values)) == len(values), "of plain WireGuard, twice"


def _random_bytes(size: int) -> bytes:
    return next(_numbers).to_bytes(3, "big") * (size // 3) + bytes(size % 3)


assert set(VOLATILE_FIELDS) == {
    "hostinfo",
    "endpoints",
    "home_derp",
    "cap_version",
    "last_seen",
    "online",
    "disco_key",
}
