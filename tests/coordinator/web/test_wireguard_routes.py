"""Which routes are served where."""

from __future__ import annotations

from coordinator.services.rate_limits import RateLimits, RateLimitSettings
from coordinator.services.users import UserService
from coordinator.web.api.bearer import needed_right
from coordinator.web.wireguard_routes import OpenWireGuardRoutes, WireGuardRoutes
from tests.support.wireguard_bench import wireguard_bench


async def test_open_and_guarded_routes_are_apart() -> None:
    async with wireguard_bench() as bench:
        limits = RateLimits(RateLimitSettings(), lambda: 0.0)
        routes = WireGuardRoutes(bench.wireguard, UserService(bench.tailnet), limits)
        guarded = {(route.method, route.path) for route in routes.routes()}
        opened = {(route.method, route.path) for route in OpenWireGuardRoutes(routes).routes()}
        assert not guarded & opened
        for method, path in guarded:
            right = "wireguard:read" if method == "GET" else "wireguard:write"
            assert needed_right(method, path) == right
        marked: list[str] = []

        def guard(route):  # type: ignore[no-untyped-def]
            marked.append(route.path)
            return route

        public = {(route.method, route.path) for route in routes.public_routes(guard)}
        assert public - opened == {("GET", "/gateway/v1/wish"), ("POST", "/gateway/v1/report")}
        assert sorted(marked) == sorted(path for _, path in opened)
