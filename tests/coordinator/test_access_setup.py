"""The ways to answer, as a server offers them."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from tests.support.access import access_server


async def test_links_are_on_the_public_listener(tmp_path: Path) -> None:
    async with (
        access_server(tmp_path) as server,
        aiohttp.ClientSession() as session,
        session.get(f"{server.url}/access/links/x") as answer,
    ):
        assert (answer.status, answer.content_type) == (404, "text/html")
