"""All routes of plain WireGuard: for the socket, for the public listener, for gateways."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from coordinator.services.rate_limits import RateLimits
from coordinator.services.users import UserService
from coordinator.services.wireguard import WireGuard
from coordinator.web.api.wireguard_apply import WireGuardApplyRoutes
from coordinator.web.api.wireguard_gateways import WireGuardGatewayRoutes
from coordinator.web.api.wireguard_peers import WireGuardPeerRoutes
from coordinator.web.api.wireguard_tokens import WireGuardTokenRoutes
from coordinator.web.gateway import GatewayEndpoints

Guard = Callable[[web.RouteDef], web.RouteDef]


class WireGuardRoutes:
    """The administration's routes, as a noun of the API."""

    def __init__(self, wireguard: WireGuard, users: UserService, limits: RateLimits) -> None:
        self._peers = WireGuardPeerRoutes(wireguard, users)
        self._nouns = (
            WireGuardGatewayRoutes(wireguard.gateways, wireguard.wishes, wireguard.observation),
            WireGuardTokenRoutes(wireguard.tokens, users, wireguard.clock),
            WireGuardApplyRoutes(wireguard.apply),
            self._peers,
        )
        self._endpoints = GatewayEndpoints(
            wireguard.gateways, wireguard.wishes, wireguard.observation, limits, wireguard.clock
        )

    def routes(self) -> list[web.RouteDef]:
        """Those that need a right of the administration."""
        return [route for noun in self._nouns for route in noun.routes()]

    def open_routes(self) -> list[web.RouteDef]:
        """Those that people and devices may use for themselves, as on the socket."""
        return self._peers.open_routes()

    def public_routes(self, guard: Guard) -> list[web.RouteDef]:
        """Those of the public listener beside the guarded API: for people, devices and gateways."""
        return [*map(guard, self.open_routes()), *self._endpoints.routes()]


class OpenWireGuardRoutes:
    """`open_routes` as a noun, for the socket."""

    def __init__(self, routes: WireGuardRoutes) -> None:
        self._routes = routes

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        return self._routes.open_routes()
