"""A user's API key acts as that user on /api/v1/access, and as nobody else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import Running, running_server

POLICY = """{
  "groups": {"group:ops": ["ada@", "mallory@"], "group:leads": ["bob@"]},
  "tagOwners": {"tag:mgmt": []},
  "acls": [],
  "access": {"profiles": {
    "mgmt": {"src": ["group:ops"], "dst": ["tag:mgmt:22"], "approvers": ["group:leads"],
             "breakGlass": ["ada@"], "maxDuration": "4h"},
    "other": {"src": ["carol@"], "dst": ["tag:mgmt:443"], "approvers": ["carol@"]},
  }},
}"""


@dataclass
class People:
    """A server, and everybody's API key by name; "" is a key of nobody."""

    server: Running
    keys: dict[str, str]

    async def ask(self, who: str, method: str, path: str, **body: object) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.keys[who]}"}
        async with (
            aiohttp.ClientSession(self.server.url, headers=headers) as session,
            session.request(method, f"/api/v1/access/{path}", json=body or None) as response,
        ):
            return response.status, json.loads(await response.text())

    async def asked(self, who: str, **body: object) -> str:
        status, answer = await self.ask(who, "POST", "requests", profile="mgmt", reason="disk", **body)
        assert status == 200, answer
        return str(answer["request"]["id"])

    async def ids(self, who: str) -> list[str]:
        status, answer = await self.ask(who, "GET", "requests")
        assert status == 200, answer
        return [each["id"] for each in answer["requests"]]


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[People]:
    async with running_server(tmp_path, POLICY) as server:
        roles = {"ada": "member", "bob": "member", "carol": "member", "mallory": "admin", "dave": "auditor"}
        keys = {"": str((await server.call("POST", "/api/v1/apikey", json={}))["apiKey"])}
        for number, (name, role) in enumerate(roles.items(), 1):
            client = FakeTailscaled(server.url, hostname=f"{name}s")
            await client.connect()
            await client.register(await server.auth_key(name))
            await client.close()
            await server.call("POST", f"/api/v1/user/{number}/role", json={"role": role})
            keys[name] = str((await server.call("POST", "/api/v1/apikey", json={"user": name}))["apiKey"])
        yield People(server, keys)


async def test_a_key_acts_as_its_user(people: People) -> None:
    number = await people.asked("ada")
    status, answer = await people.ask("bob", "POST", f"requests/{number}/approve")
    assert (status, answer["request"]["state"], answer["request"]["user"]) == (200, "active", "ada")
    assert [each["by"] for each in answer["request"]["approvals"]] == ["bob"]
    status, answer = await people.ask("ada", "POST", f"requests/{number}/revoke")
    assert (status, answer["request"]["end_reason"]) == (200, "given back")


async def test_it_may_say_so_and_nothing_else(people: People) -> None:
    number = await people.asked("ada", user="ada", node="adas")
    for who, path, body in (
        ("ada", "requests", {"profile": "mgmt", "user": "mallory"}),
        ("ada", "requests", {"profile": "mgmt", "user": "nobody"}),
        ("ada", "requests", {"profile": "mgmt", "node": "bobs"}),
        ("mallory", "requests", {"profile": "mgmt", "user": "ada"}),
        ("ada", f"requests/{number}/approve", {}),
        ("ada", f"requests/{number}/approve", {"as": "bob"}),
        ("mallory", f"requests/{number}/approve", {}),
        ("mallory", f"requests/{number}/approve", {"as": "bob"}),
        ("mallory", f"requests/{number}/extend", {"as": "bob", "for": "1m"}),
        ("mallory", f"requests/{number}/revoke", {}),
    ):
        status, answer = await people.ask(who, "POST", path, **body)
        assert status == 403, (who, path, body, answer)
    status, answer = await people.ask("bob", "POST", f"requests/{number}/approve", **{"as": "bob"})
    assert (status, answer["request"]["state"]) == (200, "active")


async def test_each_sees_what_concerns_them(people: People) -> None:
    number = await people.asked("ada")
    for who in ("ada", "bob", "mallory", "dave", ""):
        assert await people.ids(who) == [number], who
    assert await people.ids("carol") == []
    for path in (f"requests/{number}", "requests/99"):
        status, answer = await people.ask("carol", "GET", path)
        assert (status, "does not exist" in answer["detail"]) == (404, True)
    assert (await people.ask("carol", "POST", f"requests/{number}/approve"))[0] == 404
    for who, names in (
        ("ada", ["mgmt"]),
        ("bob", ["mgmt"]),
        ("carol", ["other"]),
        ("dave", ["mgmt", "other"]),
    ):
        status, answer = await people.ask(who, "GET", "profiles")
        assert [each["name"] for each in answer["profiles"]] == names
    for who, wanted in (("ada", 403), ("dave", 200), ("", 200)):
        assert (await people.ask(who, "GET", "report"))[0] == wanted


async def test_incidents_need_a_role_and_are_for_others(people: People) -> None:
    incident = {"name": "fire", "profiles": ["mgmt"], "for": "1h"}
    for who, body in (
        ("ada", {"people": ["bob"]}),
        ("dave", {"people": ["bob"]}),
        ("mallory", {"people": ["bob", "mallory"]}),
        ("mallory", {"people": ["bob"], "commander": "ada"}),
    ):
        assert (await people.ask(who, "POST", "incidents", **incident, **body))[0] == 403, (who, body)
    assert (await people.ask("mallory", "POST", "incidents", **incident, people=["bob"]))[0] == 200
    assert (await people.ask("ada", "POST", "incidents/fire/close"))[0] == 403
    assert (await people.ask("mallory", "POST", "incidents/fire/close"))[0] == 200


async def test_break_glass_is_reviewed_by_an_approver_or_an_administrator(people: People) -> None:
    number = await people.asked("ada", breakGlass=True)
    assert (await people.ask("ada", "POST", f"requests/{number}/review"))[0] == 403
    assert (await people.ask("dave", "POST", f"requests/{number}/review"))[0] == 403
    assert (await people.ask("bob", "POST", f"requests/{number}/review", note="fine"))[0] == 200


async def test_a_key_of_nobody_names_the_person(people: People) -> None:
    number = await people.asked("", user="ada")
    status, answer = await people.ask("", "POST", f"requests/{number}/approve", **{"as": "ada"})
    assert (status, "somebody else" in answer["detail"]) == (403, True)
    assert (await people.ask("", "POST", f"requests/{number}/approve"))[0] == 200
