"""The device's file: narrow, complete but for the private key, and readable by wg-quick and by a phone."""

from __future__ import annotations

from configparser import ConfigParser
from dataclasses import replace

import pytest

from coordinator.wireguard.device_config import TooLongForQRError, device_config, qr_svg, qr_text, wg_quick
from tests.support.wireguard_records import make_gateway, make_peer, public_key

ROUTES = ("10.1.2.3/32", "fd77::/16")


def test_the_file() -> None:
    gateway = make_gateway(dns=("10.1.2.53",), host="2001:db8::7")
    peer = make_peer()
    peer = replace(peer, keys=(replace(peer.keys[0], preshared_key="PSK="),))
    text = wg_quick(device_config(peer, gateway, ROUTES))
    parsed = ConfigParser()
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(text)
    assert dict(parsed["Interface"]) == {
        "Address": "10.90.0.10/32, fd00:90::a/128",
        "DNS": "10.1.2.53",
        "MTU": "1420",
    }
    assert dict(parsed["Peer"]) == {
        "PublicKey": public_key("gateway 1"),
        "PresharedKey": "PSK=",
        "Endpoint": "[2001:db8::7]:51820",
        "AllowedIPs": "10.1.2.3/32, fd77::/16",
        "PersistentKeepalive": "25",
    }
    assert "# PrivateKey" in text


def test_what_is_not_wanted_is_left_out() -> None:
    text = wg_quick(device_config(make_peer(keepalive=0), make_gateway(), ROUTES))
    for absent in ("DNS", "PresharedKey", "PersistentKeepalive", "0.0.0.0/0"):
        assert absent not in text
    assert "Endpoint = vpn.example.com:51820" in text


def test_routes_of_a_family_the_device_lacks_are_left_out() -> None:
    config = device_config(make_peer(addresses=("10.90.0.9",)), make_gateway(), ROUTES)
    assert config.allowed_ips == ("10.1.2.3/32",)


def test_without_routes_only_the_gateway_is_behind_the_tunnel() -> None:
    assert device_config(make_peer(), make_gateway(), ()).allowed_ips == ("10.90.0.1/32", "fd00:90::1/128")


def test_codes() -> None:
    text = wg_quick(device_config(make_peer(), make_gateway(), ROUTES))
    drawn = qr_text(text)
    assert len(drawn.splitlines()) > 20
    assert qr_svg(text).startswith("<svg")


def test_more_than_a_code_holds() -> None:
    assert qr_svg("x" * 2953)
    for draw in (qr_svg, qr_text):
        with pytest.raises(TooLongForQRError, match="2954 bytes are too many"):
            draw("x" * 2954)
