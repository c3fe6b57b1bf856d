"""Pages and probes of the public listener.

`/key` is the trust anchor of the control protocol: clients fetch the Noise key there. The REST API is not on
this listener; it is refused by name so that tools say something useful.
"""

from __future__ import annotations

import html
import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from coordinator.services.login import PendingLogins
from coordinator.tailcfg.keys import MachineKey
from coordinator.tailnet.errors import CoordinatorError
from coordinator.web.errors import problem

MAX_VERIFY_BYTES = 4096
_LONGEST_VERSION = 9
MINIMUM_KEY_VERSION = 39
"""Clients that ask with a lower `v` speak the protocol before Noise."""

Verify = Callable[[str], bool]
LogIn = Callable[[web.Request, str, str], Awaitable[web.Response | None]]
"""Sends a browser to an identity provider: request, `register` or `ssh`, id of what waits; None: not now."""


class PublicPages:
    """Handlers of the public listener.

    Args:
        machine_key: The server's public Noise key.
        version: As `/version` answers.
        healthy: Whether the database answers.
        verify: Whether a NodeKey text may use relays.
        logins: Machines that wait for a person.
        log_in: The way to an identity provider, where there is one.
    """

    def __init__(
        self,
        *,
        machine_key: MachineKey,
        version: dict[str, object],
        healthy: Callable[[], Awaitable[bool]],
        verify: Verify,
        logins: PendingLogins,
        log_in: LogIn | None = None,
    ) -> None:
        self._key = json.dumps({"legacyPublicKey": machine_key, "publicKey": machine_key})
        self._version = version
        self._healthy = healthy
        self._verify = verify
        self._logins = logins
        self._log_in = log_in

    def routes(self) -> list[web.RouteDef]:
        """All routes."""
        return [
            web.get("/", self._root),
            web.get("/key", self._get_key),
            web.get("/health", self._health),
            web.get("/version", self._get_version),
            web.get("/robots.txt", self._robots),
            web.post("/verify", self._post_verify),
            web.get("/register/{login_id}", self._register_page),
            web.route("*", "/api/{rest:.*}", self._no_api),
        ]

    async def _root(self, request: web.Request) -> web.Response:
        return web.Response(text="", content_type="text/html")

    async def _get_key(self, request: web.Request) -> web.Response:
        """Both keys are the same: a zero legacy key makes clients fetch this again at every registration."""
        version = request.query.get("v", "")
        # Bounded first: thousands of digits are an error of their own to int().
        usable = version.isascii() and version.isdecimal() and len(version) <= _LONGEST_VERSION
        if not usable or int(version) < MINIMUM_KEY_VERSION:
            return web.Response(status=400, text=f"query parameter v must be {MINIMUM_KEY_VERSION} or more")
        return web.Response(text=self._key, content_type="application/json")

    async def _health(self, request: web.Request) -> web.Response:
        healthy = await self._healthy()
        text = json.dumps({"status": "pass" if healthy else "fail"})
        return web.Response(status=200 if healthy else 500, text=text, content_type="application/health+json")

    async def _get_version(self, request: web.Request) -> web.Response:
        return web.json_response(self._version)

    async def _robots(self, request: web.Request) -> web.Response:
        return web.Response(text="User-agent: *\nDisallow: /\n")

    async def _post_verify(self, request: web.Request) -> web.Response:
        """`{"NodePublic": "nodekey:…"}` from a relay; answers `{"Allow": bool}`."""
        body = await request.content.read(MAX_VERIFY_BYTES + 1)
        if len(body) > MAX_VERIFY_BYTES:
            return problem(413, "the body is larger than 4 KiB")
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return problem(400, "the body is not JSON")
        key = document.get("NodePublic") if isinstance(document, dict) else None
        if not isinstance(key, str):
            return problem(400, "NodePublic is missing")
        return web.json_response({"Allow": self._verify(key)})

    async def _register_page(self, request: web.Request) -> web.Response:
        login_id = request.match_info["login_id"]
        try:
            self._logins.get(login_id)
        except CoordinatorError as error:
            return page(404, "No machine is waiting here", f"<p>{html.escape(error.message)}</p>")
        sent = None if self._log_in is None else await self._log_in(request, "register", login_id)
        if sent is not None:
            return sent
        command = f"coordinator auth register --user USERNAME --auth-id {html.escape(login_id)}"
        return page(
            200,
            "A machine wants to join",
            f"<p>An administrator lets it in with</p><pre>{command}</pre><p>Then it connects by itself.</p>",
        )

    async def _no_api(self, request: web.Request) -> web.Response:
        """No handler of the API has such a path; without a key nobody is told even that."""
        return web.Response(status=401, text="Unauthorized", headers={"WWW-Authenticate": "Bearer"})


def page(status: int, title: str, body: str) -> web.Response:
    """A small page; `body` is HTML, with everything from outside escaped already."""
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width">'
        '<body style="font-family:sans-serif;max-width:44rem;margin:3rem auto">'
        f"<h1>{title}</h1>{body}</body></html>"
    )
    return web.Response(status=status, text=text, content_type="text/html")
