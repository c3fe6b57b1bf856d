"""Rules with conditions as stock clients see them: check mode, postures, `via`, and relays of the policy."""

import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.clients import NEW, OLD
from tests.support.lab import Lab
from tests.support.server_process import ALLOW_ALL, Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually

NETWORK, BEHIND = "10.213.9.0/24", "10.213.9.1"
EVERYTHING = [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]
TAGS = {"tag:box": ["ada@"], "tag:left": ["ada@"], "tag:right": ["ada@"]}


@pytest.fixture(scope="module")
def members(lab: Lab, server: Server, ada_key: str) -> dict[str, StockClient]:
    """Clients of one user, of both versions."""
    found = {}
    for name, version in (("ada", NEW), ("old", OLD), ("left", NEW), ("right", OLD)):
        found[name] = lab.client(name, version=version)
        found[name].up(ada_key)
    return found


@pytest.fixture(autouse=True)
def start_from_allow_all(server: Server, members: dict[str, StockClient]) -> None:
    """Each test begins with everybody seeing everybody."""
    server.write_policy(ALLOW_ALL)
    for client in members.values():
        client.wait_peers(*(members.keys() - {client.name}))


@contextmanager
def login(source: StockClient, destination: str) -> Iterator[subprocess.Popen[str]]:
    """`tailscale ssh` in the background."""
    binary, socket = str(source.binaries.tailscale), f"--socket={source.folder / 's'}"
    process = source.spawn(binary, socket, "ssh", f"root@{destination}", "echo", "in")
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_link(process: subprocess.Popen[str]) -> str:
    """The link a waiting session prints."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        found = re.search(r"http\S+/auth/\S+", line)
        if found:
            return found[0]
    raise AssertionError(f"no link was printed:\n{seen}")


@pytest.mark.parametrize(("source", "destination"), [("ada", "old"), ("old", "ada")])
def test_an_ssh_session_is_confirmed_or_refused_by_a_person(
    server: Server, members: dict[str, StockClient], source: str, destination: str
) -> None:
    rule = {
        "action": "check",
        "src": ["autogroup:member"],
        "dst": ["autogroup:self"],
        "users": ["root", f"mark-{destination}"],
        "checkPeriod": "1m",
    }
    server.write_policy({"acls": EVERYTHING, "ssh": [rule]})
    # 1.80.3 crashes when its SSH policy changes while somebody logs in (tailssh isStillValid, a nil pointer).
    eventually(
        lambda: f"mark-{destination}" in members[destination].netmap_text(), "the policy at the destination"
    )
    members[destination].tailscale("set", "--ssh")
    eventually(
        lambda: members[source].peers()[destination].get("sshHostKeys"),
        "the host keys at the source",
        within=20,
    )
    with login(members[source], destination) as session:
        link = read_link(session)
        page = urllib.request.urlopen(link, timeout=5).read().decode()
        assert f"root@{destination}" in page
        server.cli("auth", "reject", "--auth-id", link.rpartition("/")[2])
        output, _ = session.communicate(timeout=20)
    assert session.returncode != 0
    assert "refused" in output

    with login(members[source], destination) as session:
        link = read_link(session)
        began = time.monotonic()
        server.cli("auth", "approve", "--auth-id", link.rpartition("/")[2])
        output, _ = session.communicate(timeout=20)
    assert "in" in output.split(), output
    assert time.monotonic() - began < 5

    # Within the check period nobody is asked again.
    again = members[source].tailscale("ssh", f"root@{destination}", "echo", "in", timeout=20)
    assert "in" in again.split()
    assert "/auth/" not in again
    members[destination].tailscale("set", "--ssh=false", "--accept-risk=lose-ssh")


def test_a_posture_opens_and_closes_as_attributes_change(
    server: Server, members: dict[str, StockClient], ada_key: str
) -> None:
    policy = {
        "tagOwners": TAGS,
        "postures": {
            "posture:new": ["node:tsVersion >= '1.100'"],
            "posture:managed": ["custom:managed == true"],
        },
        "acls": [
            {
                "action": "accept",
                "src": ["ada@"],
                "dst": ["tag:box:*"],
                "srcPosture": ["posture:new", "posture:managed"],
            }
        ],
    }
    server.write_policy(policy)
    eventually(lambda: "postures" in server.run("policy", "get").stdout, "the policy in force")
    box = members["left"]
    server.cli("nodes", "tag", "-i", server.node("left")["id"], "-t", "tag:box")
    try:
        box.wait_peers("ada")
        members["ada"].wait_peers("left")
        members["old"].wait_peers()
        old = str(server.node("old")["id"])
        server.cli("nodes", "attributes", "-i", old, "--set", "custom:managed=true")
        members["old"].wait_peers("left")
        box.wait_peers("ada", "old")
        server.cli("nodes", "attributes", "-i", old, "--unset", "custom:managed")
        members["old"].wait_peers()
        assert members["old"].node_key() not in box.netmap_text()
    finally:
        join_again(server, box, ada_key)


def join_again(server: Server, client: StockClient, key: str) -> None:
    """Make a tagged node its user's again: tags do not come off, so it has to be another node."""
    server.cli("nodes", "delete", "-i", str(server.node(client.name)["id"]), "--force")
    client.wait_state("NeedsLogin")
    client.up(key)


def routes_of(viewer: StockClient) -> dict[str, bool]:
    """Which router this client would send the network's traffic to."""
    return {name: NETWORK in (peer.get("AllowedIPs") or ()) for name, peer in viewer.peers().items()}


def test_via_says_through_which_router(server: Server, members: dict[str, StockClient], ada_key: str) -> None:
    def policy(router: str | None) -> dict[str, Any]:
        grant: dict[str, Any] = {"src": ["ada@"], "dst": [NETWORK], "ip": ["*"]}
        if router is not None:
            grant["via"] = [f"tag:{router}"]
        return {
            "tagOwners": TAGS,
            "autoApprovers": {"routes": {NETWORK: ["tag:left", "tag:right"]}},
            "grants": [grant],
        }

    server.write_policy(policy("left"))
    eventually(lambda: "via" in server.run("policy", "get").stdout, "the policy in force")
    for name in ("left", "right"):
        router = members[name]
        server.cli("nodes", "tag", "-i", server.node(name)["id"], "-t", f"tag:{name}")
        router.run("ip", "address", "add", f"{BEHIND}/32", "dev", "lo")
        router.tailscale("set", f"--advertise-routes={NETWORK}")
    try:
        for viewer in (members["ada"], members["old"]):
            viewer.tailscale("set", "--accept-routes=true")
            eventually(lambda viewer=viewer: routes_of(viewer) == {"left": True}, "the way through left")
            eventually(lambda viewer=viewer: viewer.answers_icmp(BEHIND), "an answer through left")
        server.write_policy(policy("right"))
        for viewer in (members["ada"], members["old"]):
            eventually(lambda viewer=viewer: routes_of(viewer) == {"right": True}, "the way through right")
            eventually(lambda viewer=viewer: viewer.answers_icmp(BEHIND), "an answer through right")
    finally:
        for name in ("left", "right"):
            members[name].tailscale("set", "--advertise-routes=")
            join_again(server, members[name], ada_key)
        for viewer in (members["ada"], members["old"]):
            viewer.tailscale("set", "--accept-routes=false")


def test_relays_of_the_policy_are_known_to_clients(server: Server, members: dict[str, StockClient]) -> None:
    region = {
        "RegionID": 907,
        "RegionCode": "extra",
        "RegionName": "Extra",
        "Nodes": [{"Name": "907a", "RegionID": 907, "HostName": "relay.invalid", "IPv4": "192.0.2.7"}],
    }

    def knows(client: StockClient) -> bool:
        return "relay.invalid" in client.tailscale("debug", "derp-map")

    server.write_policy({**ALLOW_ALL, "derpMap": {"Regions": {"907": region}}})
    for client in (members["ada"], members["old"]):
        eventually(lambda client=client: knows(client), "the region of the policy")
    server.write_policy(ALLOW_ALL)
    for client in (members["ada"], members["old"]):
        eventually(lambda client=client: not knows(client), "the region to be gone")
