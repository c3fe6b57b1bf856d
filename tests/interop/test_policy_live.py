"""A changed policy reaches running clients at once, and a client never holds a key it may not see."""

import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop.traffic import echo_server, tcp_echo, tcp_is_blocked
from tests.support.clients import NEW, OLD, VERSIONS
from tests.support.lab import Lab
from tests.support.server_process import ALLOW_ALL, Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually, holds

# The promise is 300 ms; one change in five may be late on a busy machine, none by much.
PROMISED_S = 0.3
NEVER_OVER_S = 2.0

NOBODY: dict[str, Any] = {"acls": []}
# The mistake is in line 4.
BROKEN = """{
  "acls": [
    {"action": "accept", "src": ["*"], "dst": ["*:*"]},
    {"action": "perhaps"}
  ]
}
"""


def accept(src: str, dst: str) -> dict[str, Any]:
    """A policy with one rule."""
    return {"acls": [{"action": "accept", "src": [src], "dst": [dst]}]}


@pytest.fixture(scope="module")
def members(lab: Lab, server: Server, ada_key: str, bob_key: str) -> dict[str, StockClient]:
    """ada on a new and an old client, bob on a new and an old one."""
    found = {}
    for name, version, key in (
        ("ada-new", NEW, ada_key),
        ("ada-old", OLD, ada_key),
        ("bob-new", NEW, bob_key),
        ("bob-old", OLD, bob_key),
    ):
        found[name] = lab.client(name, version=version)
        found[name].up(key)
    return found


@pytest.fixture(autouse=True)
def start_from_allow_all(server: Server, members: dict[str, StockClient]) -> None:
    """Each test begins with everybody seeing everybody."""
    server.write_policy(ALLOW_ALL)
    for client in members.values():
        client.wait_peers(*(members.keys() - {client.name}))


def measure(clients: list[StockClient], change: Callable[[bool], None], peers: set[str]) -> list[float]:
    """Take all peers away and give them back three times; seconds until all `clients` show it."""
    took = []
    for _ in range(3):
        for allowed in (False, True):
            start = time.monotonic()
            change(allowed)
            for client in clients:
                client.wait_peers(*(peers - {client.name} if allowed else ()), every=0.01)
            took.append(time.monotonic() - start)
    return took


def check_latency(took: list[float]) -> None:
    assert statistics.median(took) <= PROMISED_S, took
    assert max(took) <= NEVER_OVER_S, took


def test_a_changed_policy_file_adds_and_removes_peers(
    server: Server, members: dict[str, StockClient]
) -> None:
    took = measure(
        list(members.values()),
        lambda allowed: server.write_policy(ALLOW_ALL if allowed else NOBODY),
        set(members),
    )
    check_latency(took)


def test_a_policy_in_the_database_adds_and_removes_peers(lab: Lab, tmp_path: Path) -> None:
    server = lab.server(policy_mode="database")
    server.create_user("ada")
    key = server.create_key("ada", reusable=True)["key"]
    pair = [
        lab.client(f"db-{version.replace('.', '-')}", version=version, server=server) for version in VERSIONS
    ]
    lab.join(key, *pair)
    for client, peer in (pair, reversed(pair)):
        client.wait_peers(peer.name)
    files = {True: tmp_path / "all.hujson", False: tmp_path / "nobody.hujson"}
    files[True].write_text('{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]} // all')
    files[False].write_text('{"acls": []}')
    commands: list[float] = []

    def change(allowed: bool) -> None:
        start = time.monotonic()
        server.cli("policy", "set", "-f", str(files[allowed]))
        commands.append(time.monotonic() - start)

    took = measure(pair, change, {client.name for client in pair})
    # The clients' clock starts when the command has ended.
    check_latency([total - command for total, command in zip(took, commands, strict=True)])

    broken = tmp_path / "broken.hujson"
    broken.write_text(BROKEN)
    refused = server.run("policy", "set", "-f", str(broken))
    assert refused.returncode == 1
    assert "4:" in refused.stderr, refused.stderr
    assert "// all" in server.run("policy", "get").stdout
    for client, peer in (pair, reversed(pair)):
        assert set(client.peers()) == {peer.name}


@pytest.mark.parametrize("suffix", ["new", "old"])
def test_nothing_of_a_denied_peer_is_in_the_netmap(
    server: Server, members: dict[str, StockClient], suffix: str
) -> None:
    viewer = members[f"ada-{suffix}"]
    hidden = [members["bob-new"], members["bob-old"]]
    nodes = {node["name"]: node for node in server.nodes()}
    secrets = {
        text
        for client in hidden
        for text in (
            client.node_key().removeprefix("nodekey:"),
            nodes[client.name]["discoKey"].removeprefix("discokey:"),
            nodes[client.name]["machineKey"].removeprefix("mkey:"),
            client.name,
            *client.addresses(),
        )
    }
    disco = {nodes[client.name]["discoKey"].removeprefix("discokey:") for client in hidden}
    before = viewer.netmap_text()
    assert all(key in before for key in disco), "the check would see the keys if they were there"

    server.write_policy(accept("ada@", "ada@:*"))
    viewer.wait_peers("ada-old" if suffix == "new" else "ada-new")
    after = viewer.netmap_text()
    assert {text for text in secrets if text in after} == set()

    # And not after a new session with a full map either.
    viewer.stop()
    viewer.start()
    viewer.wait_state("Running")
    viewer.wait_peers("ada-old" if suffix == "new" else "ada-new")
    restarted = viewer.netmap_text()
    assert {text for text in secrets if text in restarted} == set()


@pytest.mark.parametrize("target", ["bob-new", "bob-old"])
def test_ports_of_a_rule_are_enforced(server: Server, members: dict[str, StockClient], target: str) -> None:
    a, b = members["ada-new"], members[target]
    with echo_server(b, 9000), echo_server(b, 9001):
        tcp_echo(a, b.ipv4, port=9001)
        server.write_policy(accept("ada@", "bob@:9000"))
        eventually(lambda: tcp_is_blocked(a, b.ipv4, port=9001), "port 9001 to be closed", within=5)
        tcp_echo(a, b.ipv4, port=9000)
        # Seen from both ends, because an answer needs the peer; allowed in one direction only.
        assert target in a.peers()
        assert "ada-new" in b.peers()
        with echo_server(a, 9000):
            assert tcp_is_blocked(b, a.ipv4, port=9000)


def test_a_broken_policy_file_changes_nothing(server: Server, members: dict[str, StockClient]) -> None:
    viewer = members["ada-new"]
    server.write_policy(accept("ada@", "ada@:*"))
    viewer.wait_peers("ada-old")
    known = len(server.log_text())
    server.write_policy(BROKEN)
    server.hang_up()

    def complaint() -> list[str]:
        return [line for line in server.log_text()[known:].splitlines() if re.search(r"polic", line, re.I)]

    eventually(
        lambda: any("4" in line for line in complaint()), "a log line with line 4 of the policy", within=5
    )
    holds(lambda: set(viewer.peers()) == {"ada-old"}, "the old policy", seconds=0.5)
    checked = server.run("policy", "check", "-f", str(server.policy_path))
    assert checked.returncode == 1
    assert "4:" in checked.stdout + checked.stderr

    server.write_policy(ALLOW_ALL)
    viewer.wait_peers(*(members.keys() - {viewer.name}))


def test_sighup_reads_the_policy_file_again(server: Server, members: dict[str, StockClient]) -> None:
    viewer = members["bob-old"]
    server.write_policy(accept("bob@", "bob@:*"))
    server.hang_up()
    viewer.wait_peers("bob-new")
    assert server.running


def test_a_running_tcp_stream_ends_when_its_peer_is_taken_away(
    server: Server, members: dict[str, StockClient]
) -> None:
    a, b = members["ada-new"], members["bob-new"]
    with echo_server(b):
        tcp_echo(a, b.ipv4)
        server.write_policy(NOBODY)
        a.wait_peers()
        assert tcp_is_blocked(a, b.ipv4)
        assert not a.answers_icmp(b.ipv4)
        server.write_policy(ALLOW_ALL)
        a.wait_peers(*(members.keys() - {a.name}))
        b.wait_peers(*(members.keys() - {b.name}))
        tcp_echo(a, b.ipv4)
