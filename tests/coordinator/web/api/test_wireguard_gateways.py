"""/api/v1/wireguard/gateways."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from tests.support.fake_gateway import FakeGateway
from tests.support.server_in_process import Running

BASE = "/api/v1/wireguard/gateways"
BODY = {"name": "gw", "host": "vpn.example.com", "pools": ["10.90.0.0/24"]}


async def test_create_look_rotate_delete(server: Running) -> None:
    made: Any = await server.call(
        "POST", BASE, json={**BODY, "teamPools": {"group:ops": "10.91.0.0/24, fd00:91::/64"}, "mtu": 1380}
    )
    view = made["gateway"]
    assert view["pools"][1] == {"team": "group:ops", "networks": ["10.91.0.0/24", "fd00:91::/64"]}
    assert (view["mtu"], view["masquerade"], view["in_step"], view["last_report"]) == (
        1380,
        True,
        False,
        None,
    )
    assert made["token"] not in str(view)
    fake = FakeGateway(server.url, made["token"])
    await fake.start()
    shown: Any = await server.call("GET", f"{BASE}/gw")
    assert shown["gateway"]["in_step"] is True
    assert shown["gateway"]["agent"] == "fake 1"
    listed: Any = await server.call("GET", BASE)
    assert [each["name"] for each in listed["gateways"]] == ["gw"]
    rotated: Any = await server.call("POST", f"{BASE}/1/rotate-key", json={"overlap": "0"})
    assert len(rotated["gateway"]["keys"]) == 2
    token: Any = await server.call("POST", f"{BASE}/gw/rotate-token", json={})
    assert token["token"] != made["token"]
    assert await server.call("DELETE", f"{BASE}/gw") == {"ended_peers": []}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({**BODY, "pools": "10.90.0.0/24"}, 400),
        ({**BODY, "listenPort": "x"}, 400),
        ({**BODY, "listenPort": -1}, 400),
        ({**BODY, "teamPools": {"": "10.91.0.0/24"}}, 400),
        ({**BODY, "teamPools": {"x": 7}}, 400),
        ({**BODY, "masquerade": "yes"}, 400),
        ({**BODY, "pools": ["100.64.0.0/24"]}, 400),
        ({**BODY, "name": "7"}, 400),
        ({**BODY, "host": "vpn.example.com:51820"}, 400),
        ({**BODY, "dns": ["fd00::1%eth0"]}, 400),
        ({**BODY, "profiles": ["a\nb"]}, 400),
        ({**BODY, "teamPools": {"a\nb": "10.91.0.0/24"}}, 400),
    ],
)
async def test_bodies_that_make_no_sense(
    api: aiohttp.ClientSession, body: dict[str, Any], status: int
) -> None:
    async with api.post(BASE, json=body) as response:
        assert response.status == status
        assert (await response.json())["detail"]


async def test_what_is_not_there(api: aiohttp.ClientSession) -> None:
    for method, path in (("GET", "x"), ("DELETE", "x"), ("POST", "x/rotate-key"), ("POST", "x/rotate-token")):
        async with api.request(method, f"{BASE}/{path}") as response:
            assert response.status == 404
