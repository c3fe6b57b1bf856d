"""/api/v1/wireguard/apply: profiles, gateways and peers from a declaration."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from coordinator.services.wireguard_apply import WireGuardApply
from coordinator.web.api.acting import acting, acting_may
from coordinator.web.api.body import Body


class WireGuardApplyRoutes:
    """The handler."""

    def __init__(self, apply: WireGuardApply) -> None:
        self._apply = apply

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [web.post("/api/v1/wireguard/apply", self._post)]

    async def _post(self, request: web.Request) -> web.Response:
        """`document` is the text of the file; `dryRun` only says what would be done."""
        body = await Body.read(request)
        done = await self._apply.apply(
            body.text("document"),
            dry_run=body.flag("dryRun"),
            actor=acting(),
            may_declare_profiles=acting_may("policy:write"),
        )
        return web.json_response(
            {"changes": [asdict(change) for change in done.changes], "tokens": done.tokens}
        )
