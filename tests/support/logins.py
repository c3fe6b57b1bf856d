"""A server in this process whose people log in at a real provider."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.form_browser import FormBrowser, Page, form_browser
from tests.support.oidc_provider import IdentityProvider, missing_for_provider
from tests.support.ports import free_port
from tests.support.prerequisites import require
from tests.support.server_in_process import Running, running_server

ALLOW_ALL = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}'
OFFLINE = {"pkce": {"enabled": True}, "extra_params": {"prompt": "consent"}}
"""With a refresh token; this provider gives one only if it may ask the person."""


@dataclass
class LoginLab:
    """A provider that knows ada, and a server that trusts it."""

    provider: IdentityProvider
    running: Running

    async def user(self, name: str = "ada") -> dict[str, Any]:
        """A user as the API shows it."""
        users = await self.running.call("GET", f"/api/v1/user?name={name}")
        found: list[dict[str, Any]] = users["users"]  # type: ignore[assignment]
        assert len(found) == 1, found
        return found[0]

    async def nodes(self) -> list[dict[str, Any]]:
        """All nodes as the API shows them."""
        return list((await self.running.call("GET", "/api/v1/node"))["nodes"])  # type: ignore[call-overload]

    async def ask(self, client: FakeTailscaled) -> str:
        """A machine without a key; the link it is given."""
        return str((await client.register())["AuthURL"])

    async def join(self, browser: FormBrowser, subject: str, hostname: str = "laptop") -> FakeTailscaled:
        """A machine that joins by a login."""
        client = FakeTailscaled(self.running.url, hostname=hostname)
        page = await browser.log_in(await self.ask(client), subject)
        assert page.status == 200, page.text
        done = await browser.submit(page)
        assert done.status == 200, done.text
        answer = await client.register()
        assert answer["MachineAuthorized"], answer
        return client

    async def refused(self, subject: str) -> Page:
        """The page somebody ends at who may not log in."""
        client = FakeTailscaled(self.running.url)
        async with form_browser() as browser:
            page = await browser.log_in(await self.ask(client), subject)
        await client.close()
        return page


def ada() -> dict[str, Any]:
    """The claims of somebody ordinary."""
    return {
        "email": "ada@example.com",
        "email_verified": True,
        "name": "Ada Lovelace",
        "preferred_username": "ada",
        "groups": ["engineers"],
        "realm_access": {"roles": ["vpn"]},
    }


@asynccontextmanager
async def login_lab(
    directory: Path,
    *,
    policy: str = ALLOW_ALL,
    oidc: dict[str, Any] | None = None,
    more: dict[str, Any] | None = None,
) -> AsyncIterator[LoginLab]:
    """Both running; `oidc` are more settings of the section, `more` other sections."""
    require(missing_for_provider(), "logins at a real provider")
    port = free_port()
    provider = IdentityProvider(directory, "127.0.0.1", free_port(), f"http://127.0.0.1:{port}")
    provider.set_account("ada-1", **ada())
    provider.start()
    sections = {"oidc": dict(provider.configuration(**(oidc or {}))), **(more or {})}
    section = "\n".join(f"{name}: {json.dumps(value)}" for name, value in sections.items())
    try:
        async with running_server(directory, policy, section, port=port) as running:
            yield LoginLab(provider, running)
    finally:
        provider.stop()
