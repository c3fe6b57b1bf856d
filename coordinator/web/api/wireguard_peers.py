"""/api/v1/wireguard/peers.

Making, rotating and revoking is open to people for their own devices, and to enrolling devices; the rest is
the administration's. Who asks was put onto the request by `wireguard_callers`; on the unix socket nobody did,
and whoever may open that may do everything.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from coordinator.services.users import UserService
from coordinator.services.wireguard import WireGuard
from coordinator.services.wireguard_book import unknown_peer
from coordinator.services.wireguard_openings import OpenNow
from coordinator.services.wireguard_peer_records import PeerWanted, WireGuardCaller, require_own
from coordinator.services.wireguard_peers import DEFAULT_OVERLAP
from coordinator.services.wireguard_preshared import require_readable
from coordinator.tailnet.errors import ConflictError, InvalidError, NotFoundError
from coordinator.web.api.acting import acting
from coordinator.web.api.body import Body, find_user, query_flag
from coordinator.web.api.wireguard_body import duration, number
from coordinator.web.api.wireguard_views import config_view, peer_view
from coordinator.wireguard.device_config import TooLongForQRError, device_config, qr_svg, wg_quick
from coordinator.wireguard.model import Gateway, Peer

BASE = "/api/v1/wireguard/peers"
_ONE = f"{BASE}/{{peer}}"
STATES = ("active", "waiting", "scheduled", "ended")
CALLER = web.RequestKey("wireguard_caller", WireGuardCaller)


class WireGuardPeerRoutes:
    """Handlers on peers; `{peer}` is an id or, of a living one, its name."""

    def __init__(self, wireguard: WireGuard, users: UserService) -> None:
        self._wireguard = wireguard
        self._users = users

    def routes(self) -> list[web.RouteDef]:
        """Those of the administration."""
        return [
            web.get(BASE, self._list),
            web.get(_ONE, self._show),
            web.post(f"{_ONE}/rotate-preshared", self._rotate_preshared),
        ]

    def open_routes(self) -> list[web.RouteDef]:
        """Those that people and devices use for themselves."""
        return [
            web.post(BASE, self._create),
            web.get(f"{_ONE}/config", self._config),
            web.post(f"{_ONE}/rotate", self._rotate),
            web.delete(_ONE, self._revoke),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        """Living peers; `all` shows ended ones, too; `gateway`, `user`, `profile`, `state` narrow it."""
        everything = query_flag(request, "all")
        state = request.query.get("state", "")
        if state not in ("", *STATES):
            raise InvalidError(f"`state`: `{state[:40]}` is none of {', '.join(STATES)}")
        open_now = self._wireguard.openings.open_now(self._wireguard.clock())
        found = [
            self._view(peer, open_now)
            for peer in sorted(self._wireguard.book.peers.values(), key=lambda peer: peer.id)
            if peer.live or everything or state == "ended"
        ]
        for name in ("gateway", "user", "profile", "state"):
            wanted = request.query.get(name)
            found = [each for each in found if wanted in (None, "", each[name])]
        return web.json_response({"peers": found})

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response({"peer": self._view(self._find(request))})

    async def _create(self, request: web.Request) -> web.Response:
        caller = _caller(request)
        body = await Body.read(request)
        wanted = PeerWanted(
            public_key=body.text("publicKey"),
            profile=body.text("profile"),
            access_id=body.number("accessRequest"),
            name=body.text("name"),
            gateway=body.text("gateway"),
            user_id=find_user(self._users, body.text("user")).id if body.has("user") else None,
            service=body.text("service"),
            team=body.text("team") if body.has("team") else None,
            keepalive=number(body, "keepalive", 0) if body.has("keepalive") else None,
            preshared=body.flag("presharedKey"),
            standing=body.flag("permanent"),
            since=body.moment("since"),
            until=body.moment("until"),
            reason=body.text("reason"),
            ticket=body.text("ticket"),
            duration=duration(body, "for", DEFAULT_OVERLAP) if body.has("for") else None,
            addresses=tuple(body.texts("addresses")),
        )
        peer, made = await self._wireguard.peers.provision(wanted, caller)
        return web.json_response(self._with_config(peer), status=201 if made else 200)

    async def _config(self, request: web.Request) -> web.Response:
        """As JSON; with `format=conf` the file alone, with `format=svg` its QR code."""
        peer = self._own(request)
        if not peer.live:
            raise ConflictError(f"peer `{peer.name}` has ended: there is nothing to connect to")
        require_readable(peer)
        config = device_config(peer, *self._gateway_and_routes(peer))
        if not config.gateway_key:
            raise ConflictError("its gateway has never reported its key: start `coordinator gateway` there")
        match request.query.get("format", "json"):
            case "json":
                return web.json_response({"config": config_view(config)})
            case "conf":
                return web.Response(text=wg_quick(config))
            case "svg":
                try:
                    picture = qr_svg(wg_quick(config))
                except TooLongForQRError as error:
                    raise ConflictError(str(error)) from error
                return web.Response(text=picture, content_type="image/svg+xml")
            case other:
                raise InvalidError(f"`format`: `{other[:40]}` is none of json, conf and svg")

    async def _rotate(self, request: web.Request) -> web.Response:
        # Before anything is said of the body: that would tell others of the peer.
        caller, peer = _caller(request), self._own(request)
        body = await Body.read(request)
        overlap = duration(body, "overlap", DEFAULT_OVERLAP)
        changed = await self._wireguard.peers.rotate(peer.id, body.text("publicKey"), overlap, caller)
        return web.json_response(self._with_config(changed))

    async def _rotate_preshared(self, request: web.Request) -> web.Response:
        peer = self._find(request)
        changed = await self._wireguard.peers.rotate_preshared(peer.id, _caller(request))
        return web.json_response(self._with_config(changed))

    async def _revoke(self, request: web.Request) -> web.Response:
        peer = self._own(request)
        ended = await self._wireguard.peers.revoke(peer.id, _caller(request))
        return web.json_response({"peer": self._view(ended)})

    def _find(self, request: web.Request) -> Peer:
        return self._wireguard.book.peer(request.match_info["peer"])

    def _own(self, request: web.Request) -> Peer:
        peer = self._find(request)
        try:
            require_own(peer, _caller(request))
        except NotFoundError:
            raise unknown_peer(request.match_info["peer"]) from None
        return peer

    def _with_config(self, peer: Peer) -> dict[str, Any]:
        config = device_config(peer, *self._gateway_and_routes(peer))
        return {"peer": self._view(peer), "config": config_view(config)}

    def _gateway_and_routes(self, peer: Peer) -> tuple[Gateway, tuple[str, ...]]:
        return self._wireguard.book.gateways[peer.gateway_id], self._wireguard.reach.of(peer).routes

    def _view(self, peer: Peer, open_now: OpenNow | None = None) -> dict[str, Any]:
        openings = self._wireguard.openings
        now = self._wireguard.clock()
        open_now = openings.open_now(now) if open_now is None else open_now
        gateway = self._wireguard.book.gateways.get(peer.gateway_id)
        user = self._users.login(peer.user_id) if peer.user_id is not None else ""
        return peer_view(
            peer,
            openings.state(peer, now, open_now),
            "" if gateway is None else gateway.name,
            user,
            openings.opening(peer, now, open_now),
            self._wireguard.observation.of_peer(peer),
            self._wireguard.observation.knocks.of_peer(peer, now),
        )


def _caller(request: web.Request) -> WireGuardCaller:
    found = request.get(CALLER)
    return WireGuardCaller(actor=acting(), admin=True) if found is None else found
