"""Whatever happens to machines, keys and users, in whatever order: the tailnet stays consistent.

A state machine drives the real services on a real SQLite file: joins, logins as another user, rotation,
logout, expiry, deletion, suspension, moves, tags, addresses, restarts. Machines behave as stock clients do (a
NodeKey that has expired is replaced by a new one, the machine key stays). After every step invariants hold
and each connected client's accumulated map says what the directory says.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from acl import parse_policy
from coordinator.netmap.builder import full_map
from coordinator.netmap.delta import SessionLostError, next_message
from coordinator.netmap.session import SessionState
from coordinator.services.login import PendingLogins
from coordinator.services.nodes import NodeService
from coordinator.services.ownership import OwnershipService
from coordinator.services.preauth_keys import PreAuthKeyService
from coordinator.services.registration import RegistrationService, RegistrationSettings
from coordinator.services.tailnet import Tailnet
from coordinator.services.users import UserService
from coordinator.store.engine import sqlite_url
from coordinator.store.store import Store
from coordinator.tailcfg.codec import go_time
from coordinator.tailcfg.framing import frame
from coordinator.tailcfg.keys import NodeKey
from coordinator.tailcfg.register import RegisterAuth, RegisterRequest, RegisterResponse
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from coordinator.tailnet.nodes import Node, NodeID
from coordinator.tailnet.snapshot import NodeRecord, shown_user
from coordinator.tailnet.users import UserID
from tests.support.builders import FakeClock, disco_key, machine_key, node_key
from tests.support.tailnets import PREFIXES, ClientModel, decode_message, make_world

ACTOR = Actor(kind="socket", name="test")
POLICY = """{"tagOwners": {"tag:a": ["autogroup:member"], "tag:b": []},
  "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}"""
LOGOUT = "1970-01-01T00:02:03Z"
REFUSALS = (ConflictError, ForbiddenError, InvalidError, NotFoundError)

machines = st.integers(1, 3)
users = st.integers(1, 3)
nodes = st.integers(0, 4)
keys = st.integers(0, 3)


@dataclass
class Machine:
    """What one client knows, its present NodeKey; and all it ever had."""

    number: int
    node_key: NodeKey | None = None
    used: set[NodeKey] = field(default_factory=set)


@dataclass
class Client:
    """An open map stream: what the server remembers of it, and what the client made of it."""

    state: SessionState
    model: ClientModel
    node_key: NodeKey


@cache
def migrated_database() -> Path:
    """An empty database with the newest schema, made once."""
    path = Path(tempfile.mkdtemp(prefix="lifecycle-")) / "empty.sqlite"

    async def make() -> None:
        await (await Store.open(sqlite_url(path))).close()

    asyncio.run(make())
    return path


class Lifecycle(RuleBasedStateMachine):
    """The rules are the verbs of administrators and the habits of clients."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory(prefix="lifecycle-")
        self.database = Path(self.folder.name) / "db.sqlite"
        shutil.copyfile(migrated_database(), self.database)
        self.clock = FakeClock()
        self.machines = {number: Machine(number) for number in range(1, 4)}
        self.clients: dict[NodeID, Client] = {}
        self.secrets: list[str] = []
        self.next_number = 100
        self.run(self._start())

    def run(self, work: Awaitable[Any]) -> Any:
        async def awaited() -> Any:
            return await work

        return self.runner.run(awaited())

    def teardown(self) -> None:
        self.run(self._stop())
        self.runner.close()
        self.folder.cleanup()

    # ---- the server ---------------------------------------------------------------------------------

    async def _start(self) -> None:
        self.store = await Store.open(sqlite_url(self.database))
        state = await self.store.load()
        world = make_world(state, parse_policy(POLICY))
        self.tailnet = tailnet = Tailnet(self.store, state, world, self.clock)
        logins = PendingLogins("http://server", self.clock, lambda size: f"{self.fresh():0{2 * size}x}")
        joining = RegistrationSettings(prefixes=PREFIXES, key_lifetime=timedelta(days=90))
        self.registration = RegistrationService(tailnet, logins, joining, lambda size: 0)
        self.users, self.nodes = UserService(tailnet), NodeService(tailnet)
        self.ownership = OwnershipService(tailnet, joining)
        self.keys = PreAuthKeyService(tailnet, lambda size: self.fresh().to_bytes(size, "little"))
        tailnet.start()

    async def _stop(self) -> None:
        await self.tailnet.close()
        durable = (await self.store.load()).nodes
        assert {each.id: owned(each) for each in durable.values()} == {
            each.id: owned(each) for each in self.tailnet.snapshot.nodes()
        }
        await self.store.close()

    def fresh(self) -> int:
        self.next_number += 1
        return self.next_number

    def attempt(self, verb: Callable[[], Awaitable[Any]]) -> Any:
        """Do something that may be refused; a refusal leaves everything as it was."""
        before = self.everything()
        try:
            return self.run(verb())
        except REFUSALS as error:
            assert "the database refused" not in error.message, "rules find mistakes before the database does"
            assert self.everything() == before, "a refusal changed something"
            return None

    def everything(self) -> object:
        snapshot = self.tailnet.snapshot
        return snapshot.nodes(), dict(snapshot.users), dict(snapshot.preauth_keys)

    def pick(self, number: int) -> int:
        """One of the nodes, or the id of none."""
        present = self.tailnet.snapshot.nodes()
        return present[number % len(present)].id if present else 999

    def person(self, number: int) -> UserID:
        """One of the users, or the id of none."""
        present = sorted(self.tailnet.snapshot.users)
        return present[number - 1] if number <= len(present) else UserID(999)

    # ---- what clients do ----------------------------------------------------------------------------

    async def _register(self, machine: Machine, **fields: Any) -> RegisterResponse:
        assert machine.node_key is not None
        machine.used.add(machine.node_key)
        request = RegisterRequest(
            version=142,
            node_key=machine.node_key,
            hostinfo={"Hostname": f"host{machine.number % 3}"},
            **fields,
        )
        return await self.registration.register(machine_key(machine.number), request)

    async def _come(self, machine: Machine, secret: str | None) -> RegisterResponse:
        """As a client: a key that has expired is replaced once, and the same is asked again."""
        auth = RegisterAuth(auth_key=secret) if secret else None
        machine.node_key = machine.node_key or node_key(self.fresh())
        response = await self._register(machine, auth=auth)
        if response.node_key_expired:
            old, machine.node_key = machine.node_key, node_key(self.fresh())
            response = await self._register(machine, auth=auth, old_node_key=old)
            assert not response.node_key_expired
        if response.machine_authorized:
            self._connect(machine)
        return response

    def _connect(self, machine: Machine) -> None:
        assert machine.node_key is not None
        record = self.tailnet.snapshot.record_by_key(machine.node_key)
        assert record is not None, "an admitted machine has no node"
        current = self.tailnet.update_volatile(
            record.node.id, online=True, disco_key=disco_key(machine.number)
        )
        assert current is not None
        frames, state = full_map(self.tailnet.world, current, pinning=True, now=self.clock())
        model = ClientModel()
        model.apply(decode_message(frame(frames)))
        self.clients[current.node.id] = Client(state, model, machine.node_key)

    @rule(number=machines, key=keys)
    def join_with_a_key(self, number: int, key: int) -> None:
        if self.secrets:
            secret = self.secrets[key % len(self.secrets)]
            self.run(self._come(self.machines[number], secret))

    @rule(number=machines)
    def restart_the_client(self, number: int) -> None:
        self.run(self._come(self.machines[number], None))

    @rule(number=machines, user=users)
    def log_in_by_a_person(self, number: int, user: int) -> None:
        machine = self.machines[number]
        response = self.run(self._come(machine, None))
        if not response.auth_url:
            return
        login, owner = response.auth_url.rpartition("/")[2], self.person(user)
        node = self.attempt(lambda: self.registration.approve(login, owner, actor=ACTOR))
        if node is not None:
            assert (node.user_id, node.tags) == (owner, ())
            assert self.run(self._come(machine, None)).machine_authorized

    @rule(number=machines, key=keys)
    def rotate(self, number: int, key: int) -> None:
        machine = self.machines[number]
        if machine.node_key is None or not self.secrets:
            return
        old, machine.node_key = machine.node_key, node_key(self.fresh())
        auth = RegisterAuth(auth_key=self.secrets[key % len(self.secrets)])
        if self.run(self._register(machine, auth=auth, old_node_key=old)).machine_authorized:
            self._connect(machine)
        else:
            machine.node_key = old

    @rule(number=machines)
    def log_out(self, number: int) -> None:
        machine = self.machines[number]
        if machine.node_key is not None:
            self.run(self._register(machine, expiry=LOGOUT))
            machine.node_key = None

    @rule(number=machines, hours=st.integers(1, 5000))
    def ask_for_an_earlier_expiry(self, number: int, hours: int) -> None:
        machine = self.machines[number]
        if machine.node_key is not None:
            wish = go_time(self.clock() + timedelta(hours=hours))
            response = self.run(self._register(machine, expiry=wish))
            record = self.tailnet.snapshot.record_by_key(machine.node_key)
            if response.machine_authorized and record is not None:
                assert record.node.expiry is not None

    @rule(thief=machines, victim=machines, key=keys, wish=st.sampled_from(["", LOGOUT]))
    def use_the_key_of_another_machine(self, thief: int, victim: int, key: int, wish: str) -> None:
        stolen = self.machines[victim].node_key
        if thief == victim or stolen is None or self.tailnet.snapshot.record_by_key(stolen) is None:
            return
        before = self.everything()
        secret = self.secrets[key % len(self.secrets)] if self.secrets else ""
        request = RegisterRequest(
            version=142, node_key=stolen, expiry=wish, auth=RegisterAuth(auth_key=secret)
        )
        response = self.run(self.registration.register(machine_key(thief), request))
        assert not response.machine_authorized
        assert self.everything() == before

    # ---- what administrators do ---------------------------------------------------------------------

    @initialize()
    def first_people(self) -> None:
        for user in (1, 2):
            self.run(self.users.create(f"user{user}", actor=ACTOR))
            self.create_key(user, tagged=False, reusable=True, ephemeral=False)
        # Two machines, one of them with a node for each user.
        for number, key in ((1, 0), (2, 0), (2, 1)):
            self.log_out(number)
            self.join_with_a_key(number, key)

    @precondition(lambda self: len(self.tailnet.snapshot.users) < 3)
    @rule()
    def create_user(self) -> None:
        self.run(self.users.create(f"user{self.fresh()}", actor=ACTOR))

    @rule(user=users, tagged=st.booleans(), reusable=st.booleans(), ephemeral=st.booleans())
    def create_key(self, user: int, tagged: bool, reusable: bool, ephemeral: bool) -> None:
        made = self.attempt(
            lambda: self.keys.create(
                user_id=self.person(user),
                tags=["tag:a"] if tagged else [],
                reusable=reusable,
                ephemeral=ephemeral,
                expiration=self.clock() + timedelta(days=30),
                actor=ACTOR,
            )
        )
        if made is not None:
            self.secrets.append(made[1])

    @rule(user=users)
    def suspend(self, user: int) -> None:
        self.attempt(lambda: self.users.suspend(self.person(user), actor=ACTOR))

    @rule(user=users)
    def restore(self, user: int) -> None:
        self.attempt(lambda: self.users.restore(self.person(user), actor=ACTOR))

    @rule(user=users, with_nodes=st.booleans())
    def delete_user(self, user: int, with_nodes: bool) -> None:
        self.attempt(lambda: self.users.delete(self.person(user), with_nodes=with_nodes, actor=ACTOR))

    @rule(number=nodes, user=users)
    def move(self, number: int, user: int) -> None:
        node_id, owner = self.pick(number), self.person(user)
        moved = self.attempt(lambda: self.ownership.move(node_id, owner, actor=ACTOR))
        assert moved is None or moved.user_id == owner

    @rule(number=nodes, tags=st.sampled_from([["tag:a"], ["tag:a", "tag:b"], ["tag:unknown"]]))
    def tag(self, number: int, tags: list[str]) -> None:
        self.attempt(lambda: self.nodes.set_tags(self.pick(number), tags, actor=ACTOR))

    @rule(number=nodes, user=users)
    def untag(self, number: int, user: int) -> None:
        self.attempt(lambda: self.ownership.untag(self.pick(number), self.person(user), actor=ACTOR))

    @rule(number=nodes, last=st.integers(0, 12), other=st.integers(0, 12))
    def set_addresses(self, number: int, last: int, other: int) -> None:
        texts = [f"100.64.0.{last}", f"fd7a:115c:a1e0::{other:x}"][: 1 + other % 2]
        self.attempt(lambda: self.ownership.set_addresses(self.pick(number), texts, actor=ACTOR))

    @rule(number=nodes, name=st.sampled_from(["web", "host1", "db", "no label"]))
    def rename(self, number: int, name: str) -> None:
        self.attempt(lambda: self.nodes.rename(self.pick(number), name, actor=ACTOR))

    @rule(number=nodes)
    def delete_node(self, number: int) -> None:
        self.attempt(lambda: self.nodes.delete(self.pick(number), actor=ACTOR))

    @rule(number=nodes, disable=st.booleans())
    def expire(self, number: int, disable: bool) -> None:
        self.attempt(lambda: self.nodes.expire(self.pick(number), disable=disable, actor=ACTOR))

    @rule(number=nodes)
    def extend(self, number: int) -> None:
        self.attempt(lambda: self.nodes.extend(self.pick(number), timedelta(days=30), actor=ACTOR))

    @rule(days=st.integers(1, 40))
    def time_passes(self, days: int) -> None:
        self.clock.forward(days=days)

        async def look() -> None:
            self.tailnet.expire_due()

        self.run(look())

    @rule()
    def restart_the_server(self) -> None:
        self.run(self._stop())
        self.clients.clear()
        self.run(self._start())

        async def look() -> None:
            self.tailnet.expire_due()

        self.run(look())

    # ---- what always holds --------------------------------------------------------------------------

    @invariant()
    def each_node_has_one_owner_who_is_there(self) -> None:
        snapshot = self.tailnet.snapshot
        for node in snapshot.nodes():
            assert (node.user_id is None) == bool(node.tags), node
            assert node.user_id is None or node.user_id in snapshot.users, node
        for key in snapshot.preauth_keys.values():
            assert key.user_id in snapshot.users

    @invariant()
    def a_machine_is_one_node_for_each_owner(self) -> None:
        pairs = [(node.machine_key, node.user_id) for node in self.tailnet.snapshot.nodes()]
        assert len(pairs) == len(set(pairs)), pairs

    @invariant()
    def keys_names_and_addresses_are_unique(self) -> None:
        present = self.tailnet.snapshot.nodes()
        for values in (
            [node.node_key for node in present],
            [node.given_name for node in present],
            [address for node in present for address in node.addresses],
        ):
            assert len(values) == len(set(values)), values
        assert all(node.ipv4 is not None and node.ipv6 is not None for node in present)

    @invariant()
    def a_key_belongs_to_the_machine_that_made_it(self) -> None:
        owner = {key: machine.number for machine in self.machines.values() for key in machine.used}
        for node in self.tailnet.snapshot.nodes():
            assert node.machine_key == machine_key(owner[node.node_key]), node

    @invariant()
    def nodes_of_suspended_users_are_expired(self) -> None:
        snapshot = self.tailnet.snapshot
        for record in snapshot.records.values():
            if record.node.user_id is not None and snapshot.users[record.node.user_id].suspended:
                assert record.expired, record

    @invariant()
    def clients_see_what_the_directory_says(self) -> None:
        snapshot = self.tailnet.snapshot
        for node_id, client in list(self.clients.items()):
            record = snapshot.record(node_id)
            if record is None or record.node.node_key != client.node_key or not self._told(client):
                del self.clients[node_id]
                continue
            assert client.model.self_node is not None
            assert shown(client.model.self_node) == expected(record)
            others = [
                each
                for each in snapshot.records.values()
                if each.announced and each.node.id != node_id and not record.expired
            ]
            assert {peer_id: shown(peer) for peer_id, peer in client.model.peers.items()} == {
                each.node.id: expected(each) for each in others
            }

    def _told(self, client: Client) -> bool:
        try:
            message, client.state = next_message(self.tailnet.world, client.state)
        except SessionLostError:
            return False
        if message is not None:
            client.model.apply(decode_message(message))
        return True


def owned(node: Node) -> object:
    """What must survive a restart."""
    return (
        node.machine_key,
        node.node_key,
        node.user_id,
        node.tags,
        node.given_name,
        node.addresses,
        node.expiry,
        node.ephemeral,
    )


def expected(record: NodeRecord) -> object:
    """What clients have to be told of a node."""
    node = record.node
    return (
        node.node_key,
        f"{node.given_name}.tail.lab.",
        shown_user(node),
        list(node.tags),
        [f"{address}/{address.max_prefixlen}" for address in node.addresses],
        None if node.expiry is None else go_time(node.expiry),
        record.expired,
    )


def shown(document: dict[str, Any]) -> object:
    """The same, of a node as a client has it."""
    return (
        document["Key"],
        document["Name"],
        document["User"],
        document.get("Tags", []),
        document["Addresses"],
        document.get("KeyExpiry"),
        document.get("Expired", False),
    )


TestLifecycle = Lifecycle.TestCase
TestLifecycle.settings = settings(
    max_examples=70,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
