"""Capabilities the policy puts on nodes, and address pools."""

from __future__ import annotations

from typing import Any

from tests.acl.tailnets import index, node, policy

DEFAULTS = {
    "default-auto-update",
    "https://tailscale.com/cap/is-owner",
    "https://tailscale.com/cap/is-admin",
}


def caps(number: int, *entries: dict[str, Any], **sections: Any) -> dict[str, Any]:
    idx = index(policy(nodeAttrs=list(entries), **sections), node(1, 1), node(2, 2), node(3, "tag:server"))
    return {name: v for name, v in idx.self_view(number).cap_map.items() if name not in DEFAULTS}


def test_targets_and_unions() -> None:
    entries = (
        {"target": ["tag:server"], "attr": ["a", "b"]},
        {"target": ["autogroup:admin"], "attr": ["c"]},
        {"target": ["100.64.0.3", "*"], "attr": ["b", "x:1?y"]},
        {"target": []},
    )
    assert caps(3, *entries) == {"a": None, "b": None, "x:1?y": None}
    assert caps(1, *entries) == {"c": None, "b": None, "x:1?y": None}
    assert set(caps(2, *entries)) == {"c", "b", "x:1?y"}


def test_funnel_brings_its_companions() -> None:
    assert set(caps(3, {"target": ["*"], "attr": ["funnel"]})) == {
        "funnel",
        "https://tailscale.com/cap/warn-funnel-no-https",
        "https://tailscale.com/cap/funnel-ports?ports=443,8443,10000",
    }


def test_top_level_options() -> None:
    assert caps(1, randomizeClientPort=True, OneCGNATRoute="mac-always", disableIPv4=True) == {
        "disable-ipv4": None,
        "randomize-client-port": None,
        "one-cgnat?v=true": None,
    }
    assert caps(1, OneCGNATRoute="mac-never") == {"one-cgnat?v=false": None}


def test_values_of_several_app_entries_add_up() -> None:
    name = "tailscale.com/app-connectors"
    entries = ({"target": ["*"], "app": {name: [{"n": i}]}} for i in (1, 2))
    assert caps(2, *entries) == {name: ({"n": 1}, {"n": 2})}


def test_without_ipv4() -> None:
    idx = index(
        policy(nodeAttrs=[{"target": ["tag:server"], "attr": ["disable-ipv4"]}]),
        node(1, 1),
        node(3, "tag:server", approved_routes=("10.0.0.0/16",)),
    )
    assert idx.self_view(3).addresses == ("fd7a:115c:a1e0::3/128",)
    assert idx.peer_view(1, 3).allowed_ips == ("fd7a:115c:a1e0::3/128", "10.0.0.0/16")
    assert idx.peer_view(3, 1).addresses == ("fd7a:115c:a1e0::1/128",)


def test_the_first_pool_that_fits_decides() -> None:
    idx = index(
        policy(
            nodeAttrs=[
                {"target": ["tag:server"], "attr": ["a"]},
                {"target": ["tag:server"], "ipPool": ["100.81.0.0/16", "100.82.0.0/24"]},
                {"target": ["*"], "ipPool": ["100.83.0.0/16"]},
            ]
        )
    )
    assert [str(p) for p in idx.ip_pool(node(9, "tag:server", ipv4=None))] == [
        "100.81.0.0/16",
        "100.82.0.0/24",
    ]
    assert [str(p) for p in idx.ip_pool(node(9, 1, ipv4=None))] == ["100.83.0.0/16"]
    assert index(None).ip_pool(node(9, 1)) == ()
