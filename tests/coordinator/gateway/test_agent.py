"""The three loops, with a machine that is only remembered and a server in a thread."""

import asyncio
import base64
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from coordinator.gateway import agent as module
from coordinator.gateway import clock, seen
from coordinator.gateway.agent import Agent, read_clocks
from coordinator.gateway.commands import CommandError
from coordinator.gateway.ear import Ear
from coordinator.gateway.link import Link
from coordinator.gateway.machine import Machine
from coordinator.gateway.plan import Make, Run, Step
from coordinator.gateway.rules import Table
from coordinator.gateway.seen import Link as SeenLink
from coordinator.gateway.seen import Seen, Wireguard
from coordinator.gateway.state import State, StateError
from tests.coordinator.gateway.builders import interface, key, peer
from tests.coordinator.gateway.initiations import initiation, public_of
from tests.coordinator.gateway.test_nflog import message
from tests.coordinator.gateway.test_packets import IPV4
from tests.support.fake_gateway_server import TOKEN, FakeGatewayServer


@dataclass
class Rules:
    """Stands in for `RuleTable`."""

    table: Table | None = None
    altered: bool = False
    error: CommandError | None = None
    there: bool = True
    forgotten: int = 0
    untouched: bool = True
    meanwhile: Callable[[], None] = lambda: None

    def forget(self) -> None:
        self.forgotten += 1

    async def settle(self, wanted: Table, now: datetime) -> bool:
        if self.error is not None:
            raise self.error
        self.table = wanted
        self.meanwhile()
        altered, self.altered = self.altered, False
        return altered

    async def exists(self) -> bool:
        return self.there

    async def counters(self) -> dict[str, tuple[int, int]]:
        return {}


@dataclass
class Remembered(Machine):
    """A machine on which every plan works, unless told otherwise."""

    rules: Rules = field(default_factory=Rules)  # type: ignore[assignment]
    seen: Seen = field(default_factory=Seen)
    steps: list[Step] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    error: Exception | None = None
    deaf: bool = False

    def __post_init__(self) -> None:
        ours, self.kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.setblocking(False)

        async def run(argv: tuple[str, ...], stdin: str) -> str:
            if self.deaf:
                raise CommandError("no log")
            return ""

        self.ear = Ear(run, lambda: ours)

    def knock(self, gateway_key: str, private: bytes) -> None:
        """A device begins a handshake."""
        self.kernel.send(message(IPV4 + initiation(gateway_key, private)))

    async def look(self, names: Iterable[str]) -> Seen:
        if self.error is not None:
            raise self.error
        return self.seen

    async def perform(self, steps: Iterable[Step]) -> list[str]:
        for step in steps:
            self.steps.append(step)
            if isinstance(step, Run) and step.argv[:2] == ("wg", "addconf"):
                lines = [line for line in step.stdin.splitlines() if "PublicKey" in line]
                self.put(*self.keys, *(line.partition(" = ")[2] for line in lines))
            if isinstance(step, Run) and step.argv[-1] == "remove":
                self.put(*(public for public in self.keys if public not in step.argv))
        return self.failures

    @property
    def keys(self) -> list[str]:
        """Who is on wg0."""
        return list(self.seen.wireguard["wg0"].peers) if "wg0" in self.seen.wireguard else []

    def put(self, *keys: str) -> None:
        """Have exactly these peers, with the addresses of `builders.peer`."""
        numbers = {key(number): number for number in range(2, 9)}
        peers = {
            public: seen.Peer(allowed_ips=frozenset({f"10.99.0.{numbers.get(public, 99)}/32"}))
            for public in keys
        }
        self.seen = Seen(
            links={"wg0": SeenLink(ours=True, up=True, mtu=1420, addresses=frozenset({"10.99.0.1/24"}))},
            wireguard={"wg0": Wireguard(peers=peers)},
            routes=frozenset({("10.99.0.0/24", "wg0")}),
        )


@dataclass
class Gateway:
    """An agent and everything around it."""

    agent: Agent
    machine: Remembered
    server: FakeGatewayServer
    state: State

    @property
    def kinds(self) -> list[str]:
        """Of the events still waiting."""
        return [event.kind for event in self.state.events()]


@asynccontextmanager
async def gateway(
    folder: Path, server: FakeGatewayServer, *, wall: timedelta = timedelta(0)
) -> AsyncIterator[Gateway]:
    """A gateway whose wall clock is off by `wall`."""
    state, machine = State(folder / "state"), Remembered()

    def clocks() -> clock.Reading:
        reading = read_clocks()
        return reading._replace(wall=reading.wall + wall)

    try:
        async with Link(server.url, TOKEN) as link:
            yield Gateway(Agent(link, state, machine, clocks=clocks, agent="test"), machine, server, state)
    finally:
        state.close()


@pytest.fixture
def server() -> Iterable[FakeGatewayServer]:
    with FakeGatewayServer() as server:
        server.wish(interfaces=(interface(),), peers=(now_peer(2),))
        yield server


@pytest.fixture(autouse=True)
def forwarding(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine that forwards."""
    monkeypatch.setattr(module, "not_forwarding", lambda *, ipv6: [])


def now_peer(number: int, *, closes: float | None = None) -> object:
    """A peer whose window is open by the real clock."""
    reading = read_clocks().wall
    return peer(
        number,
        not_before=reading - timedelta(hours=1),
        not_after=None if closes is None else reading + timedelta(seconds=closes),
    )


async def until(condition: object, seconds: float = 5.0) -> None:
    """Wait for something the loops bring about."""
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[None]:
    """The loops, for a while."""
    task = asyncio.get_running_loop().create_task(gateway.agent.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_once(tmp_path: Path, server: FakeGatewayServer) -> None:
    async with gateway(tmp_path, server) as it:
        assert await it.agent.once()
        assert it.machine.steps[0] == Make(name="wg0")
        assert it.machine.keys == [key(2)]
        assert it.machine.rules.table is not None
        assert it.machine.rules.table.interfaces == ("wg0",)
        (report,) = server.reports
        assert (report.version, report.agent, list(report.public_keys)) == ("1", "test", ["k0"])
        it.server.stop()
        assert not await it.agent.once()


async def test_a_wish_is_followed_at_once_and_told(tmp_path: Path, server: FakeGatewayServer) -> None:
    async with gateway(tmp_path, server) as it, running(it):
        await until(lambda: it.machine.keys == [key(2)])
        version = server.wish(peers=(now_peer(2), now_peer(3)))  # type: ignore[arg-type]
        await until(lambda: set(it.machine.keys) == {key(2), key(3)}, 1)
        await until(lambda: server.reports[-1].version == version, 1)
        server.wish(peers=())
        await until(lambda: it.machine.keys == [], 1)
        assert server.asked[0] == ""


async def test_windows_end_without_the_server(tmp_path: Path, server: FakeGatewayServer) -> None:
    async with gateway(tmp_path, server) as it, running(it):
        server.wish(peers=(now_peer(2, closes=0.8), now_peer(3)))  # type: ignore[arg-type]
        await until(lambda: len(it.machine.keys) == 2)
        server.stop()
        await until(lambda: it.machine.keys == [key(3)], 2)
        assert it.kinds == ["closed-alone"]
        server.start()
        await until(lambda: server.kinds() == ["closed-alone"])
        await until(lambda: it.kinds == [])


async def test_the_last_wish_is_followed_after_a_start_without_the_server(
    tmp_path: Path, server: FakeGatewayServer
) -> None:
    async with gateway(tmp_path, server) as it:
        server.wish(peers=(now_peer(2), now_peer(3, closes=0.3)))  # type: ignore[arg-type]
        assert await it.agent.once()
    server.stop()
    await asyncio.sleep(0.3)
    async with gateway(tmp_path, server) as it:
        assert await it.agent.settle()
        assert it.machine.keys == [key(2)]
        assert it.kinds == []


async def test_a_wrong_clock_is_told_once(tmp_path: Path, server: FakeGatewayServer) -> None:
    async with gateway(tmp_path, server, wall=timedelta(hours=-2)) as it:
        assert await it.agent.once()
        assert it.machine.keys == [key(2)], "by the server's clock it is open"
        assert it.machine.rules.forgotten == 1
        assert server.kinds() == ["clock"]
        assert await it.agent.settle()
        assert it.kinds == []


async def test_when_a_clock_jumps_the_server_is_asked(tmp_path: Path, server: FakeGatewayServer) -> None:
    """As after a pause of a virtual machine: only the time since its boot is wrong."""
    async with gateway(tmp_path, server) as it, running(it):
        await until(lambda: it.machine.keys == [key(2)])
        assert it.agent._anchor is not None
        it.agent._anchor = msgspec.structs.replace(
            it.agent._anchor, server=it.agent._anchor.server - timedelta(hours=1)
        )
        server.asked.clear()
        it.agent._follow_now.set()
        await until(lambda: "" in server.asked)
        await until(lambda: abs(it.agent._anchor.offset) < timedelta(seconds=1))


async def test_changed_rules_are_looked_at_at_once(
    tmp_path: Path, server: FakeGatewayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    monkeypatch.setattr(module, "notices", lambda: ours)
    monkeypatch.setattr(module, "WATCH_S", 60.0)
    with theirs:
        async with gateway(tmp_path, server) as it, running(it):
            await until(lambda: it.machine.keys == [key(2)])
            it.machine.rules.altered = True
            theirs.send(b"ours")
            await asyncio.sleep(0.1)
            assert it.machine.rules.altered, "that was our own"
            it.machine.rules.untouched = False
            theirs.send(b"theirs")
            theirs.send(b"and again")
            await until(lambda: not it.machine.rules.altered, 1)


async def test_strangers_and_altered_rules_are_told(tmp_path: Path, server: FakeGatewayServer) -> None:
    async with gateway(tmp_path, server) as it:
        assert await it.agent.once()
        it.machine.put(key(2), "stranger")
        it.machine.rules.altered = True
        assert await it.agent.settle()
        assert it.kinds == ["unknown-peer", "rules-changed"]


async def test_what_cannot_be_applied_is_told_and_not_in_force(
    tmp_path: Path, server: FakeGatewayServer
) -> None:
    async with gateway(tmp_path, server) as it:
        it.machine.failures = ["`wg set` failed: no"]
        assert not await it.agent.once()
        assert server.reports[-1].version == ""
        assert server.kinds() == ["apply-failed"]
        it.machine.failures = []
        it.machine.error = CommandError("`ip` is broken")
        assert not await it.agent.settle()
        it.machine.error = None
        assert await it.agent.once()
        assert server.reports[-1].version == "1"


async def test_without_packet_rules_nobody_is_let_in(tmp_path: Path, server: FakeGatewayServer) -> None:
    async with gateway(tmp_path, server) as it:
        assert await it.agent.once()
        it.machine.rules.error = CommandError("nft is broken")
        server.wish(peers=(now_peer(2), now_peer(3)))  # type: ignore[arg-type]
        assert not await it.agent.once()
        assert it.machine.keys == [key(2)], "who was there goes on with the rules of before"
        it.machine.rules.there = False
        assert not await it.agent.settle()
        assert it.machine.keys == []
        assert "no packet rules" in server.events[-1].detail or "no packet rules" in str(it.state.events())


async def test_mistakes_in_a_wish_are_told(tmp_path: Path, server: FakeGatewayServer) -> None:
    async with gateway(tmp_path, server) as it:
        wrong = [peer(number, public_key=f"wrong {number}") for number in range(30)]
        server.wish(peers=(now_peer(2), *wrong))  # type: ignore[arg-type]
        assert await it.agent.once()
        assert it.machine.keys == [key(2)]
        details = [event.detail for event in it.state.events() or server.events]
        assert len(details) == 21
        assert details[-1] == "10 more peers cannot be provisioned"


async def test_a_machine_that_does_not_forward(
    tmp_path: Path, server: FakeGatewayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "not_forwarding", lambda *, ipv6: ["net.ipv4.ip_forward"])
    async with gateway(tmp_path, server) as it:
        assert await it.agent.once()
        assert "net.ipv4.ip_forward" in server.events[0].detail


async def test_a_full_disk_keeps_no_window_from_closing(
    tmp_path: Path, server: FakeGatewayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(tmp_path, server) as it, running(it):
        await until(lambda: it.machine.keys == [key(2)])

        def full(*_: object) -> None:
            raise StateError("events.json cannot be written: No space left on device")

        for name in ("keep_wish", "keep_events", "keep_anchor"):
            monkeypatch.setattr(it.state, name, full)
        server.wish(peers=())
        await until(lambda: it.machine.keys == [])
        await until(lambda: "No space left" in str(server.events))


async def test_a_ruined_key_is_told_and_ends_nothing(tmp_path: Path, server: FakeGatewayServer) -> None:
    async with gateway(tmp_path, server) as it:
        assert await it.agent.once()
        (it.state.folder / "keys" / "k0").write_text("ruined")
        server.wish(peers=(now_peer(2), now_peer(3)))  # type: ignore[arg-type]
        assert await it.agent.once()
        assert set(it.machine.keys) == {key(2), key(3)}
        assert "holds no private key" in str(server.events)


async def test_an_error_of_ours_ends_nothing(tmp_path: Path, server: FakeGatewayServer) -> None:
    async with gateway(tmp_path, server) as it:
        it.machine.error = ZeroDivisionError()
        async with running(it):
            await until(lambda: server.reports)
            it.machine.error = None
            server.wish(peers=(now_peer(3),))  # type: ignore[arg-type]
            await until(lambda: it.machine.keys == [key(3)])


async def test_who_knocked_is_answered_when_its_window_opens(
    tmp_path: Path, server: FakeGatewayServer
) -> None:
    private = os.urandom(32)
    public = base64.b64encode(public_of(private)).decode()
    async with gateway(tmp_path, server) as it, running(it):
        await until(lambda: it.machine.keys == [key(2)])
        assert it.machine.rules.table is not None
        assert it.machine.rules.table.knock_ports == (51820,)
        await until(lambda: server.reports and server.reports[-1].public_keys)
        it.machine.knock(server.reports[-1].public_keys["k0"], private)
        await until(lambda: it.machine.ear.knocks.to_tell(read_clocks().wall))
        server.wish(peers=(now_peer(2), msgspec.structs.replace(now_peer(3), public_key=public)))  # type: ignore[arg-type]
        await until(lambda: public in it.machine.keys)
        assert "Endpoint = 127.0.0.1:33662" in woken(it)
        await until(lambda: any(each.knocks for each in server.reports))
        (knock,) = next(each.knocks for each in server.reports if each.knocks)
        assert (knock.public_key, knock.endpoint, knock.count) == (public, "127.0.0.1:33662", 1)
        assert sum(len(each.knocks) for each in server.reports) == 1


async def test_who_knocks_at_the_last_moment_is_answered_too(
    tmp_path: Path, server: FakeGatewayServer
) -> None:
    private = os.urandom(32)
    public = base64.b64encode(public_of(private)).decode()
    async with gateway(tmp_path, server) as it, running(it):
        await until(lambda: server.reports and server.reports[-1].public_keys)
        gateway_key = server.reports[-1].public_keys["k0"]
        it.machine.rules.meanwhile = lambda: it.machine.knock(gateway_key, private)
        server.wish(peers=(msgspec.structs.replace(now_peer(3), public_key=public),))  # type: ignore[arg-type]
        await until(lambda: public in it.machine.keys)
        assert "Endpoint = 127.0.0.1:33662" in woken(it)


async def test_where_nothing_can_be_heard_that_is_told_once(
    tmp_path: Path, server: FakeGatewayServer
) -> None:
    async with gateway(tmp_path, server) as it:
        it.machine.deaf = True
        async with running(it):
            await until(lambda: server.kinds() == ["apply-failed"])
            assert "are not heard" in server.events[0].detail
            assert it.machine.rules.table is not None
            assert it.machine.rules.table.knock_ports == ()
            assert it.machine.keys == [key(2)]


def woken(it: Gateway) -> list[str]:
    """Lines of the last peers that were added."""
    added = [step.stdin for step in it.machine.steps if isinstance(step, Run) and "[Peer]" in step.stdin]
    return added[-1].splitlines()
