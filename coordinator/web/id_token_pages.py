"""What anybody needs who verifies identity tokens of this tailnet's machines."""

from __future__ import annotations

from aiohttp import web

from coordinator.services.id_tokens import ISSUER_PATH, IDTokens


class IDTokenPages:
    """The issuer's metadata and its public keys, on the public listener."""

    def __init__(self, tokens: IDTokens) -> None:
        self._tokens = tokens

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get(f"{ISSUER_PATH}/.well-known/openid-configuration", self._configuration),
            web.get(f"{ISSUER_PATH}/jwks.json", self._keys),
        ]

    async def _configuration(self, request: web.Request) -> web.Response:
        return web.json_response(self._tokens.configuration())

    async def _keys(self, request: web.Request) -> web.Response:
        return web.json_response(self._tokens.keys())
