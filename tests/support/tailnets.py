"""A whole tailnet in memory: store double, writer, sessions, and a client model that applies MapResponses."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from dataclasses import fields
from ipaddress import ip_network
from typing import Any, Literal

import zstandard

from acl import Policy, PolicyIndex, parse_policy
from coordinator.netmap.config import MapConfig
from coordinator.netmap.derp import EmbeddedRelay, build_derp_map
from coordinator.netmap.dns import DNSSettings, build_dns_config
from coordinator.netmap.fragments import Fragments
from coordinator.netmap.world import World
from coordinator.services.tailnet import Tailnet
from coordinator.tailnet.addresses import Prefixes
from coordinator.tailnet.change_log import ChangeLog
from coordinator.tailnet.errors import InDoubtError, UnavailableError
from coordinator.tailnet.facts import tailnet_facts
from coordinator.tailnet.nodes import Node
from coordinator.tailnet.snapshot import Snapshot
from coordinator.tailnet.state import ChangeSet, Missed, TailnetState
from tests.support.builders import FakeClock

PREFIXES = Prefixes(v4=ip_network("100.64.0.0/10"), v6=ip_network("fd7a:115c:a1e0::/48"))  # type: ignore[arg-type]
RELAY = EmbeddedRelay(
    region_id=900, region_code="lab", region_name="Lab", host="192.0.2.1", port=443, stun_port=3478
)
ALLOW_ALL = '{"acls":[{"action":"accept","src":["*"],"dst":["*:*"]}]}'


def map_config() -> MapConfig:
    derp_map = build_derp_map([RELAY], (), pinning=True)
    dns = build_dns_config(
        DNSSettings(magic_dns=True, base_domain="tail.lab", override_local_dns=False),
        [ip_network("100.64.0.0/24")],
    )
    return MapConfig(base_domain="tail.lab", derp_map=derp_map, derp_map_unpinned=derp_map, dns=dns)


class MemoryStore:
    """Keeps what it is told to keep; can be made to fail."""

    def __init__(self) -> None:
        self.commits: list[ChangeSet] = []
        self.saved: list[Node] = []
        self.broken = False
        self.forgetful = False
        """Whoever missed something is too far behind."""
        self.doubt: Literal["", "landed", "lost"] = ""
        """What becomes of the next commit, whose answer gets lost."""

    async def commit(
        self,
        changes: ChangeSet,
        *,
        after: int | None = None,
        redo: Callable[[Missed], ChangeSet] | None = None,
    ) -> int:
        if self.broken:
            raise UnavailableError("the database is away")
        if after is not None and redo is not None:
            missed = await self.missed(after)
            if missed is not None:
                changes = redo(missed)
        if not changes:
            return len(self.commits)
        doubt, self.doubt = self.doubt, ""
        if doubt != "lost":
            self.commits.append(changes)
        if doubt:
            raise InDoubtError("the connection broke", doubt)
        return len(self.commits)

    async def missed(self, after: int) -> Missed | None:
        if self.broken:
            raise UnavailableError("the database is away")
        if len(self.commits) == after:
            return None
        changes = None if self.forgetful else merged(self.commits[after:])
        return Missed(seq=len(self.commits), changes=changes)

    def load(self) -> TailnetState:
        """Everything that was committed, as a server finds it that starts now."""
        whole = merged(self.commits)
        return TailnetState(
            seq=len(self.commits),
            users=whole.put_users,
            nodes=whole.put_nodes,
            preauth_keys=whole.put_preauth_keys,
            policy=whole.put_policies[-1] if whole.put_policies else None,
            access=whole.put_access,
            api_keys=whole.put_api_keys,
            identities=whole.put_identities,
            wireguard=whole.put_wireguard,
            declared=whole.put_declared,
            counters=whole.counters,
        )

    async def landed(self, mark: str) -> bool:
        if self.broken:
            raise UnavailableError("the database is away")
        return mark == "landed"

    async def save_volatile(self, nodes: list[Node]) -> None:
        if self.broken:
            raise UnavailableError("the database is away")
        self.saved.extend(nodes)


def merged(commits: Iterable[ChangeSet]) -> ChangeSet:
    """Several commits as one, as whoever missed them is told."""
    whole = ChangeSet()
    names = [table.name for table in fields(ChangeSet) if table.name != "audit"]
    # Within one commit deletions come first.
    names.sort(key=lambda name: not name.startswith("delete_"))
    for changes in commits:
        for name in names:
            value, ours = getattr(changes, name), getattr(whole, name)
            if isinstance(value, set):
                ours.update(value)
                for each in value:
                    getattr(whole, name.replace("delete_", "put_")).pop(each, None)
            elif isinstance(value, dict):
                ours.update(value)
                deleted = getattr(whole, name.replace("put_", "delete_"), None)
                if isinstance(deleted, set):
                    deleted.difference_update(value)
            else:
                ours.extend(value)
    return whole


def make_world(state: TailnetState, policy: Policy | None = None) -> World:
    config = map_config()
    facts = tailnet_facts(state.users.values(), domain=config.domain)
    return World(
        snapshot=Snapshot(),
        policy=PolicyIndex(policy, facts),
        log=ChangeLog(),
        fragments=Fragments(config),
    )


def make_tailnet(
    state: TailnetState | None = None,
    *,
    policy: str | None = ALLOW_ALL,
    clock: FakeClock | None = None,
    store: MemoryStore | None = None,
) -> tuple[Tailnet, MemoryStore, FakeClock]:
    """A tailnet that is not started: call `start`/`close` around commands.

    With a store it is one of several instances: it begins with what is stored there, and follows.
    """
    shared = store is not None
    store = store or MemoryStore()
    state = state or (store.load() if shared else TailnetState())
    clock = clock or FakeClock()
    world = make_world(state, parse_policy(policy) if policy else None)
    return Tailnet(store, state, world, clock, shared=shared), store, clock


class FakeStream:
    """A map stream that keeps what it gets, and can be made to refuse."""

    def __init__(self) -> None:
        self.documents: list[dict[str, Any]] = []
        self.on_writable: Callable[[], None] | None = None
        self.on_closed: Callable[[], None] | None = None
        self.closed = False
        self.refusing = False
        self.was_reset = False

    def try_push(self, data: bytes) -> bool:
        if self.refusing or self.closed:
            return False
        self.documents.append(decode_message(data))
        return True

    def reset(self) -> None:
        self.was_reset = True
        self.hang_up()

    def hang_up(self) -> None:
        if not self.closed:
            self.closed = True
            if self.on_closed is not None:
                self.on_closed()


def decode_message(framed: bytes) -> dict[str, Any]:
    """One framed map message as JSON."""
    length = int.from_bytes(framed[:4], "little")
    assert len(framed) == 4 + length
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(framed[4:]), read_across_frames=True)
    document: dict[str, Any] = json.loads(reader.read())
    return document


class ClientModel:
    """What a stock client makes of the messages of one stream, in its own order of application."""

    def __init__(self) -> None:
        self.self_node: dict[str, Any] | None = None
        self.peers: dict[int, dict[str, Any]] = {}
        self.filters: Any = None
        self.ssh: Any = None
        self.relays: Any = None
        self.dns: Any = None
        self.profiles: dict[int, dict[str, Any]] = {}
        self.keys_ever_seen: set[str] = set()

    def apply(self, document: dict[str, Any]) -> None:
        if self.self_node is None:
            assert "Node" in document, "a client drops a stream whose first message has no Node"
            assert document["DERPMap"]["Regions"], "a client without regions loses its relay"
        self.self_node = document.get("Node", self.self_node)
        if document.get("Peers"):
            self.peers = {peer["ID"]: peer for peer in document["Peers"]}
        else:
            for node_id in document.get("PeersRemoved", ()):
                self.peers.pop(node_id, None)
            for peer in document.get("PeersChanged", ()):
                self.peers[peer["ID"]] = peer
            for patch in document.get("PeersChangedPatch", ()):
                assert patch["NodeID"] in self.peers, "a patch for a peer the client does not have"
                self._patch(self.peers[patch["NodeID"]], patch)
        for profile in document.get("UserProfiles", ()):
            self.profiles[profile["ID"]] = profile
        if "PacketFilters" in document:
            self.filters = document["PacketFilters"]["base"]
        if "SSHPolicy" in document:
            self.ssh = document["SSHPolicy"]
        self.relays = document.get("DERPMap", self.relays)
        self.dns = document.get("DNSConfig", self.dns)
        self.keys_ever_seen |= {peer["Key"] for peer in self.peers.values()}
        for peer in self.peers.values():
            assert peer["User"] in self.profiles, "a peer without a profile is an unknown user"

    @staticmethod
    def _patch(peer: dict[str, Any], patch: dict[str, Any]) -> None:
        names = {"DERPRegion": "HomeDERP"}
        for name, value in patch.items():
            if name != "NodeID":
                peer[names.get(name, name)] = value

    def view(self) -> dict[str, Any]:
        """What matters, in a comparable form; facts a patch and a whole node say differently are aligned."""
        peers = {}
        for node_id, peer in self.peers.items():
            peer = {key: value for key, value in peer.items() if key not in ("DERP", "LastSeen")}
            if not peer.get("Endpoints"):
                peer.pop("Endpoints", None)
            peers[node_id] = peer
        used = {peer["User"] for peer in peers.values()} | {(self.self_node or {}).get("User")}
        # What a client itself reported is not told back to it on an open stream.
        own = ("Endpoints", "HomeDERP", "DERP", "Hostinfo", "DiscoKey", "Cap")
        return {
            "self": {key: value for key, value in (self.self_node or {}).items() if key not in own},
            "peers": peers,
            "filters": self.filters,
            "ssh": self.ssh,
            "relays": self.relays,
            "dns": self.dns,
            "profiles": {key: value for key, value in self.profiles.items() if key in used},
        }
