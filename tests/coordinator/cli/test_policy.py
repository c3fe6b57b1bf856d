"""`policy`."""

from __future__ import annotations

from pathlib import Path

from tests.coordinator.cli.conftest import POLICY, CommandLine


async def test_get_prints_the_text_itself(cli: CommandLine) -> None:
    assert await cli.ok("policy", "get") == POLICY


async def test_check_underlines_every_problem(cli: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "p.hujson"
    path.write_text(
        '{\n  "acls": [\n    {"action": "deny", "src": ["tag:x"], "dst": ["*:*"]},\n  ],\n  "grups": {},\n}\n'
    )
    shown = await cli.refused("policy", "check", str(path))
    assert f"{path}:3:16" in shown
    assert "^^^^^^" in shown
    assert "tag:x" in shown
    assert ":5:" in shown
    path.write_text(POLICY)
    assert "Policy is valid" in await cli.ok("policy", "check", "--file", str(path))


async def test_set_needs_database_mode(cli: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "p.hujson"
    path.write_text(POLICY)
    assert "policy.path" in await cli.refused("policy", "set", "-f", str(path))
    path.write_text("{")
    assert ":1:" in await cli.refused("policy", "set", "-f", str(path))
    assert "cannot read" in await cli.refused("policy", "set", "-f", str(tmp_path / "none"))
    assert "say which file" in await cli.refused("policy", "check")
