"""Approved routes and their primaries."""

from __future__ import annotations

from acl.addresses import parse_prefix
from acl.routes import RouteTable, node_routes
from tests.acl.tailnets import node

LAN = "10.0.0.0/16"


def test_routes_come_apart() -> None:
    found = node_routes(node(1, 1, approved_routes=(LAN, "0.0.0.0/0", LAN, "junk", "fd00::/8")))
    assert [text for text, _ in found.subnets] == [LAN, "fd00::/8"]
    assert found.exits == ("0.0.0.0/0",)
    wide, other = parse_prefix("10.0.0.0/8"), parse_prefix("11.0.0.0/8")
    assert wide is not None
    assert other is not None
    assert found.overlaps(wide)
    assert not found.overlaps(other)


def test_the_first_joined_online_router_is_primary() -> None:
    table = RouteTable()
    routers = [
        node(n, "tag:router", approved_routes=(LAN,), created_order=9 - n, online=n != 3) for n in (1, 2, 3)
    ]
    for router in routers:
        table.add(router, node_routes(router))
    primary = table.primary(LAN)
    assert primary is not None
    assert primary.id == 2
    table.remove(routers[1], node_routes(routers[1]))
    table.remove(routers[0], node_routes(routers[0]))
    last = table.primary(LAN)
    assert last is not None
    assert last.id == 3, "with nobody online the first joined keeps the route"
    table.remove(routers[2], node_routes(routers[2]))
    assert table.primary(LAN) is None
    assert table.holders == {}
