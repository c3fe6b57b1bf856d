"""The CI job of config/ci/join.yaml, run by its own commands with stock clients."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.interop.conftest import NewClient
from tests.support.clients import VERSIONS
from tests.support.lab import Lab
from tests.support.server_process import ALLOW_ALL, Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually

WORKFLOW = Path(__file__).resolve().parents[2] / "config" / "ci" / "join.yaml"


@pytest.fixture(scope="module")
def server(lab: Lab) -> Server:
    """New devices wait, so that the key has to be pre-approved; the policy knows the tag."""
    started = lab.server(
        policy=ALLOW_ALL | {"tagOwners": {"tag:ci": []}}, overrides={"node": {"approval_required": True}}
    )
    started.create_user("ada")
    return started


@pytest.fixture(scope="module")
def target(lab: Lab, server: Server) -> StockClient:
    """Where the work goes."""
    client = lab.client("target")
    client.up(server.cli("preauthkeys", "create", "--user", "ada", "--pre-approved")["key"])
    client.wait_state("Running")
    return client


def steps() -> dict[str, dict[str, Any]]:
    """The job's steps by name."""
    return {step["name"]: step for step in yaml.safe_load(WORKFLOW.read_text())["jobs"]["work"]["steps"]}


def run_job(client: StockClient, environment: dict[str, str]) -> dict[str, int]:
    """As a runner does: after a failure only steps with `if: always()`; returns the exit codes."""
    programs = client.folder / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (programs / "tailscale").write_text(
        f'#!/bin/sh\nexec {client.binaries.tailscale} --socket={client.folder / "s"} "$@"\n'
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    assigned = [f"{name}={value}" for name, value in environment.items()]
    codes: dict[str, int] = {}
    for name, step in steps().items():
        if name == "install" or (any(codes.values()) and step.get("if") != "always()"):
            continue
        script = f'export PATH="{programs}:$PATH"\n' + step["run"]
        codes[name] = client.run("env", *assigned, "sh", "-ec", script, timeout=90).returncode
    return codes


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("failing", [False, True], ids=["work-done", "work-failed"])
def test_the_job_joins_and_leaves_even_when_its_work_fails(
    server: Server, target: StockClient, new_client: NewClient, version: str, failing: bool
) -> None:
    created = server.cli(
        "preauthkeys", "create", "--tags", "tag:ci", "--reusable", "--ephemeral", "--pre-approved",
        "--description", "CI",
    )  # fmt: skip
    client = new_client("runner", version=version)
    codes = run_job(
        client,
        {
            "COORDINATOR_URL": server.url,
            "COORDINATOR_KEY": created["key"],
            "GITHUB_RUN_ID": client.name,
            "TARGET": "100.64.9.9" if failing else target.ipv4,
        },
    )
    assert (codes["join"], codes["leave"]) == (0, 0), codes
    assert bool(codes["work"]) is failing
    eventually(lambda: all(not node["tags"] for node in server.nodes()), "the node to be gone", within=2)
    (key,) = [key for key in server.cli("preauthkeys", "list") if key["id"] == created["id"]]
    assert key["uses"] == 1
