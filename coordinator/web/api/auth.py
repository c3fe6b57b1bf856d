"""/api/v1/auth: decisions about machines and SSH sessions that wait for a person."""

from __future__ import annotations

from aiohttp import web

from coordinator.services.login import PendingLogins
from coordinator.services.registration import RegistrationService
from coordinator.services.ssh_checks import SSHChecks
from coordinator.tailnet.errors import InvalidError, NotFoundError
from coordinator.web.api.acting import acting
from coordinator.web.api.body import Body


class AuthRoutes:
    """Handlers on whatever waits."""

    def __init__(self, registration: RegistrationService, logins: PendingLogins, checks: SSHChecks) -> None:
        self._registration = registration
        self._logins = logins
        self._checks = checks

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.post("/api/v1/auth/approve", self._approve),
            web.post("/api/v1/auth/reject", self._reject),
        ]

    async def _approve(self, request: web.Request) -> web.Response:
        auth_id = (await Body.read(request)).text("authId")
        if self._is_login(auth_id):
            raise InvalidError(
                "a machine waits under this id, and somebody must own it: "
                f"`auth register --user USERNAME --auth-id {auth_id}`"
            )
        await self._checks.decide(auth_id, approve=True, actor=acting())
        return web.json_response({})

    async def _reject(self, request: web.Request) -> web.Response:
        auth_id = (await Body.read(request)).text("authId")
        if self._is_login(auth_id):
            await self._registration.reject(auth_id, actor=acting())
        else:
            await self._checks.decide(auth_id, approve=False, actor=acting())
        return web.json_response({})

    def _is_login(self, auth_id: str) -> bool:
        try:
            self._logins.get(auth_id)
        except NotFoundError:
            return False
        return True
