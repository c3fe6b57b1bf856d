"""This machine: reading it, and doing what a plan says. The real commands run in the tests in namespaces."""

import json
from pathlib import Path

import pytest

from coordinator.gateway import machine as module
from coordinator.gateway.commands import CommandError
from coordinator.gateway.machine import Machine, not_forwarding
from coordinator.gateway.plan import Make, Run
from coordinator.gateway.seen import ALIAS
from tests.coordinator.gateway.builders import key


class Commands:
    """Answers by the first words of a command; everything else works in silence."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: dict[str, str | CommandError] = {}
        self.ran: list[str] = []
        monkeypatch.setattr(module, "run", self.run)
        monkeypatch.setattr(module, "run_detached", self.run)

    async def run(self, argv: tuple[str, ...], stdin: str = "") -> str:
        """Stands in for `commands.run`."""
        line = " ".join(argv)
        self.ran.append(line)
        for start, answer in self.answers.items():
            if line.startswith(start):
                if isinstance(answer, CommandError):
                    raise answer
                return answer
        return ""


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    return Commands(monkeypatch)


async def test_looking(commands: Commands) -> None:
    links = [{"ifname": name, "ifalias": ALIAS, "flags": [], "mtu": 1420} for name in ("wg0", "wg1")]
    commands.answers = {
        "ip -json -details address": json.dumps([*links, {"ifname": "wg2", "flags": []}]),
        "ip -json -4 route": '[{"dst":"10.99.0.0/24","dev":"wg0"}]',
        "ip -json -6 route": '[{"dst":"fd00::/64","dev":"wg0"}]',
        "wg show wg0": f"{key(1)}\t{key(2)}\t51820\toff\n",
        "wg show wg1": CommandError("Protocol not supported"),
    }
    seen = await Machine().look(["wg0", "wg1", "wg2", "wg3"])
    assert set(seen.links) == {"wg0", "wg1", "wg2"}
    assert set(seen.wireguard) == {"wg0"}, "wg1 does not answer, wg2 is not ours, wg3 is not there"
    assert seen.routes == {("10.99.0.0/24", "wg0"), ("fd00::/64", "wg0")}


async def test_an_interface_is_made_by_the_kernel_where_it_can(commands: Commands) -> None:
    assert await Machine().perform([Make(name="wg0")]) == []
    assert commands.ran == [
        "ip link add dev wg0 type wireguard",
        f"ip link set dev wg0 alias {ALIAS}",
    ]


async def test_and_by_wireguard_go_where_it_cannot(commands: Commands) -> None:
    commands.answers = {"ip link add": CommandError("Unknown device type")}
    assert await Machine().perform([Make(name="wg0")]) == []
    assert commands.ran[1] == "wireguard-go wg0"
    commands.answers["wireguard-go"] = CommandError("`wireguard-go` cannot be run")
    (failure,) = await Machine().perform([Make(name="wg0")])
    assert "Unknown device type" in failure
    assert "install wireguard-go" in failure


async def test_what_fails_does_not_stop_the_rest(commands: Commands) -> None:
    commands.answers = {"wg set": CommandError("no")}
    steps = [Run(argv=("wg", "set", "wg0")), Run(argv=("ip", "-batch"))]
    assert await Machine().perform(steps) == ["no"]
    assert commands.ran == ["wg set wg0", "ip -batch"]


def test_forwarding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    four, six = tmp_path / "ip_forward", tmp_path / "forwarding"
    monkeypatch.setattr(
        module, "_FORWARDING", {"net.ipv4.ip_forward": four, "net.ipv6.conf.all.forwarding": six}
    )
    assert not_forwarding(ipv6=True) == [], "nothing is known"
    four.write_text("0\n")
    six.write_text("0\n")
    assert not_forwarding(ipv6=False) == ["net.ipv4.ip_forward"]
    assert not_forwarding(ipv6=True) == ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]
    four.write_text("1\n")
    assert not_forwarding(ipv6=False) == []
