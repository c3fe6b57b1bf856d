"""http: the routes beside /derp, over a real server."""

import asyncio

import aiohttp
import pytest

from derp.http import BootstrapDns, resolve
from tests.derp.fake_client import running_relay


@pytest.mark.parametrize("path", ["/derp/probe", "/derp/latency-check"])
async def test_probes(path: str) -> None:
    async with running_relay() as running, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{running.port}{path}"
        for method in ("GET", "HEAD"):
            async with http.request(method, url) as response:
                assert response.status == 200
                assert response.headers["Access-Control-Allow-Origin"] == "*"
                assert await response.read() == b""
        async with http.post(url) as response:
            assert response.status == 405


@pytest.mark.parametrize(
    ("challenge", "answer"),
    [
        ("ts_derp.example-1:443", "response ts_derp.example-1:443"),
        ("x" * 64, "response " + "x" * 64),
        ("x" * 65, None),
        ("a b", None),
        ("<script>", None),
        ("", None),
    ],
)
async def test_captive_portal_detection(challenge: str, answer: str | None) -> None:
    async with running_relay() as running, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{running.port}/generate_204"
        async with http.get(url, headers={"X-Tailscale-Challenge": challenge}) as response:
            assert response.status == 204
            assert response.headers.get("X-Tailscale-Response") == answer
            assert "no-store" in response.headers["Cache-Control"]


async def test_first_aid_dns_over_http() -> None:
    async with running_relay() as running, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{running.port}/bootstrap-dns"
        async with http.get(url, params={"q": "LocalHost"}) as response:
            assert "127.0.0.1" in (await response.json())["localhost"]
        for query in ({"q": "example.com"}, {}):
            async with http.get(url, params=query) as response:
                assert await response.json() == {}


async def test_a_crowd_asks_once_and_failures_are_asked_again() -> None:
    asked = []

    async def slow(name: str) -> list[str]:
        asked.append(name)
        await asyncio.sleep(0.01)
        return [] if len(asked) == 1 else ["192.0.2.1"]

    dns = BootstrapDns(["relay.example"], resolve=slow)
    assert await dns._lookup("relay.example") == []
    answers = await asyncio.gather(*(dns._lookup("relay.example") for _ in range(5)))
    assert answers == [["192.0.2.1"]] * 5
    assert len(asked) == 2


async def test_old_answers_are_asked_again() -> None:
    asked = []

    async def resolver(name: str) -> list[str]:
        asked.append(name)
        return ["192.0.2.1"]

    dns = BootstrapDns(["relay.example"], keep=-1, resolve=resolver)
    await dns._lookup("relay.example")
    await dns._lookup("relay.example")
    assert len(asked) == 2


async def test_unknown_names_have_no_addresses() -> None:
    assert await resolve("name.invalid..") == []
