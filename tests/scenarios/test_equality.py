"""Whatever happened, what a session was told adds up to what a fresh full map would say.

A seeded model: random joins, departures, renames, key rotations, expiries, endpoint and presence changes,
policy edits and slow readers. After every step each client's accumulated state is compared with a fresh map,
and no client may ever have seen a key that it was not allowed at that time.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from msgspec.structs import replace as replace_struct

from acl import parse_policy
from coordinator.netmap.builder import full_map
from coordinator.netmap.delta import SessionLostError, next_message
from coordinator.netmap.session import SessionState
from coordinator.services.publisher import Publisher
from coordinator.tailcfg.derp_map import DERPMap
from coordinator.tailcfg.dns_config import DNSRecord
from coordinator.tailcfg.framing import frame
from coordinator.tailnet.bits import indices
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.state import ChangeSet, TailnetState
from tests.support.builders import NOW, disco_key, machine_key, make_node, make_user, node_key
from tests.support.tailnets import ClientModel, decode_message, make_world

POLICIES = [
    '{"acls":[{"action":"accept","src":["*"],"dst":["*:*"]}]}',
    '{"acls":[]}',
    """{"groups":{"group:a":["user1@","user2@"]},"tagOwners":{"tag:x":["group:a"],"tag:y":["group:a"]},
       "acls":[{"action":"accept","src":["group:a"],"dst":["tag:x:22,80"]},
               {"action":"accept","src":["tag:x"],"dst":["tag:y:*"]}]}""",
    """{"tagOwners":{"tag:x":["user1@"],"tag:y":["user1@"]},
       "acls":[{"action":"accept","src":["autogroup:member"],"dst":["autogroup:self:*"]},
               {"action":"accept","src":["user3@"],"dst":["autogroup:tagged:443"]}],
       "ssh":[{"action":"accept","src":["autogroup:member"],"dst":["autogroup:self"],"users":["root"]}]}""",
    """{"hosts":{"net":"10.1.0.0/16"},"acls":[{"action":"accept","src":["user1@"],"dst":["net:*"]},
               {"action":"accept","src":["100.64.0.3"],"dst":["user2@:443"]}]}""",
    """{"acls":[{"action":"accept","src":["*"],"dst":["autogroup:member:80"]},
               {"action":"accept","src":["autogroup:admin"],"dst":["*:*"]}],
       "nodeAttrs":[{"target":["autogroup:admin"],"attr":["disable-ipv4"]}]}""",
]


class Client:
    """One open stream: the server's idea of it and the client's own."""

    def __init__(self, state: SessionState, first: dict[str, Any]) -> None:
        self.state = state
        self.model = ClientModel()
        self.model.apply(first)


class World:
    """Drives a Publisher by random steps."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        users = {user.id: user for user in (make_user(number) for number in (1, 2, 3))}
        self.world = make_world(TailnetState(users=users), parse_policy(POLICIES[0]))
        self.publisher = Publisher(self.world, associated_domains=(), auto_updates=False)
        self.publisher.apply(ChangeSet(put_users=dict(users)))
        self.clients: dict[int, Client] = {}
        self.next_id = 0
        self.now = NOW

    def nodes(self) -> list[Node]:
        return self.world.snapshot.nodes()

    def pick(self) -> Node | None:
        nodes = self.nodes()
        return self.random.choice(nodes) if nodes else None

    # steps

    def join(self) -> int:
        self.next_id += 1
        number = self.next_id
        tags = self.random.choice([(), (), ("tag:x",), ("tag:y",), ("tag:x", "tag:y")])
        routes = self.random.choice([(), (), (), ("10.1.0.0/16",), ("0.0.0.0/0", "::/0")])
        node = make_node(
            number,
            ipv4=IPv4Address("100.64.0.0") + number,
            ipv6=IPv6Address("fd7a:115c:a1e0::") + number,
            user_id=None if tags else self.random.choice([1, 2, 3]),
            tags=tags,
            approved_routes=routes,
            disco_key=self.random.choice([None, disco_key(number)]),
        )
        return self.publisher.apply(ChangeSet(put_nodes={node.id: node}))

    def leave(self) -> int:
        node = self.pick()
        return self.publisher.apply(ChangeSet(delete_nodes={node.id})) if node else 0

    def volatile(self) -> int:
        node = self.pick()
        if node is None:
            return 0
        choice = self.random.randrange(5)
        if choice == 0:
            node = replace(node, endpoints=tuple(f"192.0.2.{n}:1" for n in range(self.random.randrange(3))))
        elif choice == 1:
            node = replace(node, home_derp=self.random.choice([0, 900, 901]))
        elif choice == 2:
            node = replace(node, online=not node.online, last_seen=self.now)
        elif choice == 3:
            routes = self.random.choice([[], ["10.1.0.0/16"], ["0.0.0.0/0", "::/0"]])
            system = self.random.choice(["linux", "windows"])
            node = replace(node, hostinfo={**node.hostinfo, "OS": system, "RoutableIPs": routes})
        else:
            node = replace(node, disco_key=disco_key(self.random.randrange(1000, 2000)))
        return self.publisher.update([node])

    def durable(self) -> int:
        node = self.pick()
        if node is None:
            return 0
        choice = self.random.randrange(7)
        if choice == 0:
            node = replace(node, given_name=f"name{self.random.randrange(10_000)}")
        elif choice == 1:
            node = replace(node, node_key=node_key(self.random.randrange(10_000, 1 << 60)), expiry=None)
        elif choice == 2:
            node = replace(node, tags=("tag:y",), user_id=None)
        elif choice == 3:
            routes = self.random.choice([(), ("10.1.0.0/16",)])
            hostinfo = {**node.hostinfo, "RoutableIPs": list(routes)}
            node = replace(node, approved_routes=routes, hostinfo=hostinfo)
        elif choice == 4:
            node = replace(node, tags=(), user_id=self.random.choice([1, 2, 3]))
        elif choice == 5:
            node = replace(node, ipv4=IPv4Address("100.65.0.0") + self.random.randrange(1 << 16))
        else:
            node = replace(node, expiry=self.random.choice([None, self.now + timedelta(hours=1)]))
        return self.publisher.apply(ChangeSet(put_nodes={node.id: node}))

    def expire(self) -> int:
        node = self.pick()
        if node is None:
            return 0
        affected = self.publisher.apply(ChangeSet(put_nodes={node.id: replace(node, expiry=self.now)}))
        return affected | self.publisher.expire([node.id])

    def swap(self) -> int:
        """One leaves and another takes its index in the same batch."""
        node = self.pick()
        if node is None:
            return 0
        self.next_id += 1
        new = make_node(self.next_id, machine_key=machine_key(self.next_id))
        return self.publisher.apply(ChangeSet(delete_nodes={node.id}, put_nodes={new.id: new}))

    def change_user(self) -> int:
        user = self.world.snapshot.users[self.random.choice(sorted(self.world.snapshot.users))]
        changed = replace(user, display_name=f"d{self.random.randrange(1000)}")
        if self.random.random() < 0.6:
            changed = replace(changed, role=self.random.choice(["admin", "member"]))
        return self.publisher.apply(ChangeSet(put_users={user.id: changed}))

    def edit_policy(self) -> int:
        return self.publisher.replace_policy(parse_policy(self.random.choice(POLICIES)))

    def configure(self) -> int:
        """Other relays, other DNS, or both."""
        config = self.publisher.configured
        if self.random.random() < 0.6:
            (name,) = config.derp_map.regions
            region = replace_struct(config.derp_map.regions[name], region_name=f"r{self.random.random()}")
            relays = DERPMap(regions={name: region})
            config = replace(config, derp_map=relays, derp_map_unpinned=relays)
        if self.random.random() < 0.6:
            record = DNSRecord(name=f"n{self.random.randrange(9)}", type="A", value="192.0.2.1")
            config = replace(config, dns=replace_struct(config.dns, extra_records=(record,)))
        return self.publisher.configure(config)

    # checking

    def step(self) -> None:
        move = self.random.choices(
            [
                self.join,
                self.leave,
                self.volatile,
                self.durable,
                self.expire,
                self.swap,
                self.change_user,
                self.edit_policy,
                self.configure,
            ],
            weights=[5, 2, 8, 4, 1, 1, 2, 1, 1],
        )[0]
        affected = move()
        for index in indices(affected):
            # Some readers are slow: they skip this step and catch up at a later one.
            if self.random.random() < 0.7:
                self.tell(index)
            elif index in self.clients:
                self.clients[index].model.late = True  # type: ignore[attr-defined]
        if self.random.random() < 0.5:
            self.connect()

    def connect(self) -> None:
        node = self.pick()
        if node is None:
            return
        index = self.world.snapshot.index_of[node.id]
        frames, state = full_map(self.world, self.world.snapshot.records[index], pinning=True, now=self.now)
        self.clients[index] = Client(state, decode_message(frame(frames)))

    def tell(self, index: int) -> None:
        client = self.clients.get(index)
        if client is None:
            return
        try:
            message, client.state = next_message(self.world, client.state)
        except SessionLostError:
            del self.clients[index]
            return
        client.model.late = False  # type: ignore[attr-defined]
        if message is not None:
            client.model.apply(decode_message(message))

    def check(self) -> None:
        for index, client in list(self.clients.items()):
            record = self.world.snapshot.records.get(index)
            if record is None or record.node.id != client.state.node_id:
                self.tell(index)
                assert index not in self.clients, "a session outlived its node"
                continue
            if getattr(client.model, "late", False):
                continue
            frames, _ = full_map(self.world, record, pinning=True, now=self.now)
            fresh = ClientModel()
            fresh.apply(decode_message(frame(frames)))
            assert client.model.view() == fresh.view()

    def catch_up(self) -> None:
        for index in list(self.clients):
            self.tell(index)


@pytest.mark.parametrize("seed", range(12))
def test_differences_add_up_to_the_full_map(seed: int) -> None:
    world = World(seed)
    for number in range(250):
        world.step()
        try:
            world.check()
            if number % 20 == 19:
                world.catch_up()
                world.check()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, step {number}: {error}") from error
    assert world.clients


@pytest.mark.parametrize("seed", range(4))
def test_no_client_ever_learns_a_key_it_may_not_have(seed: int) -> None:
    """The keys in the messages of a step are those of peers visible at that step, nothing else."""
    world = World(seed + 1000)
    for _ in range(150):
        world.step()
        for index, client in list(world.clients.items()):
            record = world.world.snapshot.records.get(index)
            if record is None or getattr(client.model, "late", False):
                continue
            if record.node.id != client.state.node_id:
                continue
            visible = world.world.visible(record)
            allowed = {world.world.snapshot.records[peer].node.node_key for peer in indices(visible)}
            assert {peer["Key"] for peer in client.model.peers.values()} <= allowed


def test_the_node_itself_is_never_among_its_peers() -> None:
    world = World(5)
    for _ in range(60):
        world.step()
    for client in world.clients.values():
        assert NodeID(client.state.node_id) not in client.model.peers
