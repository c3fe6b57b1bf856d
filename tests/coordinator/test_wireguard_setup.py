"""Plain WireGuard put together, as settings say, on a store that holds it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from coordinator.assembly import ServerKeys, Services, open_store, start_services
from coordinator.services.wireguard_gateways import GatewayWanted, pools_from
from coordinator.services.wireguard_peer_records import PeerWanted, WireGuardCaller
from coordinator.settings.load import load_settings
from coordinator.tailnet.actors import Actor
from coordinator.wireguard.wire import Report, SeenPeer
from tests.support.wireguard_records import public_key

ACTOR = Actor(kind="socket", name="test")


async def services(directory: Path, stack: AsyncExitStack) -> Services:
    config = directory / "config.yaml"
    config.write_text(
        "server_url: http://127.0.0.1:8080\nderp: {server: {enabled: true}}\n"
        "dns: {base_domain: tail.lab, override_local_dns: false}\n"
        "wireguard: {address_rest: 0, peers_per_user: 3}\n"
    )
    settings, _ = load_settings(config, {})
    store = await open_store(settings.database, stack, bytes(32))
    return await start_services(settings, stack, store, ServerKeys(noise="", relay_certificate=None))


async def test_everything_is_stored_and_found_again(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        wireguard = (await services(tmp_path, stack)).wireguard
        wanted = GatewayWanted(name="gw", host="h", pools=pools_from({"": ["10.90.0.0/30"]}))
        gateway, token = await wireguard.gateways.create(wanted, actor=ACTOR)
        await wireguard.gateways.reported(gateway, {"key-1": public_key("g")}, actor=ACTOR)
        caller = WireGuardCaller(actor=ACTOR, admin=True)
        lab = PeerWanted(public_key=public_key(1), service="lab", standing=True, reason="r")
        peer, _ = await wireguard.peers.provision(lab, caller)
        now = wireguard.clock()
        seen = SeenPeer(public_key=public_key(1), interface="wgcoord0", endpoint="e", latest_handshake=now)
        report = Report(version="", now=now, public_keys={}, peers=(seen,))
        await wireguard.observation.take(wireguard.book.gateways[1], report, actor=ACTOR)
    async with AsyncExitStack() as stack:
        again = (await services(tmp_path, stack)).wireguard
        assert again.book.peers == wireguard.book.peers
        assert again.gateways.authenticate(token) == again.book.gateways[1]
        found = again.observation.of_peer(peer)
        assert found is not None
        assert (found.endpoint, found.latest_handshake) == ("e", now)
        # Addresses do not rest here, so that the only one can be given again.
        await again.peers.revoke(peer.id, caller)
        second, _ = await again.peers.provision(lab, caller)
        assert second.addresses == peer.addresses
        assert second.id != peer.id
