"""An identity provider that answers whatever a test wants, rightly signed or not."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.support.ports import free_port

CLIENT_ID = "coordinator"


class LyingProvider:
    """Its answers are attributes, to be changed by the test."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.metadata: dict[str, Any] = {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize?tenant=1",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/keys",
            "userinfo_endpoint": f"{issuer}/me",
            "end_session_endpoint": f"{issuer}/end",
        }
        self.tokens: dict[str, Any] = {"access_token": "a", "token_type": "Bearer", "expires_in": 60}
        self.token_status = 200
        self.userinfo: Any = {"sub": "1"}
        self.requests: list[dict[str, str]] = []
        self.key_fetches = 0

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Those of a good ID token."""
        now = int(time.time())
        good = {"iss": self.issuer, "sub": "1", "aud": CLIENT_ID, "exp": now + 300, "iat": now, "nonce": "n"}
        return {name: value for name, value in (good | changes).items() if value is not None}

    def sign(self, **changes: Any) -> str:
        """An ID token."""
        return jwt.encode({"alg": "RS256", "kid": self.key.kid or ""}, self.claims(**changes), self.key)

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get("/.well-known/openid-configuration", self._metadata),
            web.get("/keys", self._keys),
            web.post("/token", self._token),
            web.get("/me", self._me),
        ]

    async def _metadata(self, request: web.Request) -> web.Response:
        return web.json_response(self.metadata)

    async def _keys(self, request: web.Request) -> web.Response:
        self.key_fetches += 1
        unusable = [{"kty": "new-fashioned"}, 7]
        return web.json_response({"keys": [self.key.as_dict(private=False), *unusable]})

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.requests.append(form | {"authorization": request.headers.get("Authorization", "")})
        return web.json_response(self.tokens, status=self.token_status)

    async def _me(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer a"
        if isinstance(self.userinfo, str):
            return web.Response(text=self.userinfo, content_type="application/jwt")
        if isinstance(self.userinfo, int):
            return web.Response(status=self.userinfo)
        return web.json_response(self.userinfo)


@asynccontextmanager
async def lying_provider() -> AsyncIterator[LyingProvider]:
    """One, listening on loopback."""
    port = free_port()
    provider = LyingProvider(f"http://127.0.0.1:{port}")
    app = web.Application()
    app.add_routes(provider.routes())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield provider
    finally:
        await runner.cleanup()
