"""Snapshots of a tailnet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from coordinator.cli.output import CommandError
from coordinator.cli.policy_facts import load_tailnet

USER = {"id": "1", "name": "alice", "email": "alice@example.com"}
NODE = {
    "id": "7",
    "givenName": "web",
    "tags": [],
    "ipAddresses": ["100.64.0.7", "fd7a:115c:a1e0::7"],
    "approvedRoutes": ["10.0.0.0/24"],
    "availableRoutes": ["10.0.0.0/24", "10.1.0.0/24"],
    "user": USER,
}


@pytest.mark.parametrize("document", [{"users": [USER], "nodes": [NODE]}, [NODE]])
def test_a_snapshot_and_a_plain_list_are_read(tmp_path: Path, document: object) -> None:
    path = tmp_path / "nodes.json"
    path.write_text(json.dumps(document))
    tailnet = load_tailnet(path, server=False)
    (node,) = tailnet.nodes
    assert (node.name, node.user_id, str(node.ipv4)) == ("web", 1, "100.64.0.7")
    assert tailnet.advertised == {7: ["10.0.0.0/24", "10.1.0.0/24"]}
    assert tailnet.facts.users[0].login == "alice@example.com"


def test_a_snapshot_holds_declared_profiles(tmp_path: Path) -> None:
    path = tmp_path / "nodes.json"
    profile = {"src": ["ada@"], "dst": ["10.1.2.3:22"]}
    path.write_text(json.dumps({"users": [], "nodes": [], "profiles": {"db": profile}}))
    (declared,) = load_tailnet(path, server=False).declared
    assert (declared.name.text, declared.declared) == ("db", True)
    path.write_text(json.dumps({"users": [], "nodes": [], "profiles": {"db": {"later": 1}}}))
    with pytest.raises(CommandError, match=r"nodes\.json has a profile that cannot be read"):
        load_tailnet(path, server=False)


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"users": [], "nodes": [{"id": "x"}]}'])
def test_what_is_no_snapshot_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "nodes.json"
    path.write_text(text)
    with pytest.raises(CommandError, match=r"nodes\.json"):
        load_tailnet(path, server=False)


def test_peers_and_what_is_open_for_them(tmp_path: Path) -> None:
    path = tmp_path / "nodes.json"
    peers = [
        {"name": "phone", "addresses": ["10.93.0.2"], "profile": "db", "tailnet": True},
        {"name": "old", "addresses": ["10.93.0.3"]},
        {"name": "alone", "addresses": ["10.90.0.2"], "profile": "db", "tailnet": False},
    ]
    path.write_text(json.dumps({"users": [USER], "nodes": [], "peers": peers}))
    tailnet = load_tailnet(path, server=False)
    assert tailnet.facts.peers == {"phone": ["10.93.0.2"], "old": ["10.93.0.3"]}
    assert tailnet.facts.peer_profiles == {"phone": "db"}
    assert tailnet.outside["alone"].peers == {"alone": ["10.90.0.2"]}
    assert tailnet.outside["alone"].peer_profiles == {"alone": "db"}
