"""A gateway that speaks its protocol and has no interface."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec

from coordinator.wireguard.wire import REPORT_PATH, WISH_PATH, Noticed, Report, SeenPeer, Wish
from tests.support.wireguard_records import public_key


class FakeGateway:
    """Asks for its wish and reports; `keys` are made up for each key id it is told."""

    def __init__(self, url: str, token: str, name: str = "gw") -> None:
        self.url = url
        self.name = name
        self.wish: Wish | None = None
        self._headers = {"Authorization": f"Bearer {token}"}

    async def ask(self, wait: float = 0, have: str | None = None) -> int:
        """One question; the answer, if there is one, is kept. Returns the status."""
        version = have if have is not None else (self.wish.version if self.wish else "")
        query = {"have": version, "wait": str(wait)}
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.url + WISH_PATH, params=query, headers=self._headers) as response,
        ):
            if response.status == 200:
                self.wish = msgspec.json.decode(await response.read(), type=Wish)
            return response.status

    async def report(
        self, peers: Sequence[SeenPeer] = (), events: Sequence[Noticed] = (), **more: Any
    ) -> int:
        """One report; returns the status."""
        keys = {each.key_id: public_key(f"{self.name} {each.key_id}") for each in self.interfaces}
        fields: dict[str, Any] = {
            "version": self.wish.version if self.wish else "",
            "now": datetime.now(UTC),
            "public_keys": keys,
            "peers": tuple(peers),
            "events": tuple(events),
            "agent": "fake 1",
        }
        body = msgspec.json.encode(Report(**fields | more))
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.url + REPORT_PATH, data=body, headers=self._headers) as response,
        ):
            return response.status

    async def start(self) -> None:
        """As the program does: the wish, then the keys."""
        assert await self.ask() == 200
        assert await self.report() == 204

    @property
    def interfaces(self) -> Sequence[Any]:
        """Of the wish in force."""
        return self.wish.interfaces if self.wish else ()

    @property
    def keys(self) -> list[str]:
        """The public keys it is to admit."""
        return [peer.public_key for peer in self.wish.peers] if self.wish else []
