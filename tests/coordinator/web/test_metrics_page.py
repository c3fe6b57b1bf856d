"""/metrics."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from tests.support.ports import free_port
from tests.support.server_in_process import running_server


async def test_metrics_are_served_on_their_own_listener(tmp_path: Path) -> None:
    port = free_port()
    async with (
        running_server(tmp_path, more=f"metrics_listen_addr: 127.0.0.1:{port}"),
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as response,
    ):
        text = await response.text()
    assert response.status == 200
    assert "coordinator_map_sessions" in text
    assert "coordinator_loop_lag_seconds" in text
