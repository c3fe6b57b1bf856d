"""The examples of plain WireGuard as code: the file applies as it stands, the playbook runs what exists."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from acl.reading import PROFILE_KEYS
from coordinator.wireguard.declared import read_declaration
from tests.support.wireguard_bench import ACTOR, wireguard_bench

CONFIG = Path(__file__).resolve().parents[2] / "config"


async def test_the_file_is_applied_and_then_there_is_nothing_to_do() -> None:
    text = (CONFIG / "wireguard.yaml").read_text()
    async with wireguard_bench() as bench:
        first = await bench.wireguard.apply.apply(text, dry_run=False, actor=ACTOR)
        assert [(each.verb, each.name) for each in first.changes] == [
            ("create", "cameras"),
            ("create", "dc1"),
            ("create", "printer"),
        ]
        again = await bench.wireguard.apply.apply(text, dry_run=False, actor=ACTOR)
        assert again.changes == []


async def test_what_is_commented_out_would_do_as_well() -> None:
    lines = (CONFIG / "wireguard.yaml").read_text().splitlines()
    head = next(number for number, line in enumerate(lines) if "- name: adas-phone" in line)
    text = "\n".join(
        line.replace("  # ", "  ", 1) if number >= head else line for number, line in enumerate(lines)
    )
    declaration = read_declaration(text)
    assert [item.name for item in declaration.peers] == ["printer", "adas-phone"]
    assert [item.body["maxDuration"] for item in declaration.profiles] == ["4h"]


def test_every_key_of_a_profile_is_shown() -> None:
    lines = (CONFIG / "wireguard.yaml").read_text().splitlines()
    end = lines.index("gateways:")
    text = "\n".join(
        line.replace("    # ", "    ", 1) if line.startswith("    # ") else line for line in lines[:end]
    )
    (item,) = read_declaration(text).profiles
    assert set(item.body) == set(PROFILE_KEYS) | {"approvers"}


def test_the_playbook_runs_commands_that_exist() -> None:
    plays = yaml.safe_load((CONFIG / "ansible" / "wireguard.yaml").read_text())
    commands = [
        task["ansible.builtin.command"]["argv"]
        for play in plays
        for task in play["tasks"]
        if task.get("ansible.builtin.command", {}).get("argv", [""])[0] == "coordinator"
    ]
    assert len(commands) == 3
    for command in commands:
        program, *words = command
        assert program == "coordinator"
        shown = subprocess.run(
            [sys.executable, "-m", "coordinator", *_names(words), "--help"], capture_output=True, text=True
        )
        assert shown.returncode == 0
        assert all(word in shown.stdout for word in words if word.startswith("--"))


def _names(words: list[str]) -> list[str]:
    """Of a command line the words that name the command."""
    return words[:3] if words[1] == "gateways" else words[:2]
