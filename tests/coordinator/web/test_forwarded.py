"""Whose word counts, and what is made of it."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from coordinator.web.forwarded import MAX_HOPS, TrustedProxies
from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import Running, running_server

PROXIES = TrustedProxies([ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("127.0.0.1")])
PEER = "10.0.0.1"
TRUSTING = "trusted_proxies: [127.0.0.1]"


def headers(*pairs: tuple[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(pairs))


@pytest.mark.parametrize(
    ("pairs", "client"),
    [
        ([], PEER),
        ([("X-Forwarded-For", "192.0.2.7")], "192.0.2.7"),
        ([("x-forwarded-for", " 2001:db8::7 ")], "2001:db8::7"),
        ([("X-Real-IP", "192.0.2.7")], "192.0.2.7"),
        # a proxy appends: what the client wrote itself stands before
        ([("X-Forwarded-For", "198.51.100.1, 192.0.2.7")], "192.0.2.7"),
        ([("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "192.0.2.7")], "192.0.2.7"),
        ([("X-Forwarded-For", "10.9.9.9, 198.51.100.1, 192.0.2.7, 10.0.0.2, fd00::1")], "192.0.2.7"),
        # a client in the proxies' own network
        ([("X-Forwarded-For", "10.0.0.3, 10.0.0.2")], "10.0.0.3"),
        # forms in use
        ([("X-Forwarded-For", "192.0.2.7:4711")], "192.0.2.7"),
        ([("X-Forwarded-For", "[2001:db8::7]:4711")], "2001:db8::7"),
        ([("X-Forwarded-For", "::ffff:192.0.2.7")], "192.0.2.7"),
        # garbage: nothing behind it counts
        ([("X-Forwarded-For", "192.0.2.7, unknown")], PEER),
        ([("X-Forwarded-For", "192.0.2.7, _hidden, 10.0.0.2")], "10.0.0.2"),
        ([("X-Forwarded-For", "")], PEER),
        ([("X-Forwarded-For", ",,,")], PEER),
        ([("X-Forwarded-For", "192.0.2.7:x")], PEER),
        ([("X-Forwarded-For", "192.0.2.7:")], "192.0.2.7"),
        ([("X-Forwarded-For", "fe80::1%eth0")], PEER),
        ([("X-Forwarded-For", "١٩٢.0.2.7")], PEER),
        ([("X-Real-IP", "x" * 4000)], PEER),
        ([("X-Forwarded-For", "unknown"), ("X-Real-IP", "192.0.2.7")], "192.0.2.7"),
        # both: they agree, or nobody is believed
        ([("X-Forwarded-For", "192.0.2.7"), ("X-Real-IP", "192.0.2.7")], "192.0.2.7"),
        ([("X-Forwarded-For", "192.0.2.7, 10.0.0.2"), ("X-Real-IP", "10.0.0.2")], "192.0.2.7"),
        ([("X-Forwarded-For", "192.0.2.7"), ("X-Real-IP", PEER)], "192.0.2.7"),
        ([("X-Forwarded-For", "198.51.100.1"), ("X-Real-IP", "192.0.2.7")], PEER),
        ([("X-Forwarded-For", "198.51.100.1, 192.0.2.7"), ("X-Real-IP", "198.51.100.1")], PEER),
        # not read
        ([("Forwarded", "for=192.0.2.7"), ("True-Client-IP", "192.0.2.7")], PEER),
    ],
)
def test_the_client_behind_a_trusted_proxy(pairs: list[tuple[str, str]], client: str) -> None:
    assert PROXIES.client(PEER, headers(*pairs)) == client


def test_a_long_chain_is_cut() -> None:
    chain = ", ".join(["192.0.2.7", *["10.0.0.2"] * MAX_HOPS])
    assert PROXIES.client(PEER, headers(("X-Forwarded-For", chain))) == "10.0.0.2"


@given(st.text(), st.text())
def test_any_text_gives_an_address(chain: str, real: str) -> None:
    client = PROXIES.client(PEER, headers(("X-Forwarded-For", chain), ("X-Real-IP", real)))
    ip_network(client)


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.255.255.255", True), ("::ffff:10.0.0.1", True), ("fd00::1", True), ("11.0.0.1", False),
        ("2001:db8::1", False), ("", False), ("unix:", False), ("localhost", False),
    ],
)  # fmt: skip
def test_who_is_trusted(peer: str, trusted: bool) -> None:
    assert PROXIES.trusts(peer) is trusted


@pytest.mark.parametrize(
    ("networks", "seen"),
    [
        (["127.0.0.1"], ["192.0.2.7", "https"]),
        (["192.0.2.0/24"], ["127.0.0.1", "http"]),
        ([], ["127.0.0.1", "http"]),
    ],
)
async def test_handlers_see_the_client(networks: list[str], seen: list[str]) -> None:
    async def tell(request: web.Request) -> web.Response:
        return web.json_response([request.remote, request.scheme, (await request.read()).decode()])

    app = web.Application(middlewares=[TrustedProxies(map(ip_network, networks)).middleware()])
    app.router.add_post("/{anything}", tell)
    sent = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        async with session.post(server.make_url("/x"), headers=sent, data=b"body") as response:
            assert await response.json() == [*seen, "body"]
        sent["X-Forwarded-Proto"] = "gopher"
        async with session.post(server.make_url("/x"), headers=sent) as response:
            assert (await response.json())[1] == "http"


async def guess(server: Running, address: str) -> int:
    async with (
        aiohttp.ClientSession(server.url) as http,
        http.get(f"/register/hskey-authreq-{0:024x}", headers={"X-Forwarded-For": address}) as response,
    ):
        return response.status


async def test_limits_are_the_clients_and_not_the_proxys(tmp_path: Path) -> None:
    async with running_server(tmp_path, more=f"{TRUSTING}\nrate_limits: {{address_burst: 2}}") as server:
        assert [await guess(server, "192.0.2.7") for _ in range(3)] == [404, 404, 429]
        assert await guess(server, "192.0.2.8") == 404


async def test_a_stranger_does_not_escape_the_limits(tmp_path: Path) -> None:
    async with running_server(tmp_path, more="rate_limits: {address_burst: 2}") as server:
        assert [await guess(server, f"192.0.2.{number}") for number in range(3)] == [404, 404, 429]


@pytest.mark.parametrize(("more", "source"), [(TRUSTING, "192.0.2.7"), ("", "127.0.0.1")])
async def test_the_audit_log_says_where_a_machine_joined_from(tmp_path: Path, more: str, source: str) -> None:
    async with running_server(tmp_path, more=more) as server:
        key = await server.auth_key()
        client = FakeTailscaled(server.url, hostname="web")
        client.headers = "X-Forwarded-For: 198.51.100.1, 192.0.2.7\r\n"
        await client.connect()
        await client.register(key)
        await client.close()
        entries = await server.call("GET", "/api/v1/audit?action=node.register")
        assert entries["entries"][0]["source"] == source  # type: ignore[index]
