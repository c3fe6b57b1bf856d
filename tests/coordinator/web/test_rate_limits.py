"""Guessing login pages, through a real socket."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from tests.support.server_in_process import running_server


async def test_guesses_end_with_429_and_other_pages_go_on(tmp_path: Path) -> None:
    async with (
        running_server(tmp_path, more="rate_limits: {address_burst: 3}") as server,
        aiohttp.ClientSession(server.url) as http,
    ):
        seen = []
        for number in range(5):
            async with http.get(
                f"/{('register', 'auth')[number % 2]}/hskey-authreq-{number:024x}"
            ) as response:
                seen.append(response.status)
        assert seen == [404, 404, 404, 429, 429]
        assert int(response.headers["Retry-After"]) >= 1
        async with http.get("/key?v=142") as response:
            assert response.status == 200
