"""The listener inside the tailnet, with loopback in its place: nodes get addresses of 127.0.0.0/8."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.ports import free_port
from tests.support.server_in_process import Running, running_server

POLICY = """{
  "tagOwners": {"tag:mgmt": []},
  "acls": [],
  "access": {"profiles": {"mgmt": {"src": ["ada@"], "dst": ["tag:mgmt:22"], "approvers": ["bob@"]}}},
}"""
HOST = "127.0.0.200"
ADAS, BOBS, TAGGED, STRANGER = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.77"


@dataclass
class Inside:
    """A server with machines of ada, of bob and of a tag, in this order."""

    server: Running
    port: int

    async def ask(
        self, source: str, method: str, path: str, *, headers: dict[str, str] | None = None, **body: object
    ) -> tuple[int, dict[str, Any]]:
        connector = aiohttp.TCPConnector(local_addr=(source, 0))
        async with (
            aiohttp.ClientSession(f"http://{HOST}:{self.port}", connector=connector) as session,
            session.request(method, path, json=body or None, headers=headers) as response,
        ):
            assert response.headers["Referrer-Policy"] == "same-origin"
            if response.content_type == "text/html":
                return response.status, {"detail": await response.text()}
            return response.status, await response.json(content_type=None)

    async def send(
        self, source: str, path: str, form: dict[str, str], *, headers: dict[str, str] | None = None
    ) -> tuple[int, str]:
        """A form, and the page that its answer leads to."""
        connector = aiohttp.TCPConnector(local_addr=(source, 0))
        async with (
            aiohttp.ClientSession(f"http://{HOST}:{self.port}", connector=connector) as session,
            session.post(path, data=form, headers=headers) as response,
        ):
            return response.status, await response.text()


@pytest.fixture
async def inside(tmp_path: Path) -> AsyncIterator[Inside]:
    port = free_port()
    more = f"prefixes: {{v4: 127.0.0.0/8}}\naccess: {{tailnet_listen_addr: '{HOST}:{port}'}}"
    async with running_server(tmp_path, POLICY, more) as server:
        tagged = await server.call("POST", "/api/v1/preauthkey", json={"aclTags": ["tag:mgmt"]})
        for key in (
            await server.auth_key("ada"),
            await server.auth_key("bob"),
            str(tagged["preAuthKey"]["key"]),  # type: ignore[index]
        ):
            client = FakeTailscaled(server.url, hostname="machine")
            await client.connect()
            await client.register(key)
            await client.close()
        yield Inside(server, port)


async def test_the_address_is_the_person(inside: Inside) -> None:
    status, answer = await inside.ask(ADAS, "GET", "/api/v1/access/whoami")
    assert (status, answer) == (200, {"user": "ada", "node": {"id": "1", "name": "machine"}})
    status, answer = await inside.ask(ADAS, "POST", "/api/v1/access/requests", profile="mgmt")
    assert (status, answer["request"]["user"], answer["request"]["node"]) == (200, "ada", "1")
    path = "/api/v1/access/requests/1/approve"
    assert (await inside.ask(ADAS, "POST", path))[0] == 403
    assert (await inside.ask(ADAS, "POST", path, **{"as": "bob"}))[0] == 403
    status, answer = await inside.ask(BOBS, "POST", path)
    assert (status, answer["request"]["state"]) == (200, "active")
    entries = str(await inside.server.call("GET", "/api/v1/audit?action=access.approve"))
    assert BOBS in entries


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (STRANGER, "is no machine of this tailnet"),
        (TAGGED, "tag:mgmt, not to a person"),
        (HOST, "own machine"),
    ],
)
async def test_others_are_refused_clearly(inside: Inside, source: str, words: str) -> None:
    for path in ("/api/v1/access/requests", "/"):
        status, answer = await inside.ask(source, "GET", path)
        assert (status, words in answer["detail"]) == (403, True), answer


async def test_nobody_gets_the_links_of_others(inside: Inside) -> None:
    await inside.server.call("POST", "/api/v1/user/1/role", json={"role": "admin"})
    await inside.ask(ADAS, "POST", "/api/v1/access/requests", profile="mgmt")
    status, answer = await inside.ask(ADAS, "POST", "/api/v1/access/requests/1/links", user="bob")
    assert (status, "administrators only" in answer["detail"]) == (403, True)


async def test_what_is_said_of_the_address_does_not_count(inside: Inside) -> None:
    headers = {"X-Forwarded-For": ADAS, "Forwarded": f"for={ADAS}", "X-Real-IP": ADAS}
    assert (await inside.ask(STRANGER, "GET", "/api/v1/access/whoami", headers=headers))[0] == 403


async def test_a_suspended_user_and_a_machine_that_left(inside: Inside) -> None:
    await inside.server.call("POST", "/api/v1/user/1/suspend", json={})
    status, answer = await inside.ask(ADAS, "GET", "/api/v1/access/whoami")
    assert (status, "suspended" in answer["detail"]) == (403, True)
    await inside.server.call("DELETE", "/api/v1/node/2")
    assert (await inside.ask(BOBS, "GET", "/api/v1/access/whoami"))[0] == 403


async def test_nothing_but_access_is_served(inside: Inside) -> None:
    await inside.server.call("POST", "/api/v1/user/1/role", json={"role": "admin"})
    for path in ("/api/v1/node", "/api/v1/apikey", "/api/v1/user", "/key"):
        assert (await inside.ask(ADAS, "GET", path))[0] == 404, path
    assert (await inside.ask(ADAS, "GET", "/api/v1/access/report"))[0] == 200
    assert (await inside.ask(BOBS, "GET", "/api/v1/access/report"))[0] == 403


async def test_pages_of_other_sites_can_do_nothing(inside: Inside) -> None:
    own = f"http://{HOST}:{inside.port}"
    for headers, status in (
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://evil.example", "Host": "evil.example"}, 403),
        ({"Host": f"evil.example:{inside.port}", "Origin": f"http://evil.example:{inside.port}"}, 403),
        ({"Host": "["}, 403),
        ({"Origin": own}, 200),
        ({}, 200),
        ({"Host": "127.0.0.1"}, 200),
    ):
        done = await inside.ask(ADAS, "POST", "/api/v1/access/requests", headers=headers, profile="mgmt")
        assert done[0] == status, (headers, done)
    assert (await inside.ask(ADAS, "GET", "/api/v1/access/whoami", headers={"Host": "evil"}))[0] == 403


async def test_the_page_knows_who_comes(inside: Inside) -> None:
    status, answer = await inside.ask(ADAS, "GET", "/access")
    assert (status, "You are <b>ada</b>, at machine" in answer["detail"]) == (200, True)
    form = {"csrf": csrf_of(answer["detail"]), "profile": "mgmt", "node": "1", "reason": "disk"}
    status, answer = await inside.send(ADAS, "/access/ask", form)
    assert (status, "Your request is made." in answer) == (200, True)
    _, answer = await inside.ask(BOBS, "GET", "/access")
    own = {"csrf": csrf_of(answer["detail"])}
    assert (await inside.send(BOBS, "/access/requests/1/approve", form))[0] == 403
    assert (await inside.send(ADAS, "/access/requests/1/approve", form))[0] == 403
    evil = {"Origin": "https://evil.example"}
    assert (await inside.send(BOBS, "/access/requests/1/approve", own, headers=evil))[0] == 403
    status, answer = await inside.send(BOBS, "/access/requests/1/approve", own)
    assert (status, "Your approval counts." in answer) == (200, True)
    (entry,) = (await inside.server.call("GET", "/api/v1/audit?action=access.approve"))["entries"]  # type: ignore[misc]
    assert (entry["source"], entry["actor"]) == (BOBS, {"kind": "node", "name": "2"})
    assert (entry["after"]["acting_for"], entry["after"]["via"]) == ("bob", "page")
    assert entry["requestId"]
    assert (await inside.ask(TAGGED, "GET", "/access"))[0] == 403
    async with aiohttp.ClientSession() as session, session.get(f"{inside.server.url}/access") as outside:
        assert outside.status == 404, "without a login there is no page on the public listener"


def csrf_of(text: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', text)
    assert found is not None, text
    return found[1]
