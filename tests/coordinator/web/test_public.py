"""The public listener, through a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.support.server_in_process import Running, running_server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_server(tmp_path) as running:
        yield running


@pytest.fixture
async def http(server: Running) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url) as session:
        yield session


async def test_the_key_is_given_twice(http: aiohttp.ClientSession) -> None:
    """Pitfall: with a zero legacy key clients fetch this again at every registration."""
    async with http.get("/key?v=142") as response:
        document = await response.json()
    assert document["publicKey"].startswith("mkey:")
    assert document["legacyPublicKey"] == document["publicKey"]


@pytest.mark.parametrize(
    "query",
    ["", "?v=", "?v=x", "?v=10", "?v=-1", "?v=%D9%A3%D9%A9", "?v=" + "1" * 5000],
    ids=lambda query: query[:8] or "none",
)
async def test_old_or_missing_versions_are_refused(http: aiohttp.ClientSession, query: str) -> None:
    async with http.get("/key" + query) as response:
        assert response.status == 400


async def test_health_and_version(http: aiohttp.ClientSession) -> None:
    async with http.get("/health") as response:
        assert await response.json(content_type=None) == {"status": "pass"}
        assert response.content_type == "application/health+json"
        assert response.headers["X-Frame-Options"] == "DENY"
    async with http.get("/version") as response:
        assert (await response.json())["version"]


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{", 400), (b"[]", 400), (b'{"NodePublic":3}', 400), (b"x" * 5000, 413)],
)
async def test_verify_refuses_junk(http: aiohttp.ClientSession, body: bytes, status: int) -> None:
    async with http.post("/verify", data=body) as response:
        assert response.status == status


async def test_verify_denies_strangers(http: aiohttp.ClientSession) -> None:
    for key in ("nodekey:" + "00" * 32, "nonsense"):
        async with http.post("/verify", json={"NodePublic": key, "Source": "192.0.2.1"}) as response:
            assert await response.json() == {"Allow": False}


async def test_the_api_wants_a_key(server: Running) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}/api/v1/user") as response:
        assert (response.status, await response.text()) == (401, "Unauthorized")


async def test_a_wrong_method_names_the_right_one(http: aiohttp.ClientSession) -> None:
    async with http.post("/health") as response:
        assert response.status == 405
        assert "GET" in response.headers["Allow"]


async def test_unknown_pages_answer_briefly(http: aiohttp.ClientSession) -> None:
    async with http.get("/nothing/here") as response:
        assert response.status == 404


async def test_a_login_page_nobody_waits_behind(http: aiohttp.ClientSession) -> None:
    async with http.get("/register/hskey-authreq-<script>") as response:
        text = await response.text()
    assert response.status == 404
    assert "<script>" not in text
