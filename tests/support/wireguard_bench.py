"""Plain WireGuard on a tailnet in memory: a clock to turn, a store to break."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from coordinator.services.access import AccessService
from coordinator.services.inventory import InventoryService
from coordinator.services.policy import PolicyService
from coordinator.services.tailnet import Tailnet
from coordinator.services.wireguard import WireGuard
from coordinator.services.wireguard_book import WireGuardBook
from coordinator.services.wireguard_gateways import GatewayWanted, pools_from
from coordinator.services.wireguard_peer_records import PeerWanted, WireGuardCaller
from coordinator.settings.load import load_settings
from coordinator.tailnet.actors import Actor
from coordinator.tailnet.state import AuditEntry, StoredPolicy, TailnetState
from coordinator.wireguard.model import Gateway, Peer
from coordinator.wireguard_setup import start_wireguard
from tests.support.builders import FakeClock, make_node, make_user
from tests.support.tailnets import MemoryStore, make_tailnet
from tests.support.wireguard_records import public_key

ACTOR = Actor(kind="socket", name="test")
ADMIN = WireGuardCaller(actor=ACTOR, admin=True)
MONDAY = datetime(2026, 6, 1, 10, 0, tzinfo=UTC)
ADA, BOB = make_user(1), make_user(2)
ENV = {
    "HEADSCALE_SERVER_URL": "http://127.0.0.1:1",
    "HEADSCALE_DNS_MAGIC_DNS": "false",
    "HEADSCALE_DNS_OVERRIDE_LOCAL_DNS": "false",
}
PROFILES: dict[str, Any] = {
    "db": {"src": ["user1@"], "dst": ["10.1.2.3:5432"], "proto": "tcp", "maxDuration": "8h"},
    "prod": {
        "src": ["group:ops"],
        "dst": ["10.20.0.0/16:22"],
        "approvers": ["user2@"],
        "reason": "required",
        "maxDuration": "8h",
        "hours": "Mon-Fri 08:00-18:00 UTC",
    },
    "managed": {"src": ["user1@"], "dst": ["10.9.0.0/16:*"], "srcPosture": ["posture:ok"]},
    "tunnel": {"src": ["user1@"], "dst": ["10.9.0.0/16:*"], "proto": "gre"},
}


def policy_text(profiles: dict[str, Any] | None = None) -> str:
    """The policy of the bench, with other profiles."""
    return json.dumps(
        {
            "groups": {"group:ops": ["user1@"]},
            "postures": {"posture:ok": ["custom:ok == true"]},
            "acls": [],
            "access": {"profiles": PROFILES if profiles is None else profiles},
        }
    )


@dataclass
class Bench:
    """What tests need of it."""

    tailnet: Tailnet
    store: MemoryStore
    clock: FakeClock
    policy: PolicyService
    access: AccessService
    wireguard: WireGuard

    async def gateway(self, name: str = "gw", *networks: str, reported: bool = True, **more: Any) -> Gateway:
        """A gateway, with its key reported."""
        pools = pools_from({"": list(networks) or ["10.90.0.0/24", "fd00:90::/64"]})
        wanted = GatewayWanted(**{"name": name, "host": "vpn.example.com", "pools": pools, **more})
        gateway, _ = await self.wireguard.gateways.create(wanted, actor=ACTOR)
        if reported:
            key = public_key(f"{name} key-1")
            await self.wireguard.gateways.reported(gateway, {"key-1": key}, actor=ACTOR)
        return self.wireguard.book.gateways[gateway.id]

    async def peer(self, number: int | str = 1, **more: Any) -> Peer:
        """A standing peer, unless more is said."""
        values = {"service": "lab", "standing": True, "reason": "test"}
        if "profile" in more and "user_id" in more:
            values = {}
        wanted = PeerWanted(public_key=public_key(number), **{**values, **more})
        peer, _ = await self.wireguard.peers.provision(wanted, ADMIN)
        return peer

    def wished(self, gateway_id: int = 1) -> list[str]:
        """The public keys a gateway is to admit now."""
        self.wireguard.wishes.refresh()
        wish = self.wireguard.wishes.current(gateway_id)
        return [] if wish is None else [peer.public_key for peer in wish.peers]

    def audited(self, *prefixes: str) -> list[AuditEntry]:
        """Entries of the audit log whose action begins so."""
        wanted = prefixes or ("wg", "wireguard")
        entries = [entry for commit in self.store.commits for entry in commit.audit]
        return [entry for entry in entries if entry.action.startswith(wanted)]

    def turn(self, **by: float) -> None:
        """Turn the clock."""
        self.clock.forward(**by)


@asynccontextmanager
async def wireguard_bench(state: TailnetState | None = None) -> AsyncIterator[Bench]:
    """Two people, a node, and everything of plain WireGuard, started."""
    clock = FakeClock(MONDAY)
    state = state or TailnetState(
        users={ADA.id: ADA, BOB.id: BOB},
        nodes={make_node(1, user_id=ADA.id).id: make_node(1, user_id=ADA.id)},
    )
    tailnet, store, _ = make_tailnet(state, policy=None, clock=clock)
    stored = StoredPolicy(id=1, text=policy_text(), created_at=MONDAY)

    async def versions(limit: int) -> list[StoredPolicy]:
        return [stored]

    policy = PolicyService(tailnet, path=None, database_mode=True, stored=stored, versions=versions)
    policy.load()
    settings, _ = load_settings(None, ENV)
    async with AsyncExitStack() as stack:
        tailnet.start()
        stack.push_async_callback(tailnet.close)
        access = AccessService(tailnet, policy, state.access.values())
        inventory = InventoryService(tailnet, (), timedelta())
        book = WireGuardBook(tailnet, state.wireguard)
        made = start_wireguard(
            stack, settings, tailnet, policy, access, book, inventory, on_duty=lambda: True
        )
        yield Bench(tailnet, store, clock, policy, access, made)
