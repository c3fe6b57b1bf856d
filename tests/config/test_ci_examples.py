"""The examples under config/ci do what they say, run by their own commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).resolve().parents[2] / "config" / "ci"
GOOD = """{
  "acls": [
    {"action": "accept", "src": ["alice@"], "dst": ["tag:web:22"], "proto": "tcp"},
  ],
  "tagOwners": {"tag:web": []},
  "tests": [
    {"src": "alice@", "accept": ["tag:web:22"]},
  ],
}
"""
NODES = {
    "users": [{"id": "1", "name": "alice", "email": ""}],
    "nodes": [
        {
            "id": "1",
            "givenName": "laptop",
            "tags": [],
            "ipAddresses": ["100.64.0.1"],
            "user": {"id": "1"},
        },
        {"id": "2", "givenName": "web", "tags": ["tag:web"], "ipAddresses": ["100.64.0.2"], "user": None},
    ],
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A policy repository with one commit on `main`, known as origin/main too."""
    (tmp_path / "acls.hujson").write_text(GOOD)
    (tmp_path / "nodes.json").write_text(json.dumps(NODES))
    for command in (
        ["init", "-q", "-b", "main"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "first"],
        ["update-ref", "refs/remotes/origin/main", "HEAD"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def run(script: str, repository: Path) -> subprocess.CompletedProcess[str]:
    """A shell script with this checkout's programs on PATH."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-ec", script],
        cwd=repository,
        env={**os.environ, "PATH": path, "GITHUB_BASE_REF": "main"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_hook_lets_a_good_policy_pass_and_nothing_else(repository: Path) -> None:
    hook = (EXAMPLES / "pre-commit").read_text()
    done = run(hook, repository)
    assert done.returncode == 0, done.stderr
    assert "1 test(s) passed" in done.stdout
    policy = repository / "acls.hujson"
    for broken in (
        GOOD.replace("accept", "acept", 1),
        GOOD.replace("  ", " "),
        GOOD.replace(":22", ":23", 1),
    ):
        policy.write_text(broken)
        assert run(hook, repository).returncode == 1


def steps() -> dict[str, str]:
    """The workflow's own commands by name, without the installation."""
    workflow = yaml.safe_load((EXAMPLES / "policy.yaml").read_text())
    found = {step["name"]: step["run"] for step in workflow["jobs"]["review"]["steps"] if "run" in step}
    assert found.pop("install").startswith("pip install coordinator")
    return found


def test_the_workflow_passes_and_says_what_opens(repository: Path) -> None:
    policy = repository / "acls.hujson"
    policy.write_text(GOOD.replace("tag:web:22", "tag:web:22,80", 1))
    results = {name: run(script, repository) for name, script in steps().items()}
    assert [name for name, done in results.items() if done.returncode] == []
    assert "+ laptop -> web: tcp:80" in results["what opens, what closes"].stdout


def test_the_workflow_annotates_what_is_wrong(repository: Path) -> None:
    (repository / "acls.hujson").write_text(GOOD.replace('"action": "accept"', '"action": "deny"'))
    done = run(steps()["check"], repository)
    assert done.returncode == 1
    assert "::error file=acls.hujson,line=3," in done.stdout
