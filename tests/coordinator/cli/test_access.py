"""`access` from end to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.coordinator.cli.conftest import CommandLine
from tests.support.fake_tailscaled import FakeTailscaled
from tests.support.server_in_process import running_server

POLICY = """{
  "groups": {"group:ops": ["alice@"], "group:leads": ["bob@"]},
  "tagOwners": {"tag:mgmt": []},
  "acls": [],
  "access": {"profiles": {"mgmt": {
    "src": ["group:ops"], "dst": ["tag:mgmt:22"], "approvers": ["group:leads"], "breakGlass": ["alice@"],
    "defaultDuration": "90m", "maxDuration": "4h", "reason": "required",
  }, "ci": {"src": ["group:ops"], "dst": ["tag:mgmt:22"], "mint": {"tags": ["tag:mgmt"]}}}},
}"""


@pytest.fixture
async def cli(tmp_path: Path) -> AsyncIterator[CommandLine]:
    async with running_server(tmp_path, POLICY) as server:
        client = FakeTailscaled(server.url, hostname="laptop")
        await client.connect()
        await client.register(await server.auth_key("alice"))
        await client.close()
        await server.call("POST", "/api/v1/user", json={"name": "bob"})
        yield CommandLine(server)


async def test_a_request_from_question_to_report(cli: CommandLine) -> None:
    profile, _ = await cli.json("access", "profiles")
    assert (profile["name"], profile["approvals"], profile["max_duration_seconds"]) == ("mgmt", 1, 14400)
    assert "group:leads" in await cli.ok("access", "profiles")
    asked = await cli.json("access", "request", "mgmt", "--for", "2h", "--reason", "disk", "--node", "laptop")
    assert (asked["state"], asked["user"], asked["node"], asked["opens_at"]) == (
        "requested", "alice", "1", None
    )  # fmt: skip
    refused = await cli.refused("access", "approve", asked["id"], "--as", "alice")
    assert "somebody else has to decide" in refused
    (links,) = await cli.json("access", "links", asked["id"], "--for", "bob")
    assert links["user"] == "bob"
    assert f"  approve: {links['approve']}\n  deny:    {links['deny']}" in await cli.ok(
        "access", "links", asked["id"]
    )
    approved = await cli.json("access", "approve", asked["id"], "--as", "bob")
    assert approved["state"] == "active"
    assert [each["by"] for each in approved["approvals"]] == ["bob"]
    assert approved["closes_at"] > approved["opens_at"]
    assert (await cli.json("access", "extend", asked["id"], "--for", "30m"))["closes_at"] > approved[
        "closes_at"
    ]
    assert [each["id"] for each in await cli.json("access", "list", "--state", "active")] == [asked["id"]]
    assert "is active" in await cli.ok("access", "show", asked["id"])
    ended = await cli.json("access", "revoke", asked["id"], "--as", "bob")
    assert (ended["state"], ended["end_reason"]) == ("ended", "revoked")
    figures = await cli.json("access", "report", "--since", "1d")
    assert (figures["opened"], figures["manual_exceptions"], figures["host_scoped_ratio"]) == (1, 1, 1.0)
    assert "time_to_open_seconds.p95" in await cli.ok("access", "report")
    entries = await cli.json("audit", "list", "--action", "access.approve")
    assert "bob" in str(entries)


async def test_denied_broken_and_reviewed(cli: CommandLine) -> None:
    asked = await cli.json("access", "request", "mgmt", "--user", "alice", "--reason", "x")
    assert (await cli.json("access", "deny", asked["id"], "--as", "bob"))["state"] == "denied"
    glass = await cli.json("access", "request", "mgmt", "-u", "alice", "--reason", "fire", "--break-glass")
    assert (glass["state"], glass["break_glass"]) == ("active", True)
    assert (await cli.json("access", "review", glass["id"], "--as", "bob"))["reviewed_by"] == "bob"


async def test_a_machine_from_outside_gets_a_key_once(cli: CommandLine) -> None:
    asked = await cli.json("access", "request", "ci", "--mint", "-u", "alice")
    assert (asked["state"], asked["mint"], asked["node"]) == ("active", ["tag:mgmt"], None)
    assert asked["key"].startswith("hskey-auth-")
    shown = await cli.json("access", "show", asked["id"])
    assert shown["key_id"]
    assert asked["key"] not in str(shown)
    assert "shown once" in await cli.refused("access", "key", asked["id"])
    outsider = FakeTailscaled(cli.server.url, hostname="outsider")
    await outsider.connect()
    await outsider.register(asked["key"])
    (node,) = [each for each in await cli.json("nodes", "list") if each["name"] == "outsider"]
    assert (node["ephemeral"], node["tags"]) == (True, ["tag:mgmt"])
    await cli.ok("access", "revoke", asked["id"])
    async with asyncio.timeout(5):
        while "outsider" in await cli.ok("nodes", "list"):
            await asyncio.sleep(0.1)
    await outsider.close()


async def test_an_approved_request_shows_its_key_to_the_asker(cli: CommandLine) -> None:
    assert "no `mint`" in await cli.refused(
        "access", "request", "mgmt", "--mint", "-u", "alice", "--reason", "x"
    )
    asked = await cli.json("access", "request", "mgmt", "-u", "alice", "--reason", "x")
    assert "it has no key" in await cli.refused("access", "key", asked["id"], "--as", "alice")
    minted = await cli.json("access", "request", "ci", "--mint", "-u", "alice")
    assert "only who asked" in await cli.refused("access", "key", minted["id"], "--as", "bob")
    assert "one from outside" in await cli.refused(
        "access", "request", "ci", "--mint", "-u", "alice", "--node", "laptop"
    )
    text = await cli.ok("access", "request", "ci", "--mint", "-u", "alice")
    assert "joins as tag:mgmt" in text
    assert "hskey-auth-" in text


async def test_incidents(cli: CommandLine) -> None:
    arguments = ["--profile", "mgmt", "--for", "4h", "--people", "alice", "--commander", "bob"]
    (opened,) = await cli.json("access", "incident", "open", "fire in rack 7", *arguments)
    assert (opened["state"], opened["incident"]) == ("active", "fire in rack 7")
    closed = await cli.json("access", "incident", "close", "fire in rack 7")
    assert closed["requests"][0]["end_reason"] == "incident closed"
    assert closed["report"]["opened"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["request", "mgnt", "-u", "alice", "--reason", "x"], "did you mean `mgmt`"),
        (["request", "mgmt", "-u", "alice"], "needs a reason"),
        (["request", "mgmt", "-u", "nobody", "--reason", "x"], "nobody"),
        (["request", "mgmt", "--reason", "x"], "say which user"),
        (["request", "mgmt", "-u", "alice", "--reason", "x", "--for", "soon"], "not a duration"),
        (["request", "mgmt", "-u", "alice", "--reason", "x", "--node", "none"], "does not exist"),
        (["approve", "99"], "does not exist"),
        (["report", "--since", "ever"], "not a duration"),
        (["incident", "close", "none"], "no incident"),
    ],
)
async def test_mistakes_say_what_to_do(cli: CommandLine, arguments: list[str], words: str) -> None:
    assert words in await cli.refused("access", *arguments)
