"""/api/v1/policy."""

from __future__ import annotations

from aiohttp import web

from coordinator.services.policy import PolicyService
from coordinator.tailcfg.codec import go_time
from coordinator.tailnet.errors import InvalidError
from coordinator.web.api.acting import acting
from coordinator.web.api.body import Body


class PolicyRoutes:
    """Handlers on the policy."""

    def __init__(self, policy: PolicyService) -> None:
        self._policy = policy

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get("/api/v1/policy", self._get),
            web.put("/api/v1/policy", self._set),
            web.post("/api/v1/policy/check", self._check),
            web.get("/api/v1/policy/profiles", self._profiles),
            web.get("/api/v1/policy/history", self._history),
            web.post("/api/v1/policy/rollback", self._rollback),
        ]

    async def _get(self, request: web.Request) -> web.Response:
        text, updated_at = self._policy.get()
        moment = go_time(updated_at) if updated_at else None
        return web.json_response({"policy": text, "updatedAt": moment})

    async def _set(self, request: web.Request) -> web.Response:
        body = await Body.read(request)
        stored = await self._policy.set(body.text("policy"), actor=acting(), note=body.text("note"))
        return web.json_response({"policy": stored.text, "updatedAt": go_time(stored.created_at)})

    async def _check(self, request: web.Request) -> web.Response:
        body = await Body.read(request)
        await self._policy.check(body.text("policy"))
        return web.json_response({})

    async def _profiles(self, request: web.Request) -> web.Response:
        """The access profiles that join the policy without being in its text, in the policy's shape."""
        stored = self._policy.declared.stored
        return web.json_response({"profiles": {name: stored[name].value() for name in sorted(stored)}})

    async def _history(self, request: web.Request) -> web.Response:
        versions = [
            {
                "id": str(stored.id),
                "createdAt": go_time(stored.created_at),
                "author": stored.author,
                "note": stored.note,
                "policy": stored.text,
            }
            for stored in await self._policy.history()
        ]
        return web.json_response({"versions": versions})

    async def _rollback(self, request: web.Request) -> web.Response:
        body = await Body.read(request)
        version = body.number("id")
        if version is None:
            raise InvalidError("say which version: `id`")
        stored = await self._policy.rollback(version, actor=acting(), note=body.text("note"))
        return web.json_response({"policy": stored.text, "updatedAt": go_time(stored.created_at)})
