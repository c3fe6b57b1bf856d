"""What gateways of plain WireGuard ask on the public listener: their wish, by long poll; and their reports.

A good token is never turned away, whatever else comes from the same address: it is looked at first, which
costs one hash, and only a wrong one counts as a failed attempt.
"""

from __future__ import annotations

from math import isfinite

import msgspec
from aiohttp import web

from coordinator.audit.origin import acting_from
from coordinator.services.rate_limits import RateLimits
from coordinator.services.wireguard_gateways import WireGuardGateways
from coordinator.services.wireguard_observation import WireGuardObservation
from coordinator.services.wireguard_wishes import WireGuardWishes
from coordinator.tailnet.actors import Actor, Origin
from coordinator.tailnet.clock import Clock
from coordinator.tailnet.errors import RateLimitedError
from coordinator.web.errors import problem
from coordinator.wireguard.model import Gateway
from coordinator.wireguard.wire import MAX_WAIT_SECONDS, REPORT_PATH, WISH_PATH, Report

DEFAULT_WAIT = 30.0
MAX_REPORT = 4 << 20
"""Bytes; a report on 5,000 peers has about half of it."""
MAX_REPORTED_PEERS = 20_000


class GatewayEndpoints:
    """Handlers for gateways."""

    def __init__(
        self,
        gateways: WireGuardGateways,
        wishes: WireGuardWishes,
        observation: WireGuardObservation,
        limits: RateLimits,
        clock: Clock,
    ) -> None:
        self._gateways = gateways
        self._wishes = wishes
        self._observation = observation
        self._limits = limits
        self._clock = clock

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [web.get(WISH_PATH, self._wish), web.post(REPORT_PATH, self._report)]

    async def _wish(self, request: web.Request) -> web.Response:
        gateway = self._gateway(request)
        if gateway is None:
            return self._refuse(request)
        wait = _seconds(request.query.get("wait", ""))
        if wait is None:
            return problem(400, f"`wait` is a number of seconds from 0 to {MAX_WAIT_SECONDS}")
        found = await self._wishes.wait(gateway.id, request.query.get("have", ""), wait)
        # The token may have been taken back meanwhile.
        if self._gateway(request) is None:
            return self._refuse(request)
        if found is None:
            return web.Response(status=204)
        body = msgspec.json.encode(msgspec.structs.replace(found, now=self._clock()))
        return web.Response(body=body, content_type="application/json")

    async def _report(self, request: web.Request) -> web.Response:
        gateway = self._gateway(request)
        if gateway is None:
            return self._refuse(request)
        if (request.content_length or 0) > MAX_REPORT:
            return problem(413, f"a report is at most {MAX_REPORT} bytes")
        raw = await request.read()
        try:
            report = msgspec.json.decode(raw, type=Report)
        except (msgspec.MsgspecError, ValueError) as error:
            return problem(400, f"the report cannot be read: {error}")
        if len(raw) > MAX_REPORT or len(report.peers) > MAX_REPORTED_PEERS:
            return problem(413, f"a report is at most {MAX_REPORT} bytes and {MAX_REPORTED_PEERS} peers")
        actor = Actor(kind="wireguard_gateway", name=gateway.name)
        with acting_from(Origin(source=request.remote or "")):
            if await self._gateways.reported(gateway, report.public_keys, actor=actor):
                await self._observation.keys_changed(gateway, report.public_keys, actor=actor)
            await self._observation.take(gateway, report, actor=actor)
        return web.Response(status=204)

    def _gateway(self, request: web.Request) -> Gateway | None:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        return self._gateways.authenticate(text) if scheme.lower() == "bearer" else None

    def _refuse(self, request: web.Request) -> web.Response:
        remote = request.remote or ""
        try:
            self._limits.check("wireguard", remote)
        except RateLimitedError as error:
            return problem(429, error.message, headers={"Retry-After": str(error.retry_after)})
        self._limits.failed(remote)
        return problem(
            401,
            "the token is not, or no longer, that of a WireGuard gateway",
            headers={"WWW-Authenticate": "Bearer"},
        )


def _seconds(text: str) -> float | None:
    """How long to wait; None for what is no number of seconds. Longer than the most is the most."""
    if not text:
        return DEFAULT_WAIT
    try:
        seconds = float(text)
    except ValueError:
        return None
    return min(seconds, MAX_WAIT_SECONDS) if isfinite(seconds) and seconds >= 0 else None
