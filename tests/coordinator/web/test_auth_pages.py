"""The page of an SSH session that waits."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from tests.support.server_in_process import running_server


async def test_nothing_waits_under_an_unknown_id(tmp_path: Path) -> None:
    async with (
        running_server(tmp_path) as server,
        aiohttp.ClientSession() as browser,
        browser.get(f"{server.url}/auth/<b>") as answer,
    ):
        text = await answer.text()
        assert answer.status == 404
        assert "&lt;b&gt;" in text
        assert "<b>" not in text
