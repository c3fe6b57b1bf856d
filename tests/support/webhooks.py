"""Webhooks in tests: events, configurations, and a receiver that is a real little HTTP server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from coordinator.tailnet.access import AccessRequest
from coordinator.tailnet.users import UserID
from coordinator.webhooks.config import EVENT_NAMES, HookConfig
from coordinator.webhooks.events import AccessEvent
from tests.support.builders import NOW

SECRET = "a secret of the webhook"


def make_request(**changes: Any) -> AccessRequest:
    request = AccessRequest(
        id=7,
        profile="mgmt",
        user_id=UserID(1),
        node_id=1,
        duration=timedelta(minutes=90),
        reason="disk full",
        ticket="OPS-7",
        requested_at=NOW,
        answer_by=NOW + timedelta(hours=1),
    )
    return replace(request, **changes)


def make_event(**changes: Any) -> AccessEvent:
    values: dict[str, Any] = {
        "id": 11,
        "at": "2026-06-01T12:00:00.000000Z",
        "name": "requested",
        "request": make_request(),
        "state": "requested",
        "user": "alice",
        "machine": "laptop",
        "by": "alice",
        "approvals_needed": 1,
        "approvers": ("bob", "carol"),
    }
    return AccessEvent(**values | changes)


def make_hook(**changes: Any) -> HookConfig:
    values: dict[str, Any] = {
        "name": "chat",
        "kind": "generic",
        "url": "http://127.0.0.1:1/in",
        "secret": SECRET,
        "users": {},
        "events": frozenset(EVENT_NAMES),
        "links": False,
        "answer_url": "https://vpn.example/access/hooks/chat",
    }
    return HookConfig(**values | changes)


@dataclass
class Receiver:
    """What arrived, and what is answered: a status each, the last one for all that follow."""

    url: str = ""
    statuses: list[int] = field(default_factory=lambda: [200])
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    replies: list[dict[str, Any]] = field(default_factory=list)
    silent: bool = False

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The bodies as JSON."""
        return [json.loads(body) for body in self.bodies]

    async def until(self, ready: Callable[[], object], seconds: float = 10.0) -> None:
        """Wait for something to be so."""
        async with asyncio.timeout(seconds):
            while not ready():
                await asyncio.sleep(0.01)

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.headers.append(dict(request.headers))
        if self.silent:
            await asyncio.sleep(3600)
        return web.Response(status=self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0])

    async def take_reply(self, request: web.Request) -> web.Response:
        self.replies.append(await request.json())
        return web.Response()


@asynccontextmanager
async def receiver(port: int | None = None) -> AsyncIterator[Receiver]:
    """A receiver at `/in`, with Slack's response URL at `/reply`."""
    made = Receiver()
    app = web.Application()
    app.router.add_post("/in", made.take)
    app.router.add_post("/reply", made.take_reply)
    async with TestServer(app, port=port) as server:
        made.url = str(server.make_url("/in"))
        yield made
