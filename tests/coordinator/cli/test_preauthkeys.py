"""`preauthkeys`."""

from __future__ import annotations

import json

from tests.coordinator.cli.conftest import CommandLine


async def test_the_life_of_a_key(cli: CommandLine) -> None:
    await cli.ok("users", "create", "ci")
    text = (await cli.ok("preauthkeys", "create", "--user", "1")).strip()
    assert text.startswith("hskey-auth-")
    assert "\n" not in text
    key = await cli.json(
        "preauthkeys", "create", "--user", "ci", "--ephemeral", "--expiration", "1h", "--reusable"
    )
    assert key["ephemeral"] and key["reusable"]
    tagged = await cli.json("authkey", "new", "--tags", "tag:ci,tag:production", "--tags", "tag:ci")
    assert tagged["aclTags"] == ["tag:ci", "tag:production"]
    shown = await cli.ok("preauthkeys", "list", "--user", "ci")
    assert text not in shown
    assert text[:23] in shown
    await cli.ok("preauthkeys", "expire", "--user", "ci", text)
    await cli.ok("preauthkeys", "revoke", "-i", "2")
    await cli.ok("preauthkeys", "delete", "--id", "1")
    assert len(await cli.json("preauthkeys", "list")) == 2


async def test_what_a_key_for_ci_says_of_itself(cli: CommandLine) -> None:
    await cli.ok(
        "preauthkeys", "create", "--tags", "tag:ci", "--ephemeral", "--max-uses", "5", "--pre-approved",
        "--description", "nightly build",
    )  # fmt: skip
    (key,) = await cli.json("preauthkeys", "list")
    assert (key["maxUses"], key["uses"], key["lastUsed"], key["preApproved"]) == (5, 0, None, True)
    shown = await cli.ok("preauthkeys", "list")
    for text in ("nightly build", "0/5", "never"):
        assert text in shown
    assert "not reusable" in await cli.refused(
        "preauthkeys", "create", "--tags", "tag:ci", "--max-uses", "1", "--reusable"
    )


async def test_json_line_is_one_line(cli: CommandLine) -> None:
    await cli.ok("users", "create", "ci")
    line = await cli.ok("-o", "json-line", "preauthkeys", "create", "--user", "ci")
    assert line.count("\n") == 1
    assert json.loads(line)["key"].startswith("hskey-auth-")
    assert "key: hskey-auth-" in await cli.ok("preauthkeys", "create", "-u", "ci", "-o", "yaml")


async def test_mistakes(cli: CommandLine) -> None:
    assert "is not a duration" in await cli.refused("preauthkeys", "create", "--tags", "tag:ci", "-e", "soon")
    assert "needs a user or tags" in await cli.refused("preauthkeys", "create")
    assert "say which key" in await cli.refused("preauthkeys", "expire")
    assert "no such pre-auth key" in await cli.refused("preauthkeys", "expire", "hskey-auth-000000000000-x")
    assert "unknown output format" in await cli.refused("preauthkeys", "list", "-o", "xml")
