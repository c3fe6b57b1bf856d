"""Views hold no secret."""

from __future__ import annotations

from dataclasses import replace

from coordinator.services.wireguard_knocks import Knocking
from coordinator.services.wireguard_observation import GatewayState
from coordinator.web.api.wireguard_views import config_view, gateway_view, peer_view, seen_view, token_view
from coordinator.wireguard.device_config import device_config
from coordinator.wireguard.model import EnrolmentToken
from tests.support.wireguard_records import NOW, make_gateway, make_peer


def test_secrets_stay_inside() -> None:
    peer = make_peer()
    peer = replace(peer, keys=(replace(peer.keys[0], preshared_key="SECRET", preshared_since=NOW),))
    view = peer_view(peer, "active", "gw1", "", None, None)
    assert "SECRET" not in str(view)
    assert view["keys"][0]["preshared_since"]
    assert (view["connected"], view["last_handshake"], view["closes_at"]) == (False, None, None)
    assert seen_view(None)["endpoint"] == ""
    assert view["knocking"] is None
    # Whoever may have the configuration has all of it.
    config = config_view(device_config(peer, make_gateway(), ()))
    assert config["preshared_key"] == "SECRET"
    assert "PresharedKey = SECRET" in config["wg_quick"]


def test_gateways_and_tokens() -> None:
    state = GatewayState(version="v")
    assert gateway_view(make_gateway(), state, "v", 3)["in_step"] is True
    assert gateway_view(make_gateway(), state, "w", 3)["in_step"] is False
    assert gateway_view(make_gateway(), GatewayState(), "", 3)["in_step"] is False
    token = EnrolmentToken(
        id=3, prefix="a" * 12, hash=b"HASH", created_at=NOW, created_by="x", expires_at=NOW
    )
    view = token_view(token, "expired", "ada")
    assert view["token"] == "wgenrol-aaaaaaaaaaaa-***"
    assert "HASH" not in str(view)


def test_who_knocks() -> None:
    episode = Knocking(gateway_id=1, since=NOW, last=NOW, endpoint="192.0.2.1:4", count=3)
    view = peer_view(make_peer(), "waiting", "gw1", "", None, None, episode)["knocking"]
    assert view == {"since": view["last"], "last": view["last"], "endpoint": "192.0.2.1:4", "count": 3}
