"""Secrets of plain WireGuard: handed out once, and in no file, log, list, audit entry or metric afterwards.

A server as its users run it, with the most talkative log, through the whole life of peers; then everything it
wrote is searched for every secret it gave out.
"""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coordinator.wireguard.wire import REPORT_PATH, WISH_PATH
from tests.support.ports import free_port
from tests.support.server_process import Ports, Server
from tests.support.waiting import eventually
from tests.support.wireguard_records import public_key

POLICY = {
    "acls": [],
    "access": {"profiles": {"db": {"src": ["ada@"], "dst": ["10.1.2.3:5432"], "maxDuration": "8h"}}},
}
DECLARED = f"""\
peers:
  - name: camera
    publicKey: {public_key("camera")}
    gateway: gw
    service: camera
    permanent: true
    reason: cannot ask
    presharedKey: true
"""


class Life:
    """A server, and all the secrets it told."""

    def __init__(self, server: Server, metrics: str) -> None:
        self.server = server
        self.metrics = metrics
        self.secrets: dict[str, str] = {}

    def keep(self, what: str, secret: str) -> str:
        assert len(secret) >= 40
        self.secrets[what] = secret
        return secret

    def peer(self, what: str, *arguments: str) -> dict[str, Any]:
        """A command whose answer holds a configuration with a preshared key."""
        answer = self.server.cli("wireguard", "peers", *arguments)
        self.keep(what, answer["config"]["preshared_key"])
        return dict(answer)

    def ask(self, method: str, path: str, token: str, body: object = None) -> tuple[int, bytes]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(self.server.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def report(self, token: str) -> int:
        keys = {"key-1": public_key("gateway")}
        body = {"version": "", "now": "2026-01-01T00:00:00Z", "publicKeys": keys}
        return self.ask("POST", REPORT_PATH, token, body)[0]

    def found_in(self, where: str, data: str | bytes) -> list[str]:
        raw = data.encode() if isinstance(data, str) else data
        return [f"{what} in {where}" for what, secret in self.secrets.items() if secret.encode() in raw]

    def found_on_disk(self) -> list[str]:
        # The folder has the configuration, the keys of the server, the database, and the log.
        files = [path for path in self.server.folder.rglob("*") if path.is_file()]
        assert {"db.sqlite", "server.log"} <= {path.name for path in files}
        return [each for path in files for each in self.found_in(path.name, path.read_bytes())]


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    metrics = f"127.0.0.1:{free_port()}"
    ports = Ports(http=free_port(), relay_tls=free_port(), stun=free_port(kind=socket.SOCK_DGRAM))
    server = Server(folder=tmp_path, address="127.0.0.1", ports=ports, policy=POLICY)
    with server.config_path.open("a") as file:
        file.write(f"metrics_listen_addr: {metrics}\n")
    server.start()
    try:
        yield Life(server, metrics)
    finally:
        server.stop()


def live(life: Life, tmp_path: Path) -> None:
    """Everything that makes, shows once, or changes a secret."""
    server = life.server
    server.create_user("ada")
    life.keep("pre-auth key", server.create_key("ada")["key"])
    api_key = life.keep("API key", server.run("apikeys", "create").stdout.strip().splitlines()[-1])
    gateway = ("wireguard", "gateways")
    made = server.cli(*gateway, "create", "gw", "--host", "h.example.com", "--pool", "10.90.0.0/24")
    token = life.keep("gateway token", made["token"])
    assert life.report(token) == 204
    standing = ("--service", "lab", "--permanent", "--reason", "r", "--preshared-key")
    life.peer("first", "create", public_key(1), "--name", "one", *standing)
    life.peer("rotated", "rotate", "one", public_key(2), "--overlap", "1h")
    life.peer("again", "rotate", "one", "--preshared-key")
    assert life.ask("GET", f"{WISH_PATH}?wait=0", token)[1].count(b"presharedKey") >= 1
    enrolment = server.cli("wireguard", "tokens", "create", "--user", "ada", "--profile", "db")["secret"]
    life.keep("enrolment token", enrolment)
    body = {"publicKey": public_key(3), "presharedKey": True, "name": "phone"}
    status, answer = life.ask("POST", "/api/v1/wireguard/peers", enrolment, body)
    assert status == 201
    life.keep("enrolled", json.loads(answer)["config"]["preshared_key"])
    file = tmp_path / "declared.yaml"
    file.write_text(DECLARED)
    server.cli("wireguard", "apply", str(file), "--dry-run")
    server.cli("wireguard", "apply", str(file))
    life.keep("declared", server.cli("wireguard", "peers", "config", "camera")["preshared_key"])
    life.keep("new token", server.cli(*gateway, "rotate-token", "gw")["token"])
    # What is wrong is said without what was shown.
    for path in ("/api/v1/wireguard/peers", "/api/v1/node", f"{WISH_PATH}?wait=0"):
        for secret in (token, enrolment[:-3] + "abc", api_key[:-3] + "abc"):
            life.keep(f"shown in vain: {path} {secret[:12]}", secret)
            life.ask("GET", path, secret)
    life.ask("POST", "/api/v1/wireguard/peers", api_key, {"publicKey": life.secrets["first"] + "x"})
    life.ask("POST", "/api/v1/wireguard/peers", enrolment, {"publicKey": "!" + life.secrets["first"]})


def test_no_secret_is_kept_or_told_twice(life: Life, tmp_path: Path) -> None:
    live(life, tmp_path)
    assert len(set(life.secrets.values())) >= 12
    server = life.server
    found = life.found_on_disk()
    for command in (
        ("wireguard", "peers", "list", "--all"),
        ("wireguard", "peers", "show", "one"),
        ("wireguard", "gateways", "list"),
        ("wireguard", "gateways", "show", "gw"),
        ("wireguard", "tokens", "list"),
        ("wireguard", "apply", str(tmp_path / "declared.yaml"), "--dry-run"),
        ("inventory", "list"),
        ("audit", "list", "--limit", "500"),
    ):
        for form in ((), ("-o", "json")):
            said = server.run(*command, *form)
            assert said.returncode == 0, said.stderr
            found += life.found_in(" ".join((*command, *form)), said.stdout + said.stderr)
    with urllib.request.urlopen(f"http://{life.metrics}/metrics", timeout=5) as answer:
        found += life.found_in("metrics", answer.read())
    server.cli("wireguard", "peers", "revoke", "one")
    server.kill9()
    found += life.found_on_disk()
    server.start()
    # A peer is what it was, with its key, after the end without a good-bye.
    again = server.cli("wireguard", "peers", "config", "camera")
    assert again["preshared_key"] == life.secrets["declared"]
    server.stop()
    assert found + life.found_on_disk() == []


def test_another_noise_key_closes_peers_and_says_what_to_do(life: Life, tmp_path: Path) -> None:
    live(life, tmp_path)
    server, key_file = life.server, life.server.folder / "noise.key"
    server.stop()
    former = key_file.read_bytes()
    key_file.unlink()
    server.start()
    assert "preshared keys cannot be read" in server.log_text()
    states = {each["name"]: each["state"] for each in server.cli("wireguard", "peers", "list")}
    assert states == {"one": "unreadable", "camera": "unreadable", "phone": "unreadable"}
    refused = server.run("wireguard", "peers", "config", "camera")
    assert "wireguard peers rotate camera --preshared-key" in refused.stderr
    wished = life.ask("GET", f"{WISH_PATH}?wait=0", life.secrets["new token"])
    assert (wished[0], json.loads(wished[1])["peers"]) == (200, [])
    life.peer("healed", "rotate", "camera", "--preshared-key")

    def back() -> bool:
        answer = json.loads(life.ask("GET", f"{WISH_PATH}?wait=0", life.secrets["new token"])[1])
        return [each["name"] for each in answer["peers"]] == ["camera"]

    eventually(back, "the peer to be wished again")
    server.stop()
    key_file.write_bytes(former)
    server.start()
    states = {each["name"]: each["state"] for each in server.cli("wireguard", "peers", "list")}
    assert states == {"one": "active", "camera": "unreadable", "phone": "active"}
