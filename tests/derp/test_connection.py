"""connection: two clients and more over real sockets; slow readers, duplicates, refusals, garbage."""

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from derp import frames
from derp.admission import KeyList
from derp.certificate import ensure_self_signed
from derp.frames import FrameType
from derp.keys import generate_private_key, public_key_of
from derp.limits import Limits
from derp.standalone import server_context
from tests.derp.fake_client import FakeClient, running_relay

DISCO = frames.DISCO_MAGIC + bytes(56)
STRANGER = bytes([9]) * 32


@pytest.fixture(params=["plain", "tls"])
def tls(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, ssl.SSLContext]:
    if request.param == "plain":
        return {}
    cert_path, key_path = tmp_path / "relay.crt", tmp_path / "relay.key"
    ensure_self_signed(cert_path, key_path, ["127.0.0.1"])
    return {
        "server_tls": server_context(cert_path, key_path),
        "client_tls": ssl.create_default_context(cafile=cert_path),
    }


async def test_two_clients(tls: dict[str, ssl.SSLContext]) -> None:
    async with running_relay(**tls) as running:
        a, b = await running.connect(), await running.connect()
        for size in (0, 1, 1400, 65_536):
            a.send(b.node_key, bytes(size))
            assert await b.receive() == (FrameType.RECV_PACKET, a.node_key + bytes(size))
        b.send(a.node_key, b"back")
        assert await a.receive() == (FrameType.RECV_PACKET, b.node_key + b"back")
        assert running.relay.stats.packets_forwarded == 5
        assert running.relay.stats.packets_received == 5


async def test_a_burst_keeps_its_order_and_loses_nothing(tls: dict[str, ssl.SSLContext]) -> None:
    async with running_relay(**tls) as running:
        a, b = await running.connect(), await running.connect()
        # One write of far more packets than a queue holds.
        a.write(b"".join(frames.send_packet(b.node_key, n.to_bytes(2, "big") * 50) for n in range(600)))
        for n in range(600):
            assert await b.receive() == (FrameType.RECV_PACKET, a.node_key + n.to_bytes(2, "big") * 50)
        assert running.relay.stats.packets_dropped == {}


async def test_traffic_right_behind_the_introduction_is_not_lost() -> None:
    async with running_relay() as running:
        a, b = await running.connect(), await running.dial()
        await b.upgrade()
        await b.introduce(frames.note_preferred(True), frames.send_packet(a.node_key, b"early"))
        assert await a.receive() == (FrameType.RECV_PACKET, b.node_key + b"early")
        assert running.relay.stats.home_connections == 1
        b.close()
        await running.until("home_connections", 0)


async def test_peer_gone_goes_to_those_who_heard_of_it() -> None:
    async with running_relay() as running:
        a, b, c = [await running.connect() for _ in range(3)]
        a.send(b.node_key, b"hi")
        await b.receive()
        a.close()
        assert await b.receive() == (FrameType.PEER_GONE, a.node_key + b"\x00")
        assert await c.settle() == []
        assert running.relay.stats.peer_gone_sent == {"disconnected": 1}


async def test_only_disco_to_a_stranger_is_answered_and_not_too_often() -> None:
    async with running_relay() as running:
        client = await running.connect()
        client.send(STRANGER, b"wireguard")
        assert await client.settle() == []
        for _ in range(10):
            client.send(STRANGER, DISCO)
        answers = await client.settle()
        assert answers == [(FrameType.PEER_GONE, STRANGER + b"\x01")] * 3
        assert running.relay.stats.packets_dropped == {"unknown_destination": 11}
        assert running.relay.stats.peer_gone_sent == {"not_here": 3}


async def test_the_last_to_write_gets_the_packets() -> None:
    async with running_relay() as running:
        sender, key = await running.connect(), generate_private_key()
        old, new = await running.connect(key), await running.connect(key)
        sender.send(old.node_key, b"1")
        assert (await new.receive())[1][32:] == b"1"
        await old.settle()
        sender.send(old.node_key, b"2")
        assert (await old.receive())[1][32:] == b"2"
        old.close()
        await running.until("connections", 2)
        sender.send(old.node_key, b"3")
        assert (await new.receive())[1][32:] == b"3"
        assert await sender.settle() == []
        assert running.relay.stats.clients == 2


async def test_one_key_cannot_take_every_slot() -> None:
    async with running_relay(limits=Limits(max_connections_per_key=2)) as running:
        key = generate_private_key()
        first, second, third = [await running.connect(key) for _ in range(3)]
        assert await first.closed()
        assert await second.settle() == []
        assert await third.settle() == []
        assert running.relay.stats.connections_ended == {"superseded": 1}


async def test_not_admitted() -> None:
    welcome = generate_private_key()
    async with running_relay(admission=KeyList([public_key_of(welcome)])) as running:
        await running.connect(welcome)
        stranger = await running.dial()
        await stranger.upgrade()
        await stranger.introduce()
        with pytest.raises(EOFError):
            await stranger.receive()
        assert running.relay.stats.connections_ended == {"not_admitted": 1}
        await running.until("connections", 1)
        assert running.relay.stats.unauthenticated == 0


class Undecided:
    """An admission that fails, or never answers."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    async def admit(self, node_key: bytes, source: str) -> bool:
        assert source == "127.0.0.1"
        if self._error:
            raise self._error
        await asyncio.sleep(60)
        return True


@pytest.mark.parametrize("admission", [Undecided(KeyError("broken")), Undecided()])
async def test_no_decision_means_no(admission: Undecided) -> None:
    async with running_relay(admission=admission, limits=Limits(admission_deadline=0.1)) as running:
        client = await running.dial()
        await client.upgrade()
        await client.introduce()
        with pytest.raises(EOFError):
            await client.receive()
        assert running.relay.stats.connections_ended == {"admission_failed": 1}


async def test_silence_is_not_waited_for() -> None:
    async with running_relay(limits=Limits(handshake_deadline=0.1)) as running:
        client = await running.dial()
        await client.upgrade()
        assert await client.closed()
        assert running.relay.stats.connections_ended == {"handshake_deadline": 1}
        assert running.relay.stats.unauthenticated == 0


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100_000, b"\xff" * 100, frames.client_info(bytes(100))],
    ids=["http", "zeros", "ones", "forged"],
)
async def test_garbage_instead_of_an_introduction(garbage: bytes) -> None:
    async with running_relay(limits=Limits(handshake_deadline=0.5)) as running:
        client = await running.dial()
        await client.upgrade()
        client.write(garbage)
        assert await client.closed()
        await running.until("connections", 0)


@pytest.mark.parametrize(
    "garbage", [frames.encode(FrameType.WATCH_CONNS), bytes.fromhex("04 00010021"), b"\xff" * 50]
)
async def test_garbage_after_the_handshake(garbage: bytes) -> None:
    async with running_relay() as running:
        client = await running.connect()
        client.write(garbage)
        assert await client.closed()
        assert running.relay.stats.connections_ended == {"protocol_violation": 1}


def shrink_receive_buffer(client: FakeClient) -> None:
    client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)


async def flood(sender: FakeClient, destination: bytes, *, packets: int) -> None:
    for _ in range(packets):
        sender.send(destination, bytes(60_000))
        await sender.writer.drain()
    await sender.settle()


async def test_a_slow_reader_loses_the_oldest_and_holds_nobody_up(tls: dict[str, ssl.SSLContext]) -> None:
    async with running_relay(**tls) as running:
        slow, sender, other = [await running.connect() for _ in range(3)]
        shrink_receive_buffer(slow)
        slow.writer.transport.pause_reading()
        await flood(sender, slow.node_key, packets=300)
        sender.send(other.node_key, b"meanwhile")
        assert (await other.receive())[1][32:] == b"meanwhile"
        sender.send(slow.node_key, DISCO)
        sender.send(slow.node_key, b"the newest")
        await sender.settle()
        assert running.relay.stats.packets_dropped["queue_full"] > 50
        slow.writer.transport.resume_reading()
        seen = []
        while (packet := (await slow.receive())[1][32:]) != b"the newest":
            seen.append(packet)
        # Disco has a queue of its own, so it was neither dropped nor late.
        assert DISCO in seen
        dropped = running.relay.stats.packets_dropped["queue_full"]
        assert len(seen) == 300 + 1 - dropped


async def test_a_reader_that_stops_is_cut(tls: dict[str, ssl.SSLContext]) -> None:
    async with running_relay(limits=Limits(write_deadline=0.2), **tls) as running:
        stuck, sender = await running.connect(), await running.connect()
        shrink_receive_buffer(stuck)
        stuck.writer.transport.pause_reading()
        await flood(sender, stuck.node_key, packets=300)
        await running.until("connections", 1)
        assert running.relay.stats.connections_ended == {"write_deadline": 1}
        assert running.relay.stats.packets_dropped["disconnected"] > 0
        assert (FrameType.PEER_GONE, stuck.node_key + b"\x00") not in await sender.settle()


async def test_keep_alive() -> None:
    async with running_relay(limits=Limits(keepalive_interval=0.06)) as running:
        client = await running.connect()
        assert await client.receive() == (FrameType.KEEP_ALIVE, b"")
        assert await client.receive() == (FrameType.KEEP_ALIVE, b"")


async def test_ping_is_answered() -> None:
    async with running_relay() as running:
        client = await running.connect()
        assert await client.settle() == []
        assert running.relay.stats.pings == 1
