"""/api/v1/wireguard/gateways."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from coordinator.services.wireguard_gateways import (
    DEFAULT_OVERLAP,
    DEFAULT_PORT,
    GatewayWanted,
    WireGuardGateways,
    pools_from,
)
from coordinator.services.wireguard_observation import WireGuardObservation
from coordinator.services.wireguard_wishes import WireGuardWishes
from coordinator.tailnet.errors import InvalidError
from coordinator.web.api.acting import acting
from coordinator.web.api.body import Body, query_flag
from coordinator.web.api.wireguard_body import duration, number
from coordinator.web.api.wireguard_views import gateway_view
from coordinator.wireguard.model import Gateway, live_peers
from coordinator.wireguard.pools import Pool

BASE = "/api/v1/wireguard/gateways"
_ONE = f"{BASE}/{{gateway}}"


class WireGuardGatewayRoutes:
    """Handlers on gateways; `{gateway}` is an id or a name."""

    def __init__(
        self, gateways: WireGuardGateways, wishes: WireGuardWishes, observation: WireGuardObservation
    ) -> None:
        self._gateways = gateways
        self._wishes = wishes
        self._observation = observation

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get(BASE, self._list),
            web.post(BASE, self._create),
            web.get(_ONE, self._show),
            web.delete(_ONE, self._delete),
            web.post(f"{_ONE}/rotate-key", self._rotate_key),
            web.post(f"{_ONE}/rotate-token", self._rotate_token),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"gateways": [self._view(each) for each in self._gateways.all()]})

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response({"gateway": self._view(self._find(request))})

    async def _create(self, request: web.Request) -> web.Response:
        body = await Body.read(request)
        wanted = GatewayWanted(
            name=body.text("name"),
            host=body.text("host"),
            pools=_pools(body),
            listen_port=number(body, "listenPort", DEFAULT_PORT),
            mtu=number(body, "mtu", 1420),
            dns=tuple(body.texts("dns")),
            keepalive=number(body, "keepalive", 25),
            masquerade=not body.has("masquerade") or body.flag("masquerade"),
            tailnet=body.flag("tailnet"),
            profiles=tuple(body.texts("profiles")),
            rotate_days=number(body, "rotateDays", 0),
        )
        gateway, token = await self._gateways.create(wanted, actor=acting())
        return web.json_response({"gateway": self._view(gateway), "token": token})

    async def _delete(self, request: web.Request) -> web.Response:
        gateway = self._find(request)
        ended = await self._gateways.delete(gateway.id, force=query_flag(request, "force"), actor=acting())
        return web.json_response({"ended_peers": [peer.name for peer in ended]})

    async def _rotate_key(self, request: web.Request) -> web.Response:
        gateway, body = self._find(request), await Body.read(request)
        overlap = duration(body, "overlap", DEFAULT_OVERLAP)
        changed = await self._gateways.rotate_key(gateway.id, overlap, actor=acting())
        return web.json_response({"gateway": self._view(changed)})

    async def _rotate_token(self, request: web.Request) -> web.Response:
        gateway = self._find(request)
        changed, token = await self._gateways.rotate_token(gateway.id, actor=acting())
        return web.json_response({"gateway": self._view(changed), "token": token})

    def _find(self, request: web.Request) -> Gateway:
        return self._gateways.book.gateway(request.match_info["gateway"])

    def _view(self, gateway: Gateway) -> dict[str, Any]:
        wished = self._wishes.current(gateway.id)
        return gateway_view(
            gateway,
            self._observation.gateway(gateway.id),
            "" if wished is None else wished.version,
            len(live_peers(self._gateways.book.peers.values(), gateway.id)),
        )


def _pools(body: Body) -> tuple[Pool, ...]:
    """`pools` is a list of networks for everybody; `teamPools` an object of team to networks."""
    found: dict[str, list[str]] = {}
    if body.texts("pools"):
        found[""] = body.texts("pools")
    for team, text in body.scalars("teamPools").items():
        if not isinstance(text, str) or not team:
            raise InvalidError("`teamPools` is an object of team to networks, separated by commas")
        found[team] = [part.strip() for part in text.split(",") if part.strip()]
    return pools_from(found)
