"""The API on the public listener: a key opens it, a role limits it."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest

from coordinator.tailnet.rights import Right
from coordinator.web.api.bearer import needed_right, personal
from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import Running, running_server


async def ask(
    server: Running, key: str | None, method: str, path: str, **arguments: object
) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
    async with (
        aiohttp.ClientSession(server.url, headers=headers) as session,
        session.request(method, path, **arguments) as response,  # type: ignore[arg-type]
    ):
        return response.status, await response.text()


async def api_key(server: Running, **fields: object) -> str:
    return str((await server.call("POST", "/api/v1/apikey", json=fields))["apiKey"])


async def test_without_a_key_every_path_says_the_same(server: Running) -> None:
    wrong = "hskey-api-" + "0" * 12 + "-" + "0" * 64
    for key in (None, "", "x", wrong):
        for method, path in (("GET", "/api/v1/node"), ("GET", "/api/v1/none"), ("DELETE", "/api/v1/user/1")):
            assert await ask(server, key, method, path) == (401, "Unauthorized")


async def test_a_key_of_nobody_may_do_everything_and_is_named_in_the_audit_log(server: Running) -> None:
    key = await api_key(server)
    status, _ = await ask(server, key, "POST", "/api/v1/user", json={"name": "carol"})
    assert status == 200
    assert "carol" in (await ask(server, key, "GET", "/api/v1/user"))[1]
    entries = str(await server.call("GET", "/api/v1/audit?action=user.create"))
    assert f"api_key:{key[10:22]}" in entries or key[10:22] in entries
    assert "127.0.0.1" in entries
    assert (await ask(server, key, "GET", "/api/v1/none"))[0] == 401


@pytest.mark.parametrize(
    ("role", "reads", "writes"), [("member", 403, 403), ("auditor", 200, 403), ("admin", 200, 200)]
)
async def test_a_users_key_may_what_the_role_may(server: Running, role: str, reads: int, writes: int) -> None:
    await server.call("POST", "/api/v1/user", json={"name": "dave"})
    await server.call("POST", "/api/v1/user/1/role", json={"role": role})
    key = await api_key(server, user="dave")
    assert (await ask(server, key, "GET", "/api/v1/node"))[0] == reads
    status, text = await ask(server, key, "POST", "/api/v1/user", json={"name": "erin"})
    assert status == writes
    if writes == 403:
        assert "lacks the right users:write" in text


async def refusals(server: Running) -> list[tuple[object, ...]]:
    answer = await server.call("GET", "/api/v1/audit?action=api.refused")
    return [
        (
            f"{each['actor']['kind']}:{each['actor']['name']}", each["source"], each["after"]["method"],
            each["after"]["path"], each["reason"],
        )
        for each in answer["entries"]  # type: ignore[attr-defined]
    ]  # fmt: skip


async def test_what_is_refused_is_in_the_audit_log(server: Running) -> None:
    await server.call("POST", "/api/v1/user", json={"name": "dave"})
    await server.call("POST", "/api/v1/user/1/role", json={"role": "auditor"})
    key = await api_key(server, user="dave")
    guessed = key[:-1] + ("0" if key[-1] != "0" else "1")
    for used in (key, guessed, "x" * 500, "hskey-api-ä" + "0" * 11 + "-" + "0" * 64):
        await ask(server, used, "DELETE", "/api/v1/user/1?secret=1")
    await ask(server, "a.forged.token", "GET", "/api/v1/access/requests")
    # Who shows no key at all was looking for something else.
    await ask(server, None, "DELETE", "/api/v1/user/1")
    prefix = key[10:22]
    token, *keys = await refusals(server)
    assert token[:4] == ("api_key:unknown", "127.0.0.1", "GET", "/api/v1/access/requests")
    assert keys == [
        ("api_key:unknown", "127.0.0.1", "DELETE", "/api/v1/user/1", "wrong API key"),
        ("api_key:unknown", "127.0.0.1", "DELETE", "/api/v1/user/1", "wrong API key"),
        (f"api_key:{prefix}", "127.0.0.1", "DELETE", "/api/v1/user/1", "wrong API key"),
        (f"api_key:{prefix}", "127.0.0.1", "DELETE", "/api/v1/user/1",
         "the role auditor of this key's user lacks the right users:write"),
    ]  # fmt: skip
    assert key.rpartition("-")[2] not in str(await server.call("GET", "/api/v1/audit"))


async def test_a_good_key_is_not_turned_away_for_the_wrong_ones_of_others(tmp_path: Path) -> None:
    async with running_server(
        tmp_path, more="rate_limits: {address_burst: 3, address_per_minute: 1}"
    ) as server:
        key = await api_key(server)
        wrong = [(await ask(server, key[:-3] + "abc", "GET", "/api/v1/node"))[0] for _ in range(5)]
        assert wrong == [401, 401, 401, 429, 429]
        assert (await ask(server, key, "GET", "/api/v1/node"))[0] == 200
        # A signature costs more to look at than a hash, so that one is not even tried.
        assert (await ask(server, "a.forged.token", "GET", "/api/v1/access/requests"))[0] == 429


async def test_what_a_verb_itself_refuses_is_there_too(server: Running) -> None:
    await server.call("POST", "/api/v1/user", json={"name": "dave"})
    await server.call("POST", "/api/v1/user/1/role", json={"role": "it-admin"})
    key = await api_key(server, user="dave")
    status, _ = await ask(server, key, "POST", "/api/v1/user/1/role", json={"role": "owner"})
    assert status == 403
    ((actor, _, method, path, reason),) = await refusals(server)
    assert (actor, method, path) == (f"api_key:{key[10:22]}", "POST", "/api/v1/user/1/role")
    assert reason


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        ("GET", "/api/v1/node/1", "nodes:read"),
        ("DELETE", "/api/v1/node/1", "nodes:write"),
        ("POST", "/api/v1/policy/check", "policy:read"),
        ("PUT", "/api/v1/policy", "policy:write"),
        ("POST", "/api/v1/auth/approve", "nodes:write"),
        ("GET", "/api/v1/audit/verify", "audit:read"),
        ("GET", "/api/v1/health", None),
    ],
)
def test_rights_by_path(method: str, path: str, right: Right | None) -> None:
    assert needed_right(method, path) == right


async def test_a_machines_identity_token_counts_for_access_alone(server: Running) -> None:
    client = FakeTailscaled(server.url)
    await client.connect()
    await client.register(await server.auth_key("dave"))
    await server.call("POST", "/api/v1/user/1/role", json={"role": "admin"})
    tokens = []
    for audience in (server.url, "https://elsewhere.example"):
        body = {"CapVersion": 142, "NodeKey": client.node_key, "Audience": audience}
        _, _, answer = await client.request("POST", "/machine/id-token", json.dumps(body).encode())
        tokens.append(json.loads(answer)["id_token"])
    assert (await ask(server, tokens[0], "GET", "/api/v1/access/requests"))[0] == 200
    for path in ("/api/v1/node", "/api/v1/accessx", "/api/v1/apikey", "/api/v1/node/../access/requests/"):
        assert (await ask(server, tokens[0], "GET", path))[0] in (401, 404), path
    status, text = await ask(server, tokens[1], "GET", "/api/v1/access/requests")
    assert (status, "made out to somebody else" in text) == (401, True)
    await client.close()


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("/api/v1/access/profiles", True),
        ("/api/v1/access/requests", True),
        ("/api/v1/access/requests/12/approve", True),
        ("/api/v1/access/requests/12/links", False),
        ("/api/v1/access/report", False),
        ("/api/v1/access/incidents", False),
        ("/api/v1/policy", False),
    ],
)
def test_what_needs_no_role(path: str, own: bool) -> None:
    assert personal(path) is own
