"""Access windows with stock clients: who has to agree, what ends a window early, and what it cuts."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.traffic import echo_server, held_connection, tcp_echo, tcp_is_blocked
from tests.support import shifted_server
from tests.support.clients import NEW, OLD
from tests.support.lab import Lab
from tests.support.server_process import Server
from tests.support.stock_client import StockClient
from tests.support.waiting import eventually

WITHIN_S = 1.0
Profile = dict[str, Any]
PROFILE: Profile = {
    "src": ["group:ops"],
    "dst": ["tag:mgmt:22,9000"],
    "approvers": ["group:leads"],
    "defaultDuration": "1h",
    "maxDuration": "4h",
}


def policy(**profiles: Profile) -> dict[str, Any]:
    return {
        "groups": {"group:ops": ["ada@"], "group:leads": ["bob@", "carol@"]},
        "tagOwners": {"tag:mgmt": []},
        "postures": {"posture:managed": ["custom:managed == true"]},
        "acls": [],
        "access": {"profiles": profiles},
    }


class Scene:
    """A server, ada's laptop and a management server: new and old, or the other way round."""

    def __init__(self, server: Server, laptop: StockClient, target: StockClient) -> None:
        self.server, self.laptop, self.target = server, laptop, target

    def use(self, **profiles: Profile) -> None:
        self.server.write_policy(policy(**profiles))
        expected = {name: fields["dst"] for name, fields in profiles.items()}

        def in_force() -> bool:
            return expected == {each["name"]: each["dst"] for each in self.server.cli("access", "profiles")}

        eventually(in_force, "the policy in force")

    def ask(self, profile: str = "mgmt", *more: str) -> str:
        return str(self.server.cli("access", "request", profile, "--user", "ada", *more)["id"])

    def approve(self, number: str, by: str = "bob") -> str:
        return str(self.server.cli("access", "approve", number, "--as", by)["state"])

    def revoke(self, number: str) -> None:
        self.server.cli("access", "revoke", number, "--as", "bob")

    def open(self, profile: str = "mgmt", *more: str) -> str:
        number = self.ask(profile, *more)
        assert self.approve(number) == "active"
        self.await_open()
        return number

    def await_open(self) -> None:
        self._both(lambda: bool(self.laptop.peers() and self.target.peers()), "the window")

    def await_closed(self) -> None:
        self._both(lambda: not self.laptop.peers() and not self.target.peers(), "its end")
        assert self.target.node_key() not in self.laptop.netmap_text()
        assert self.laptop.node_key() not in self.target.netmap_text()

    def _both(self, what: Callable[[], bool], name: str) -> None:
        began = time.monotonic()
        eventually(what, f"{name} at both", within=5, every=0.01)
        took = time.monotonic() - began
        assert took < WITHIN_S, f"{name} took {took:.2f} s"


@pytest.fixture(scope="module", params=[(NEW, OLD), (OLD, NEW)], ids=["new-to-old", "old-to-new"])
def scene(lab: Lab, server: Server, ada_key: str, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """Both clients joined, no window open."""
    source, destination = request.param
    if request.param_index == 0:
        server.create_user("carol")
    name = f"{request.param_index}"
    laptop, target = (
        lab.client(f"laptop{name}", version=source),
        lab.client(f"target{name}", version=destination),
    )
    server.write_policy(policy())
    key = server.create_key(tags=("tag:mgmt",))["key"]
    laptop.up(ada_key)
    target.up(str(key))
    yield Scene(server, laptop, target)
    for client in (laptop, target):
        server.cli("nodes", "delete", "-i", str(server.node(client.name)["id"]), "--force")
        lab.retire(client)


def test_two_people_have_to_agree(scene: Scene) -> None:
    scene.use(mgmt={**PROFILE, "approvals": 2})
    number = scene.ask()
    assert scene.approve(number, "bob") == "requested"
    time.sleep(WITHIN_S)
    assert scene.laptop.peers() == scene.target.peers() == {}
    assert scene.approve(number, "carol") == "active"
    scene.await_open()
    scene.laptop.ping(scene.target.ipv4)
    scene.revoke(number)
    scene.await_closed()


def test_a_missing_posture_is_refused_and_watched(scene: Scene) -> None:
    scene.use(mgmt={**PROFILE, "srcPosture": ["posture:managed"]})
    refused = scene.server.run("access", "request", "mgmt", "--user", "ada")
    assert refused.returncode == 1
    assert "posture:managed" in refused.stderr
    laptop = str(scene.server.node(scene.laptop.name)["id"])
    scene.server.cli("nodes", "attributes", "-i", laptop, "--set", "custom:managed=true")
    number = scene.open()
    scene.server.cli("nodes", "attributes", "-i", laptop, "--unset", "custom:managed")
    scene.await_closed()
    scene.server.cli("nodes", "attributes", "-i", laptop, "--set", "custom:managed=true")
    scene.await_open()
    scene.revoke(number)
    scene.await_closed()


def test_of_two_windows_the_other_stays(scene: Scene) -> None:
    scene.use(mgmt=PROFILE, web={**PROFILE, "dst": ["tag:mgmt:9001"]})
    first, second = scene.open(), scene.open("web")
    address = scene.target.ipv4
    with echo_server(scene.target), echo_server(scene.target, 9001):
        tcp_echo(scene.laptop, address, size=1000)
        tcp_echo(scene.laptop, address, port=9001, size=1000)
        scene.revoke(first)
        eventually(lambda: tcp_is_blocked(scene.laptop, address), "the first window's port to close")
        tcp_echo(scene.laptop, address, port=9001, size=1000)
        assert scene.laptop.peers()
    scene.revoke(second)
    scene.await_closed()


def test_an_edit_narrows_a_window_and_ends_it(scene: Scene) -> None:
    scene.use(mgmt={**PROFILE, "dst": ["tag:mgmt:9000,9001"]})
    number, address = scene.open(), scene.target.ipv4
    with echo_server(scene.target), echo_server(scene.target, 9001):
        tcp_echo(scene.laptop, address, size=1000)
        tcp_echo(scene.laptop, address, port=9001, size=1000)
        scene.use(mgmt={**PROFILE, "dst": ["tag:mgmt:9001"]})
        eventually(lambda: tcp_is_blocked(scene.laptop, address), "the port to close")
        tcp_echo(scene.laptop, address, port=9001, size=1000)
    scene.use()
    scene.await_closed()
    eventually(
        lambda: scene.server.cli("access", "show", number)["end_reason"] == "policy", "the end on record"
    )
    scene.use(mgmt=PROFILE)
    time.sleep(WITHIN_S)
    assert scene.laptop.peers() == {}, "undoing the edit opens nothing"


def test_a_revocation_cuts_a_connection_in_use(scene: Scene) -> None:
    scene.use(mgmt=PROFILE)
    number = scene.open()
    with echo_server(scene.target), held_connection(scene.laptop, scene.target.ipv4) as connection:
        time.sleep(1.5)
        assert connection.poll() is None, "the connection carries traffic"
        scene.revoke(number)
        assert connection.wait(timeout=4) == 1
    scene.await_closed()


def test_ssh_opens_and_closes_with_the_window(scene: Scene) -> None:
    scene.use(mgmt={**PROFILE, "ssh": {"users": ["root"]}})
    scene.target.tailscale("set", "--ssh")

    def logged_in() -> bool:
        shown = scene.laptop.tailscale(
            "ssh", f"root@{scene.target.name}", "echo", "in", check=False, timeout=20
        )
        return "in" in shown.split()

    assert not logged_in()
    number = scene.open()
    eventually(logged_in, "a login as root", within=30)
    scene.use(mgmt=PROFILE)
    eventually(lambda: not logged_in(), "the login to be refused", within=30)
    assert scene.laptop.peers(), "the window itself stays"
    scene.revoke(number)
    scene.await_closed()
    scene.target.tailscale("set", "--ssh=false", "--accept-risk=lose-ssh")


def test_the_servers_clock_jumps(scene: Scene, tmp_path: Path) -> None:
    server, offset = scene.server, tmp_path / "offset"
    scene.use(mgmt=PROFILE)

    def shift(seconds: float) -> None:
        scratch = offset.with_suffix(".new")
        scratch.write_text(str(seconds))
        scratch.replace(offset)

    shift(0)
    usual, server.program = server.program, (sys.executable, str(shifted_server.__file__), str(offset))
    server.stop()
    server.start()
    try:
        number = scene.ask()
        assert scene.approve(number) == "active"
        eventually(lambda: scene.laptop.peers() and scene.target.peers(), "the window", within=15)
        shift(1800)
        time.sleep(WITHIN_S)
        assert scene.laptop.peers(), "half of its hour is left"
        shift(3700)
        scene.await_closed()
        shift(600)
        time.sleep(WITHIN_S)
        assert scene.laptop.peers() == {}, "an end that was recorded holds"
        assert server.cli("access", "show", number)["end_reason"] == "expired"
    finally:
        server.program = usual
        server.stop()
        server.start()
